"""The kinds of maps from the KL weight λ to parameters, and their options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from bayesnas.checks import flag, whole_number
from bayesnas.nn.hypernetworks.base import ConstantNet, Hypernet, ModuleNet, PiecewiseLinearNet
from bayesnas.nn.hypernetworks.kl_range import LogInterval, ParameterMap
from bayesnas.nn.hypernetworks.knots import checked_costs, checked_knots
from bayesnas.nn.hypernetworks.low_rank import LowRankNet
from bayesnas.nn.hypernetworks.monotone import MonotoneNet
from bayesnas.nn.modules.parameter_names import begins, matching
from bayesnas.typed import typed


@dataclass(frozen=True)
class ConstantMap(ParameterMap):
    """θ that is the same for every λ."""

    kind: ClassVar[str] = "constant"

    def build(self, initial: Tensor, shapes: Sequence[Any], span: LogInterval) -> Hypernet:
        """One vector."""
        return ConstantNet(nn.Parameter(initial.clone()))


@dataclass(frozen=True)
class LinearMap(ParameterMap):
    """θ linear in log λ: θ(t) = (1 − t) θ₀ + t θ₁ (Grebenkova et al. 2021, equation 7)."""

    kind: ClassVar[str] = "linear"

    def build(self, initial: Tensor, shapes: Sequence[Any], span: LogInterval) -> Hypernet:
        """Two knots, at the ends."""
        return PiecewiseLinearNet(initial, (0.0, 1.0))


@typed()
@dataclass(frozen=True)
class PiecewiseMap(ParameterMap):
    """θ piecewise linear in log λ.

    Attributes:
        knots: their number, evenly spaced over log λ and both ends included; or the λ of every
            knot, increasing, from the lower end of the range to the upper.
        coarse_to_fine: begin the training with few knots (see
            :class:`~bayesnas.nn.hypernetworks.base.PiecewiseLinearNet`).

    Raises:
        ValueError: for fewer than two knots, or λ that do not increase or do not span the range.

    References:
        Grebenkova, Bakhteev, Strijov, *Deep learning model selection with complexity control*,
        2023 (piecewise linear maps).

    >>> PiecewiseMap(knots=3).positions(LogInterval(0.1, 1000.0))
    [0.0, 0.5, 1.0]
    """

    kind: ClassVar[str] = "piecewise"

    knots: int | tuple[float, ...] = 5
    coarse_to_fine: bool = True

    def __post_init__(self) -> None:
        """Check the knots."""
        flag("coarse_to_fine", self.coarse_to_fine)
        object.__setattr__(self, "knots", checked_knots(self.knots))

    def positions(self, span: LogInterval) -> list[float]:
        """T of every knot."""
        if isinstance(self.knots, int):
            return [index / (self.knots - 1) for index in range(self.knots)]
        found = [span.normalised(knot) for knot in self.knots]
        if found != sorted(set(found)) or (found[0], found[-1]) != (0.0, 1.0):
            raise ValueError(
                f"knots must increase from {span.low:g} to {span.high:g}, the range of kl_weight, "
                f"got {list(self.knots)}"
            )
        return found

    def check(self, span: LogInterval) -> None:
        """Raise ValueError unless the knots span the range."""
        self.positions(span)

    def build(self, initial: Tensor, shapes: Sequence[Any], span: LogInterval) -> Hypernet:
        """One copy of the parameters a knot."""
        return PiecewiseLinearNet(initial, self.positions(span), coarse_to_fine=self.coarse_to_fine)


@typed()
@dataclass(frozen=True)
class MonotoneMap(ParameterMap):
    """Logits of which the costlier of any two falls behind the cheaper as λ grows.

    The likeliest entry of a row then never costs more at a larger λ; see
    :class:`~bayesnas.nn.hypernetworks.monotone.MonotoneNet`. It is the map of one tensor,
    ``amortize={"structural.gamma.logits": Monotone(costs)}``.

    Attributes:
        costs: as many numbers as the tensor has, its last dim running fastest; their order within
            a row counts.
        knots: as for :class:`PiecewiseMap`.

    Raises:
        ValueError: for costs that are not finite, another count of them than the tensor has, or
            knots that do not fit.

    >>> MonotoneMap((0.0, 400.0, 800.0), knots=3).kind
    'monotone'
    """

    kind: ClassVar[str] = "monotone"

    costs: tuple[float, ...]
    knots: int | tuple[float, ...] = 5

    def __post_init__(self) -> None:
        """Check costs and knots."""
        object.__setattr__(self, "costs", checked_costs(self.costs))
        object.__setattr__(self, "knots", self._spaced.knots)

    @property
    def _spaced(self) -> PiecewiseMap:
        return PiecewiseMap(self.knots)

    def check(self, span: LogInterval) -> None:
        """Raise ValueError unless the knots span the range."""
        self._spaced.check(span)

    def build(self, initial: Tensor, shapes: Sequence[Any], span: LogInterval) -> Hypernet:
        """Where entries start, and how far they fall on each stretch between knots."""
        if len(shapes) != 1 or not shapes[0] or len(self.costs) != initial.numel():
            raise ValueError(
                "costs must have a number for each of one tensor, "
                f"got {len(self.costs)} for shapes {[list(shape) for shape in shapes]}"
            )
        costs = torch.tensor(self.costs, dtype=torch.float64)  # not to round two into one
        return MonotoneNet(initial, costs, shapes[0][-1], self._spaced.positions(span))


@typed()
@dataclass(frozen=True)
class LowRankMap(ParameterMap):
    """A low-rank change of every tensor from a small network of log λ.

    Attributes:
        rank: number of outer products.
        hidden: width of the small network.

    Raises:
        ValueError: unless both are whole numbers >= 1.

    References:
        Grebenkova, Bakhteev, Strijov 2021, equation (6).
    """

    kind: ClassVar[str] = "low-rank"

    rank: int = 1
    hidden: int = 50

    def __post_init__(self) -> None:
        """Check both."""
        for name in ("rank", "hidden"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))

    def build(self, initial: Tensor, shapes: Sequence[Any], span: LogInterval) -> Hypernet:
        """A network a tensor."""
        return LowRankNet(initial, shapes, rank=self.rank, hidden=self.hidden)


@dataclass(frozen=True)
class CustomMap(ParameterMap):
    """A map of your own.

    Attributes:
        factory: called with the initial parameters, one vector ``[P]``; returns an
            ``nn.Module`` that gives such a vector when called with t in [0, 1], a tensor ``[1]``.
    """

    kind: ClassVar[str] = "custom"

    factory: Callable[[Tensor], nn.Module]

    def build(self, initial: Tensor, shapes: Sequence[Any], span: LogInterval) -> Hypernet:
        """Call the factory."""
        module = self.factory(initial.detach().clone())
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"amortize must make an nn.Module from the initial parameters, got {module!r}"
            )
        return ModuleNet(module, initial)

    def config(self) -> dict[str, Any]:
        """Only the kind: a function has no JSON form."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class ByName:
    """Maps of parameters chosen by name; parameters without one are constant.

    Attributes:
        maps: pairs of a name, or the first parts of one, and a map; the first that fits counts.

    >>> ByName((("head", LinearMap()),)).of("head.weight").kind
    'linear'
    """

    kind: ClassVar[str] = "by-name"

    maps: tuple[tuple[str, ParameterMap], ...]

    def of(self, name: str) -> ParameterMap:
        """The map of one parameter."""
        return next((found for b, found in self.maps if begins(name, b)), ConstantMap())

    def check_names(self, names: Sequence[str]) -> None:
        """Raise ValueError for a beginning that no name has."""
        matching(names, [beginning for beginning, _ in self.maps], "amortize")

    def check(self, span: LogInterval) -> None:
        """Raise ValueError where the options of a map do not fit the range of λ."""
        for _, found in self.maps:
            found.check(span)

    def config(self) -> dict[str, Any]:
        """Kind and maps, as JSON values."""
        return {"kind": self.kind, "maps": [[b, found.config()] for b, found in self.maps]}


