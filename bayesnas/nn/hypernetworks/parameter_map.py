"""What a map from metaparameters to parameters is."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from torch import Tensor

from bayesnas.nn.hypernetworks.base import Hypernet
from bayesnas.nn.hypernetworks.intervals import Interval

Pairs = Sequence[tuple[int, int]]
"""Positions among the tensors of θ of the mean of a Gaussian factor and of its ln σ."""


class ParameterMap(abc.ABC):
    """A kind of map from metaparameters to parameters; builds the hypernetwork of a model."""

    kind: ClassVar[str]

    def of(self, name: str) -> ParameterMap:
        """The map of one parameter."""
        return self

    def check_names(self, names: Sequence[str]) -> None:  # noqa: B027  # one map fits all
        """Raise ValueError where the map does not fit the names of the parameters."""

    @abc.abstractmethod
    def build(
        self, initial: Tensor, shapes: Sequence[Any], *axes: Interval, gaussians: Pairs = ()
    ) -> Hypernet:
        """Make the hypernetwork that starts at ``initial`` in the middle of the ranges.

        Args:
            initial: all trainable parameters, ``[P]``.
            shapes: of the tensors that it holds one after the other.
            axes: the range of every metaparameter, that of λ first.
            gaussians: which tensors are mean and log standard deviation of one Gaussian factor.
        """

    def check(self, *axes: Interval) -> None:  # noqa: B027  # most options fit any range
        """Raise ValueError where the options do not fit the ranges."""

    def config(self) -> dict[str, Any]:
        """Kind and options, as JSON values."""
        options = asdict(self)  # type: ignore[call-overload]
        return {"kind": self.kind, **{name: _as_json(value) for name, value in options.items()}}


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
