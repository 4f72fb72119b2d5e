"""Choosing metaparameters by the evidence, along one fit that is over them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.inference.evidence.result import Evidence
from bayesnas.nn.hypernetworks.intervals import Interval

if TYPE_CHECKING:
    import xarray as xr

_ROUNDS = 3  # each looks between the neighbours of the best point of the one before


@dataclass(frozen=True)
class Choice:
    """Metaparameters of most evidence.

    Attributes:
        values: by name.
        evidence: there.
        grid: ``log_evidence`` and its standard error ``error`` over the whole ranges, in nats, with
            a dim for every metaparameter.
    """

    values: Mapping[str, float]
    evidence: Evidence
    grid: xr.Dataset

    def __repr__(self) -> str:
        """Values and evidence on one line."""
        values = ", ".join(f"{name}={value:.3g}" for name, value in self.values.items())
        return f"Choice({values}, {self.evidence!r})"


def most_evident(
    evidence_at: Callable[[Mapping[str, float]], Evidence], axes: Sequence[Interval], points: int
) -> Choice:
    """Search the ranges of metaparameters for the most evidence, by grids that grow finer.

    Args:
        evidence_at: the evidence at metaparameters, under one seed for all.
        axes: their ranges.
        points: of a grid along every axis, at least 3.

    >>> from bayesnas.nn.hypernetworks.intervals import LinearInterval
    >>> def peak(values):
    ...     return Evidence(-((values["a"] - 0.3) ** 2), 0.0, -math.inf, math.inf, "exact")
    >>> result = most_evident(peak, [LinearInterval(0.0, 1.0, "a")], 9)
    >>> abs(result.values["a"] - 0.3) < 0.01
    True
    """
    low, high = [0.0] * len(axes), [1.0] * len(axes)
    grid = None
    for _ in range(_ROUNDS):
        places = [np.linspace(a, b, points).tolist() for a, b in zip(low, high, strict=True)]
        evidences = {t: evidence_at(_values(axes, t)) for t in itertools.product(*places)}
        best = max(evidences, key=lambda t: _height(evidences[t]))
        grid = _as_grid(axes, places, list(evidences.values())) if grid is None else grid
        steps = [axis[1] - axis[0] for axis in places]
        low = [max(0.0, t - step) for t, step in zip(best, steps, strict=True)]
        high = [min(1.0, t + step) for t, step in zip(best, steps, strict=True)]
    assert grid is not None
    return Choice(_values(axes, best), evidences[best], grid)


def _values(axes: Sequence[Interval], t: Sequence[float]) -> dict[str, float]:
    return {axis.name: axis.value(place) for axis, place in zip(axes, t, strict=True)}


def _height(evidence: Evidence) -> float:
    value = evidence.log_evidence
    return -math.inf if math.isnan(value) else value


def _as_grid(
    axes: Sequence[Interval], places: Sequence[Sequence[float]], evidences: Sequence[Evidence]
) -> xr.Dataset:
    import xarray as xr

    names, shape = [axis.name for axis in axes], [len(place) for place in places]
    measured = {
        "log_evidence": [evidence.log_evidence for evidence in evidences],
        "error": [evidence.error for evidence in evidences],
    }
    return xr.Dataset(
        {name: (names, np.reshape(values, shape)) for name, values in measured.items()},
        coords={
            axis.name: [axis.value(t) for t in place]
            for axis, place in zip(axes, places, strict=True)
        },
    )
