"""Optimisers: made by the user's factory, described in a line, saved without pickle."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.inference.session import random_state_kept

OptimizerFactory = Callable[..., torch.optim.Optimizer]


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
            if not (isinstance(value, Tensor) or _is_plain(value)):
                raise ValueError(
                    f"optimizer: a checkpoint (out=) holds the state of an optimiser as tensors "
                    f"and numbers by parameter, got {name!r} of {type(optimizer).__name__}"
                )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _description(optimizer: torch.optim.Optimizer) -> str:
    own = inspect.signature(type(optimizer).__init__).parameters
    changed = [
        f"{name}={value!r}"
        for name, value in sorted(optimizer.defaults.items())
        if name not in ("lr", "fused") and name in own and repr(value) != repr(own[name].default)
    ]
    return type(optimizer).__name__ + (f"({', '.join(changed)})" if changed else "")


def optimizer_state(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State of every parameter and settings of every group: tensors, and JSON values."""
    held = optimizer.state_dict()
    groups = [{k: v for k, v in g.items() if k != "params"} for g in held["param_groups"]]
    entries = {f"state/{index}": entry for index, entry in held["state"].items()}
    entries |= {f"group/{index}": group for index, group in enumerate(groups)}
    tensors, values = {}, {}
    for prefix, entry in entries.items():
        for name, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}/{name}"] = value
            elif _is_plain(value) or isinstance(value, tuple):
                values[f"{prefix}/{name}"] = value
    return tensors, json.loads(json.dumps(values))


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Give a fresh optimiser what :func:`optimizer_state` read from an equally built one."""
    groups = copy.copy(optimizer.state_dict()["param_groups"])
    state: dict[int, dict[str, Any]] = {}
    for path, value in {**tensors, **values}.items():
        kind, index, name = path.split("/", 2)
        if kind == "state":
            state.setdefault(int(index), {})[name] = value
        elif isinstance(groups[int(index)].get(name), tuple):
            groups[int(index)][name] = tuple(value)
        else:
            groups[int(index)][name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    _restore_types(optimizer, state)


def _restore_types(
    optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Any]]
) -> None:
    """Undo that torch makes every tensor of the state as precise as its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entry in state.items():
        loaded = optimizer.state[parameters[index]]
        for name, value in entry.items():
            if isinstance(value, Tensor) and loaded[name].dtype != value.dtype:
                loaded[name] = value.to(loaded[name].device)
