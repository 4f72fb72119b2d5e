"""One fit for many metaparameters: how they are drawn, and what the parameters are at each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from bayesnas.checks import shown
from bayesnas.distributions import LogUniform, Uniform
from bayesnas.nn.hypernetworks.intervals import (
    INTERVALS,
    KL_WEIGHT,
    Interval,
    LinearInterval,
    LogInterval,
)
from bayesnas.nn.hypernetworks.options import Amortize, ByName, make_map, read_map
from bayesnas.nn.hypernetworks.parameter_map import ParameterMap
from bayesnas.runtime.processes.share import WHOLE, Share

Values = Mapping[str, float]
"""Metaparameters besides λ, by name."""

NONE: Values = {}

_BEYOND = 0.1


@dataclass(frozen=True)
class Amortization:
    """What a fit over a range of KL weights, and of other metaparameters, is made of.

    Attributes:
        span: the range of λ.
        map: from λ and the others to the parameters.
        others: the ranges of the other metaparameters.
    """

    span: LogInterval
    map: ParameterMap | ByName
    others: tuple[Interval, ...] = ()

    @property
    def axes(self) -> tuple[Interval, ...]:
        """Every range, that of λ first."""
        return (self.span, *self.others)

    def normalised(self, kl_weight: float, metaparameters: Values = NONE) -> tuple[float, ...]:
        """T along every axis.

        Raises:
            ValueError: for a value outside its range, one that is missing, or one too many.
        """
        self.check_others(metaparameters)
        if missing := [axis for axis in self.others if axis.name not in metaparameters]:
            ranges = ", ".join(f"{a.name} in [{a.low:g}, {a.high:g}]" for a in missing)
            raise ValueError(
                f"{missing[0].name} must be given too, post.at(kl_weight, {missing[0].name}=...): "
                f"the fit is over {ranges}"
            )
        rest = [axis.normalised(metaparameters[axis.name]) for axis in self.others]
        return (self.span.normalised(kl_weight), *rest)

    def check_others(self, metaparameters: Values) -> None:
        """Raise ValueError for a name that the fit is not over, or a value outside its range."""
        axes = {axis.name: axis for axis in self.others}
        for name, value in metaparameters.items():
            if name not in axes:
                raise ValueError(
                    f"metaparameters must be of those fitted, {[KL_WEIGHT, *axes]}, got {name!r}"
                )
            axes[name].normalised(value)

    def values(self, *t: float) -> tuple[float, Values]:
        """λ and the other metaparameters at t."""
        first, *rest = t
        pairs = zip(self.others, rest, strict=True)
        return self.span.value(first), {axis.name: axis.value(at) for axis, at in pairs}

    def all_at(self, t: float) -> tuple[float, Values]:
        """λ and the other metaparameters at the same t along every axis."""
        return self.values(*[t] * len(self.axes))

    def draw(self, step: int, seed: int, share: Share = WHOLE) -> tuple[float, Values]:
        """λ and the other metaparameters of a step.

        The steps walk over log λ by the golden ratio, and over d metaparameters by its
        generalisation, the powers of the root of x^(d+1) = x + 1 (Roberts 2018). So any stretch of
        them covers the ranges evenly, with less noise than independent draws; the start depends on
        the seed. Draws reach a tenth of a range beyond each end and are cut off there: the ends,
        which have neighbours on one side alone, are seen as often as what lies between.

        Args:
            step: counted from 0.
            seed: of the fit.
            share: process r of K that take the step together, each at a λ of its own: their log λ
                lie 1/K of the range apart.

        >>> over = Amortization(LogInterval(0.1, 100.0), make_map("linear"))
        >>> draws = [over.draw(step, seed=0)[0] for step in range(1000)]
        >>> 490 < sum(draw < 10**0.5 for draw in draws) < 510  # below the middle of log λ
        True
        """
        rank, size = share
        starts, strides = _start(seed, len(self.axes)), _strides(len(self.axes))
        places = [starts[0] + step * strides[0] + rank / size]
        rest = zip(starts[1:], strides[1:], strict=True)
        places += [start + (step * size + rank) * stride for start, stride in rest]
        return self.values(*(_stretched(place % 1.0) for place in places))

    def to_dict(self) -> dict[str, Any]:
        """Ranges and map, as JSON values."""
        others = {"others": [axis.to_dict() for axis in self.others]} if self.others else {}
        return {"low": self.span.low, "high": self.span.high, **others, **self.map.config()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], given: Amortize | None = None) -> Amortization:
        """Rebuild from what :meth:`to_dict` gave; ``given`` is a map that JSON can't hold."""
        options = {k: v for k, v in values.items() if k not in ("low", "high", "others")}
        parameter_map = read_map(options) if given is None else make_map(given)
        others = tuple(_read_interval(axis) for axis in values.get("others", ()))
        return cls(LogInterval(values["low"], values["high"]), parameter_map, others)


