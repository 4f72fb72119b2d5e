"""What all likelihoods share."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeVar

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayesnas.checks import positive, shown

Task = Literal["classification", "regression"]


class Likelihood(nn.Module):
    """p(y | f) for network outputs f, one row an example.

    Subclasses say which targets they take (:meth:`check`) and give the distribution of a
    batch (:meth:`forward`), with batch shape ``[n]``.

    Attributes:
        name: by which :func:`~bayesnas.likelihoods.make_likelihood` knows it.
        task: ``"classification"`` for labels, ``"regression"`` for numbers.
        outputs: what f is, in a few words.

    >>> from bayesnas.likelihoods import make_likelihood
    >>> make_likelihood("categorical").task
    'classification'
    """

    name: str
    task: Task
    outputs = "parameters of the distribution of y"

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Distribution of the targets given outputs ``[n, ...]``; batch shape ``[n]``."""
        raise TypeError(f"{type(self).__name__} does not define forward(output)")

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Raise ValueError where targets ``y`` do not fit outputs of ``output_shape``."""

    def target(self, y: Tensor) -> Tensor:
        """Targets in the type that the distribution observes."""
        return y

    def observed(self, y: Tensor, output: Tensor) -> Tensor:
        """:meth:`target`, floating-point ones in the type of the outputs."""
        target = self.target(y)
        return target.to(output.dtype) if target.is_floating_point() else target

    def metaparameters(self) -> tuple[str, ...]:
        """Names of its fixed numbers that a fit may be over."""
        return ()

    def set_metaparameter(self, name: str, value: float) -> None:
        """Give one of :meth:`metaparameters` another value, in place."""
        raise ValueError(f"{type(self).__name__} has no metaparameter {name!r}")

    def in_units(self, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Factor and shift that turn outputs for y into those for the targets mean + scale · y.

        Args:
            mean: of the targets, ``[k]``.
            scale: of the targets, ``[k]``.

        Raises:
            TypeError: no such pair is known.
        """
        raise TypeError(
            f"likelihood={self.name!r} does not say what its outputs are for targets in other "
            "units: take the net with compact()"
        )

    def size_for(self, classes: int | None) -> None:
        """Take the number of classes of the training data, where it was left open."""

    def arguments(self) -> dict[str, Any]:
        """Arguments of a model that say this likelihood, untrained."""
        return self.config()

    def config(self) -> dict[str, Any]:
        """Arguments of :func:`~bayesnas.likelihoods.make_likelihood` that rebuild it, in JSON."""
        return {"likelihood": self.name}


L = TypeVar("L", bound=Likelihood)


def learned_or_fixed(likelihood: Likelihood, name: str, value: float | None) -> None:
    """Give a likelihood the logarithm of a positive number, a scalar tensor.

    Args:
        likelihood: what gets it.
        name: of the tensor: a buffer of a fixed number, a parameter of one to learn, from 1 on.
        value: the number, or None to learn it.
    """
    if value is None:
        likelihood.register_parameter(name, nn.Parameter(torch.zeros(())))
    else:
        likelihood.register_buffer(name, torch.tensor(value).log())


def exactly(likelihood: L, name: str, value: float | None) -> L:
    """Write the logarithm of a fixed number anew, after a change of type that would round it."""
    if value is not None:
        buffer = likelihood.get_buffer(name)
        if buffer.dtype == torch.float64 and not buffer.is_meta:
            buffer.fill_(math.log(value))
    return likelihood


def positive_or_none(name: str, value: object) -> float | None:
    """Return a number > 0, or None for one that is to be learned.

    Raises:
        ValueError: naming the argument, for anything else.
    """
    if value is None:
        return None
    try:
        return positive(name, value)
    except ValueError:
        raise ValueError(f"{name} must be a number > 0 or None, got {shown(value)}") from None


def flat(output: Tensor) -> Tensor:
    """Outputs ``[n, 1]`` as ``[n]``, others as they are."""
    return output.squeeze(-1) if output.ndim == 2 and output.shape[-1] == 1 else output


def rows(base: dist.TorchDistribution, values: Tensor) -> dist.TorchDistribution:
    """A distribution of every value as one of every row: batch ``[n]``, the rest one event."""
    by_row: dist.TorchDistribution = base.to_event(values.ndim - 1)
    return by_row


def check_same_shape(name: str, output_shape: torch.Size, y: Tensor) -> None:
    """Raise ValueError unless targets have the shape of outputs, those ``[n, 1]`` as ``[n]``."""
    shape = list(output_shape[:-1] if output_shape[-1:] == (1,) else output_shape)[1:]
    if list(y.shape[1:]) != shape:
        raise ValueError(
            f"y must have shape {['n', *shape]} for likelihood={name!r} and a net with outputs "
            f"{['n', *output_shape[1:]]}, got {['n', *y.shape[1:]]}"
        )


def check_counts(name: str, y: Tensor) -> None:
    """Raise ValueError unless all targets are whole numbers >= 0."""
    wrong = (y < 0) | (y != y.round()) if y.is_floating_point() else y < 0
    if bool(wrong.any()):
        place = torch.nonzero(wrong)[0].tolist()
        raise ValueError(
            f"y must hold counts, whole numbers >= 0, for likelihood={name!r}, "
            f"got {y[tuple(place)].item():g} at {place}"
        )
