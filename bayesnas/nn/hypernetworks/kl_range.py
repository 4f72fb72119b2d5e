"""What a map from the KL weight λ to parameters is."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor

from bayesnas.nn.hypernetworks.base import Hypernet

_SLACK = 1e-6  # relative: how far outside the range a λ may lie by rounding


@dataclass(frozen=True)
class LogInterval:
    """A range of KL weights on a log scale.

    Attributes:
        low: smallest λ, > 0.
        high: largest λ.

    >>> LogInterval(0.1, 1000.0).normalised(10.0)
    0.5
    """

    low: float
    high: float

    def normalised(self, kl_weight: float) -> float:
        """T in [0, 1]: ln(λ / low) / ln(high / low).

        Raises:
            ValueError: for a λ outside the range; the message says the range.
        """
        if not self.low * (1 - _SLACK) <= kl_weight <= self.high * (1 + _SLACK):
            raise ValueError(
                f"kl_weight must be in the fitted range [{self.low:g}, {self.high:g}], "
                f"got {kl_weight!r}"
            )
        t = math.log(kl_weight / self.low) / math.log(self.high / self.low)
        return min(max(t, 0.0), 1.0)

    def kl_weight(self, t: float) -> float:
        """λ at t, exact at both ends."""
        if t in (0.0, 1.0):
            return self.high if t else self.low
        return float(self.low * (self.high / self.low) ** t)


class ParameterMap(abc.ABC):
    """A kind of map from λ to parameters; builds the hypernetwork of a model."""

    kind: ClassVar[str]

    def of(self, name: str) -> ParameterMap:
        """The map of one parameter."""
        return self

    def check_names(self, names: Sequence[str]) -> None:  # noqa: B027  # one map fits all
        """Raise ValueError where the map does not fit the names of the parameters."""

    @abc.abstractmethod
    def build(self, initial: Tensor, shapes: Sequence[Any], span: LogInterval) -> Hypernet:
        """Make the hypernetwork that starts at ``initial`` for every λ.

        Args:
            initial: all trainable parameters, ``[P]``.
            shapes: of the tensors that it holds one after the other.
            span: the range of λ.
        """

    def check(self, span: LogInterval) -> None:  # noqa: B027  # most options fit any range
        """Raise ValueError where the options do not fit the range of λ."""

    def config(self) -> dict[str, Any]:
        """Kind and options, as JSON values."""
        options = asdict(self)  # type: ignore[call-overload]
        lists = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
        return {"kind": self.kind, **lists}