_SALT = 0x6C616D  # keeps the draws of λ apart from all else that the seed decides


@functools.lru_cache(maxsize=64)  # asked for at every step
def _start(seed: int, axes: int) -> tuple[float, ...]:
    return tuple(np.random.default_rng([seed, _SALT]).random(axes).tolist())


@functools.cache
def _strides(axes: int) -> tuple[float, ...]:
    """1/φ, 1/φ², … with φ^(axes + 1) = φ + 1: the golden ratio for one axis."""
    if axes == 1:
        return (0.6180339887498949,)
    root = 2.0
    for _ in range(100):
        root = (1.0 + root) ** (1.0 / (axes + 1))
    return tuple(root**-power for power in range(1, axes + 1))


def _stretched(covered: float) -> float:
    return min(max((1 + 2 * _BEYOND) * covered - _BEYOND, 0.0), 1.0)


def _read_interval(values: Mapping[str, Any]) -> Interval:
    kind = INTERVALS[values["spacing"]]
    return kind(values["low"], values["high"], values["name"])


def make_amortization(
    kl_weight: object,
    amortize: Amortize | None,
    metaparameters: Mapping[str, object] | None = None,
    known: Sequence[str] = (),
) -> Amortization | None:
    """Read ``kl_weight=``, ``amortize=`` and ``metaparameters=`` of a fit; None for one λ.

    Args:
        kl_weight: λ, or its range.
        amortize: kind of map.
        metaparameters: ranges of others, by name.
        known: names that the model has.

    Raises:
        TypeError, ValueError: where they do not fit together.

    >>> import bayesnas as bn
    >>> make_amortization(bn.LogUniform(0.1, 10), None).map.kind
    'piecewise'
    """
    if not isinstance(kl_weight, LogUniform):
        for name, given in (("amortize", amortize), ("metaparameters", metaparameters)):
            if given:
                raise ValueError(
                    f"{name} needs a range of KL weights, "
                    f"kl_weight=bayesnas.LogUniform(low, high), got kl_weight={shown(kl_weight)}"
                )
        return None
    span = _interval(KL_WEIGHT, kl_weight)
    assert isinstance(span, LogInterval)
    if metaparameters is not None and not isinstance(metaparameters, Mapping):
        raise TypeError(f"metaparameters must be a mapping from names, got {shown(metaparameters)}")
    if unknown := sorted(set(metaparameters or ()) - set(known)):
        raise ValueError(
            f"metaparameters must be of those that the model has, {list(known)}, got {unknown}"
        )
    others = tuple(
        _interval(f"metaparameters[{name!r}]", given, name)
        for name, given in (metaparameters or {}).items()
    )
    parameter_map = make_map("piecewise" if amortize is None else amortize)
    parameter_map.check(span, *others)
    return Amortization(span, parameter_map, others)


def _interval(argument: str, given: object, name: str = KL_WEIGHT) -> Interval:
    """The range that a distribution stands for."""
    if not isinstance(given, (LogUniform, Uniform)):
        raise TypeError(
            f"{argument} must be a range, bayesnas.LogUniform(low, high) or "
            f"bayesnas.Uniform(low, high), got {shown(given)}"
        )
    if given.batch_shape:
        raise ValueError(
            f"{argument} must be one range, got a {type(given).__name__} of batch shape "
            f"{list(given.batch_shape)}"
        )
    kind = LogInterval if isinstance(given, LogUniform) else LinearInterval
    return kind(_decimal(given.low), _decimal(given.high), name)


def _decimal(value: Tensor) -> float:
    """The number that was meant: 0.1, not the nearest in single precision."""
    return float(str(value.detach().cpu().numpy()))
