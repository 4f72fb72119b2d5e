"""The kinds of maps from metaparameters to parameters, and their options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from bayesnas.checks import flag, shown, size
from bayesnas.nn.hypernetworks.base import ConstantNet, Hypernet, ModuleNet
from bayesnas.nn.hypernetworks.curvature import CurvatureMap
from bayesnas.nn.hypernetworks.intervals import Interval
from bayesnas.nn.hypernetworks.knots import Knots, checked_knots, positions
from bayesnas.nn.hypernetworks.low_rank import LowRankNet
from bayesnas.nn.hypernetworks.monotone import MonotoneMap
from bayesnas.nn.hypernetworks.parameter_map import Pairs, ParameterMap
from bayesnas.nn.hypernetworks.piecewise import PiecewiseLinearNet
from bayesnas.nn.modules.parameter_names import begins, matching
from bayesnas.typed import typed


@dataclass(frozen=True)
class ConstantMap(ParameterMap):
    """θ that is the same everywhere."""

    kind: ClassVar[str] = "constant"

    def build(
        self, initial: Tensor, shapes: Sequence[Any], *axes: Interval, gaussians: Pairs = ()
    ) -> Hypernet:
        """One vector."""
        return ConstantNet(nn.Parameter(initial.clone()))


@dataclass(frozen=True)
class LinearMap(ParameterMap):
    """θ linear in log λ: θ(t) = (1 − t) θ₀ + t θ₁ (Grebenkova et al. 2021, equation 7).

    With more metaparameters linear in each of them: 2^d copies of the parameters, at the corners of
    their ranges.

    >>> LinearMap().config()
    {'kind': 'linear'}
    """

    kind: ClassVar[str] = "linear"

    def build(
        self, initial: Tensor, shapes: Sequence[Any], *axes: Interval, gaussians: Pairs = ()
    ) -> Hypernet:
        """Two knots an axis, at the ends."""
        return PiecewiseLinearNet(initial, *[(0.0, 1.0)] * len(axes))


@typed()
@dataclass(frozen=True)
class PiecewiseMap(ParameterMap):
    """θ piecewise linear in log λ, and in every other metaparameter of the fit.

    Attributes:
        knots: their number, evenly spaced over log λ and both ends included; or the λ of every
            knot, increasing, from the lower end of the range to the upper. With more
            metaparameters of each of them; a mapping gives knots by name,
            ``{"kl_weight": 5, "prior_scale": 3}``, and what it leaves out has 3. In all there is a
            copy of the parameters for every knot of the grid.
        coarse_to_fine: begin the training with few knots (see
            :class:`~bayesnas.nn.hypernetworks.piecewise.PiecewiseLinearNet`).

    Raises:
        ValueError: for fewer than two knots, values that do not increase or do not span the range,
            or a name that is no metaparameter of the fit.

    References:
        Grebenkova, Bakhteev, Strijov, *Deep learning model selection with complexity control*,
        2023 (piecewise linear maps).

    >>> from bayesnas.nn.hypernetworks.intervals import LogInterval
    >>> PiecewiseMap(knots=3).positions(LogInterval(0.1, 1000.0))
    [[0.0, 0.5, 1.0]]
    """

    kind: ClassVar[str] = "piecewise"

    knots: Knots | Mapping[str, Knots] = 5
    coarse_to_fine: bool = True

    def __post_init__(self) -> None:
        """Check the knots."""
        flag("coarse_to_fine", self.coarse_to_fine)
        object.__setattr__(self, "knots", checked_knots(self.knots))

    def __hash__(self) -> int:
        """By all of it; a mapping has none of its own."""
        return hash((str(self.knots), self.coarse_to_fine))

    def positions(self, *axes: Interval) -> list[list[float]]:
        """T of every knot, axis by axis."""
        return positions(self.knots, axes)

    def check(self, *axes: Interval) -> None:
        """Raise ValueError unless the knots span the ranges."""
        self.positions(*axes)

    def build(
        self, initial: Tensor, shapes: Sequence[Any], *axes: Interval, gaussians: Pairs = ()
    ) -> Hypernet:
        """One copy of the parameters a knot."""
        knots = self.positions(*axes)
        return PiecewiseLinearNet(initial, *knots, coarse_to_fine=self.coarse_to_fine)


@typed()
@dataclass(frozen=True)
class LowRankMap(ParameterMap):
    """A low-rank change of every tensor from a small network of log λ, and what else there is.

    Attributes:
        rank: number of outer products.
        hidden: width of the small network.

    Raises:
        ValueError: unless both are whole numbers >= 1.

    References:
        Grebenkova, Bakhteev, Strijov 2021, equation (6).

    >>> import bayesnas as bn
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 8, 10]))
    >>> data = bn.data.load("digits")
    >>> span = bn.LogUniform(0.1, 10)
    >>> post = bn.fit(model, data.train, kl_weight=span, amortize=LowRankMap(rank=2), steps=5)
    >>> post.at(1.0).kl_weight
    1.0
    """

    kind: ClassVar[str] = "low-rank"

    rank: int = 1
    hidden: int = 50

    def __post_init__(self) -> None:
        """Check both."""
        for name in ("rank", "hidden"):
            object.__setattr__(self, name, size(name, getattr(self, name)))

    def build(
        self, initial: Tensor, shapes: Sequence[Any], *axes: Interval, gaussians: Pairs = ()
    ) -> Hypernet:
        """A network a tensor."""
        return LowRankNet(initial, shapes, rank=self.rank, hidden=self.hidden, axes=len(axes))


@dataclass(frozen=True)
class CustomMap(ParameterMap):
    """A map of your own.

    Attributes:
        factory: called with the initial parameters, one vector ``[P]``; returns an
            ``nn.Module`` that gives such a vector when called with t in [0, 1]^d, a tensor ``[d]``:
            normalised log λ, then the other metaparameters in the order in which they were given.
    """

    kind: ClassVar[str] = "custom"

    factory: Callable[[Tensor], nn.Module]

    def build(
        self, initial: Tensor, shapes: Sequence[Any], *axes: Interval, gaussians: Pairs = ()
    ) -> Hypernet:
        """Call the factory."""
        module = self.factory(initial.detach().clone())
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"amortize must make an nn.Module from the initial parameters, got {shown(module)}"
            )
        return ModuleNet(module, initial, len(axes))

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
        return next((each for b, each in self.maps if begins(name, b)), ConstantMap())

    def check_names(self, names: Sequence[str]) -> None:
        """Raise ValueError for a beginning that no name has."""
        matching(names, [beginning for beginning, _ in self.maps], "amortize")

    def check(self, *axes: Interval) -> None:
        """Raise ValueError where the options of a map do not fit the ranges."""
        for _, each in self.maps:
            each.check(*axes)

    def config(self) -> dict[str, Any]:
        """Kind and maps, as JSON values."""
        return {"kind": self.kind, "maps": [[b, each.config()] for b, each in self.maps]}


_KINDS: dict[str, type[ParameterMap]] = {
    kind.kind: kind
    for kind in (ConstantMap, CurvatureMap, LinearMap, LowRankMap, MonotoneMap, PiecewiseMap)
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
        f"amortize must be one of {sorted(_KINDS)}, one of bayesnas.nn.CurvatureMap, LinearMap, "
        "PiecewiseMap and LowRankMap with its options, or a function that makes a module, got "
        f"{amortize!r}"
    )


def read_map(config: dict[str, Any]) -> ParameterMap | ByName:
    """Rebuild a map from its :meth:`ParameterMap.config`.

    Raises:
        ValueError: for an unknown kind, or a map of the user's own.
    """
    if config["kind"] == ByName.kind:
        return ByName(tuple((name, _read_one(each)) for name, each in config["maps"]))
    return _read_one(config)


def _read_one(config: Mapping[str, Any]) -> ParameterMap:
    options = {name: value for name, value in config.items() if name != "kind"}
    if config["kind"] not in _KINDS:
        raise ValueError(
            "the run was amortised by a map of its own: pass it, bayesnas.load(path, amortize=...)"
        )
    return _KINDS[config["kind"]](**options)