_KINDS: dict[str, type[ParameterMap]] = {
    kind.kind: kind for kind in (ConstantMap, LinearMap, LowRankMap, MonotoneMap, PiecewiseMap)
}


OneMap = str | ParameterMap | type[ParameterMap] | Callable[[Tensor], nn.Module]
Amortize = OneMap | Mapping[str, OneMap]


def make_map(amortize: Amortize) -> ParameterMap | ByName:
    """Read what ``amortize=`` was given.

    Raises:
        ValueError: for an unknown kind.
        TypeError: for anything that is neither a kind nor a function.

    >>> make_map("low-rank")
    LowRankMap(rank=1, hidden=50)
    """
    if isinstance(amortize, Mapping):
        return ByName(tuple((name, _one_map(kind)) for name, kind in amortize.items()))
    return _one_map(amortize)


def _one_map(amortize: OneMap) -> ParameterMap:
    if isinstance(amortize, ParameterMap):
        return amortize
    if isinstance(amortize, str) and amortize in _KINDS:
        return _KINDS[amortize]()
    if isinstance(amortize, type) and issubclass(amortize, ParameterMap):
        return _one_map(amortize())
    if callable(amortize) and not isinstance(amortize, nn.Module):
        return CustomMap(cast(Callable[[Tensor], nn.Module], amortize))
    error = ValueError if isinstance(amortize, str) else TypeError
    raise error(
        f"amortize must be one of {sorted(_KINDS)}, one of bayesnas.nn.LinearMap, PiecewiseMap and "
        f"LowRankMap with its options, or a function that makes a module, got {amortize!r}"
    )


def read_map(config: dict[str, Any]) -> ParameterMap | ByName:
    """Rebuild a map from its :meth:`ParameterMap.config`.

    Raises:
        ValueError: for an unknown kind, or a map of the user's own.
    """
    if config["kind"] == ByName.kind:
        return ByName(tuple((name, _read_one(found)) for name, found in config["maps"]))
    return _read_one(config)


def _read_one(config: Mapping[str, Any]) -> ParameterMap:
    options = {name: value for name, value in config.items() if name != "kind"}
    if config["kind"] not in _KINDS:
        raise ValueError(
            "the run was amortised by a map of its own: pass it, bayesnas.load(path, amortize=...)"
        )
    return _KINDS[config["kind"]](**options)
