"""Optimisers: made by the user's factory, described in a line, saved without pickle."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.optim.optimizer_state import is_plain
from bayesnas.runtime.random_state import random_state_kept


def build_optimizer(
    factory: OptimizerFactory, parameters: Sequence[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """Make the optimiser, ``factory(parameters, lr=lr)``; Adam in its fused form.

    Raises:
        TypeError: where the factory makes no optimiser that steps without a closure.
        ValueError: where the factory refuses its arguments.
    """
    if factory is torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=lr, fused=True)
    try:
        optimizer = factory(list(parameters), lr=lr)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"optimizer must make an optimiser when called as optimizer(parameters, lr={lr:g}), "
            f"got {factory!r}: {error}"
        ) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must make a torch.optim.Optimizer when called as "
            f"optimizer(parameters, lr={lr:g}), got {type(optimizer).__name__}"
        )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise TypeError(
            "optimizer must step on the gradients it finds, got "
            f"{type(optimizer).__name__}, which calls a closure"
        )
    return optimizer


def stated_lr(factory: OptimizerFactory) -> float | None:
    """Learning rate that a factory states as its own, as a learned optimiser does."""
    lr: float | None = getattr(factory, "lr", None)
    return lr


def is_coordinatewise(factory: OptimizerFactory) -> bool:
    """Whether a factory's optimiser treats every coordinate alike, so that it may get one vector.

    >>> is_coordinatewise(torch.optim.Adam), is_coordinatewise(torch.optim.Adafactor)
    (True, False)
    """
    return factory is torch.optim.Adam or getattr(factory, "coordinatewise", False) is True


class LearningRates:
    """The learning rates of an optimiser, those it was made with times a factor.

    Args:
        optimizer: whose.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the rates as they are."""
        self._optimizer = optimizer
        self._start = [group["lr"] for group in optimizer.param_groups]

    def scale(self, factor: float) -> None:
        """Set the rates."""
        for group, start in zip(self._optimizer.param_groups, self._start, strict=True):
            group["lr"] = start * factor


def try_out_optimizer(
    factory: OptimizerFactory, parameters: Sequence[nn.Parameter], lr: float, *, saved: bool
) -> str:
    """Take a step with copies of the parameters, and describe the optimiser.

    Args:
        factory: makes an optimiser from parameters and ``lr=``.
        parameters: of the model; they are copied and never changed.
        lr: learning rate.
        saved: whether its state has to go into checkpoints.

    Returns:
        its class and the settings that are not the class's own defaults.

    Raises:
        ValueError: where the state has to be saved and can't be.

    >>> import functools, torch
    >>> factory = functools.partial(torch.optim.SGD, momentum=0.9)
    >>> try_out_optimizer(factory, [torch.nn.Parameter(torch.zeros(2))], 0.1, saved=True)
    'SGD(momentum=0.9)'
    """
    copies = [nn.Parameter(value.detach().clone()) for value in parameters]
    for value in copies:
        value.grad = torch.zeros_like(value)
    with random_state_kept(copies[0].device):
        optimizer = build_optimizer(factory, copies, lr)
        optimizer.step()
    if saved:
        _check_state(optimizer)
    return _description(optimizer)


def _check_state(optimizer: torch.optim.Optimizer) -> None:
    for key, entry in optimizer.state_dict()["state"].items():
        values = entry.items() if isinstance(key, int) and isinstance(entry, dict) else [(key, ())]
        for name, value in values:
            if not (isinstance(value, Tensor) or is_plain(value)):
                raise ValueError(
                    f"optimizer: a checkpoint (out=) holds the state of an optimiser as tensors "
                    f"and numbers by parameter, got {name!r} of {type(optimizer).__name__}"
                )


def _description(optimizer: torch.optim.Optimizer) -> str:
    init = inspect.signature(type(optimizer).__init__).parameters
    changed = [
        f"{name}={value!r}"
        for name, value in sorted(optimizer.defaults.items())
        if name not in ("lr", "fused") and name in init and repr(value) != repr(init[name].default)
    ]
    return type(optimizer).__name__ + (f"({', '.join(changed)})" if changed else "")
