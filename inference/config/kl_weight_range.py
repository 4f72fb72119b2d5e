"""One fit for a range of KL weights: how λ is drawn, and what the parameters are at each."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from bayesnas.distributions import LogUniform
from bayesnas.nn.hypernetworks.kl_range import LogInterval, ParameterMap
from bayesnas.nn.hypernetworks.options import Amortize, ByName, make_map, read_map

_GOLDEN = 0.6180339887498949
_BEYOND = 0.1


@dataclass(frozen=True)
class KLWeightRange:
    """What a fit over a range of KL weights is made of.

    Attributes:
        span: the range of λ.
        map: from λ to the parameters.
    """

    span: LogInterval
    map: ParameterMap | ByName

    def draw(self, step: int, seed: int) -> float:
        """λ of a step.

        The steps walk over log λ by the golden ratio, so that any stretch of them covers the
        range evenly, with less noise than independent draws; the start depends on the seed.
        Draws reach a tenth of the range beyond each end and are cut off there: the ends, which
        have neighbours on one side alone, are seen as often as what lies between.

        >>> found = KLWeightRange(LogInterval(0.1, 100.0), make_map("linear"))
        >>> draws = [found.draw(step, seed=0) for step in range(1000)]
        >>> 490 < sum(draw < 10**0.5 for draw in draws) < 510  # below the middle of log λ
        True
        """
        covered = (_start(seed) + step * _GOLDEN) % 1.0
        return self.span.kl_weight(min(max((1 + 2 * _BEYOND) * covered - _BEYOND, 0.0), 1.0))

    def to_dict(self) -> dict[str, Any]:
        """Range and map, as JSON values."""
        return {"low": self.span.low, "high": self.span.high, **self.map.config()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], own: Amortize | None = None) -> KLWeightRange:
        """Rebuild from what :meth:`to_dict` gave; ``own`` is a map that JSON can't hold."""
        options = {k: v for k, v in values.items() if k not in ("low", "high")}
        found = read_map(options) if own is None else make_map(own)
        return cls(LogInterval(values["low"], values["high"]), found)


_SALT = 0x6C616D  # keeps the draws of λ apart from all else that the seed decides


@functools.lru_cache(maxsize=64)  # asked for at every step
def _start(seed: int) -> float:
    return float(np.random.default_rng([seed, _SALT]).random())


def make_amortization(kl_weight: object, amortize: Amortize | None) -> KLWeightRange | None:
    """Read ``kl_weight=`` and ``amortize=`` of a fit; None for a fit at one λ.

    Raises:
        TypeError, ValueError: where the two do not fit together.

    >>> import bayesnas as bn
    >>> make_amortization(bn.LogUniform(0.1, 10), None).map.kind
    'piecewise'
    """
    if not isinstance(kl_weight, LogUniform):
        if amortize is not None:
            raise ValueError(
                "amortize needs a range of KL weights, kl_weight=bayesnas.LogUniform(low, high), "
                f"got kl_weight={kl_weight!r}"
            )
        return None
    if kl_weight.batch_shape:
        raise ValueError(
            "kl_weight must be one range, got a LogUniform of batch shape "
            f"{list(kl_weight.batch_shape)}"
        )
    span = LogInterval(_decimal(kl_weight.low), _decimal(kl_weight.high))
    found = make_map("piecewise" if amortize is None else amortize)
    found.check(span)
    return KLWeightRange(span, found)


def _decimal(value: Tensor) -> float:
    """The number that was meant: 0.1, not the nearest in single precision."""
    return float(str(value.detach().cpu().numpy()))
