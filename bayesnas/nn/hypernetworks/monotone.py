"""Logits that turn to what costs less, never back, as the KL weight grows."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.nn.hypernetworks.base import Hypernet, HypernetInputs
from bayesnas.nn.hypernetworks.intervals import Interval
from bayesnas.nn.hypernetworks.knots import Knots, checked_costs, checked_knots, positions
from bayesnas.nn.hypernetworks.parameter_map import Pairs, ParameterMap
from bayesnas.typed import typed

_FIRST_FALL = 0.05  # of g over a stretch: hardly a preference before any gradient


class MonotoneNet(Hypernet):
    r"""Logits θ of which the costlier of any two falls behind the cheaper as t grows.

    .. math::
        \theta_{rk}(t) = a_{rk} - \sum_{j \le k} g_{rj}(t), \qquad
        g_{rj}(t) = \sum_i \mathrm{softplus}(\rho_{rji})\,
        \min\Bigl(1, \max\Bigl(0, \frac{t - t_{i-1}}{t_i - t_{i-1}}\Bigr)\Bigr)

    for every row r, all dims but the last, with its entries k counted by cost and g = 0 between
    entries of equal cost: piecewise linear in t, exact at the knots. For c_k > c_k' the difference
    θ_k(t) − θ_k'(t) only falls, so the likeliest entry never costs more at a larger t; at equal
    cost the difference stays, and so does the order.

    A step at t trains the falls ρ of its own stretch, and on the first one a as well. So large λ,
    whose gradients are larger, do not train what small ones start from.

    Args:
        initial: starting value of θ, ``[P]``.
        costs: c, ``[P]``; only the order within a row counts.
        columns: entries a row.
        knots: t of every knot, increasing, from 0 to 1.

    >>> import torch
    >>> net = MonotoneNet(torch.zeros(3), torch.tensor([500.0, 0.0, 300.0]), 3, [0.0, 0.5, 1.0])
    >>> _ = [leaf.data.fill_(20.0) for leaf in net.leaves[1:]]  # softplus(20) = 20
    >>> net.at(0.5), net.at(0.75)
    (tensor([-40.,   0., -20.]), tensor([-60.,   0., -30.]))
    """

    dearer: Tensor
    rank: Tensor

    def __init__(
        self, initial: Tensor, costs: Tensor, columns: int, knots: Sequence[float]
    ) -> None:
        """Start with small falls; see the class."""
        super().__init__()
        ordered, order = costs.view(-1, columns).sort(dim=1, stable=True)
        self.register_buffer("dearer", (ordered.diff(dim=1) > 0).to(initial))
        self.register_buffer("rank", order.argsort(1).to(initial.device))
        self.knots = tuple(float(knot) for knot in knots)
        start = initial.new_full((self.dearer.numel(),), math.log(math.expm1(_FIRST_FALL)))
        falls = [nn.Parameter(start.clone()) for _ in self.knots[1:]]
        self.leaves = nn.ParameterList([nn.Parameter(initial.clone()), *falls])

    def place(self, *t: float) -> HypernetInputs:
        """All of it, with the share of each stretch between two knots that lies below t."""
        (end,) = t
        stretches = zip(self.knots[:-1], self.knots[1:], strict=True)
        shares = [min(1.0, max(0.0, (end - left) / (right - left))) for left, right in stretches]
        current = bisect.bisect_right(self.knots[1:-1], end)
        moves = [index == current and share > 0 for index, share in enumerate(shares)]
        return HypernetInputs(tuple(range(len(self.leaves))), (current == 0, *moves), tuple(shares))

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Starting values, less the falls of all that costs no more."""
        falls = F.softplus(torch.stack(list(leaves[1:]), 1)) @ inputs
        fallen = F.pad((falls.view_as(self.dearer) * self.dearer).cumsum(1), (1, 0))
        return leaves[0] - fallen.gather(1, self.rank).flatten()


@typed()
@dataclass(frozen=True)
class MonotoneMap(ParameterMap):
    """Logits of which the costlier of any two falls behind the cheaper as λ grows.

    The likeliest entry of a row then never costs more at a larger λ; see
    :class:`MonotoneNet`. It is the map of one tensor,
    ``amortize={"structural.gamma.logits": Monotone(costs)}``.

    Attributes:
        costs: as many numbers as the tensor has, its last dim running fastest; their order within
            a row counts.
        knots: as for :class:`~bayesnas.nn.hypernetworks.options.PiecewiseMap`.

    Raises:
        ValueError: for costs that are not finite, another count of them than the tensor has, or
            knots that do not fit, or metaparameters besides λ.

    >>> MonotoneMap((0.0, 400.0, 800.0), knots=3).kind
    'monotone'
    """

    kind: ClassVar[str] = "monotone"

    costs: tuple[float, ...]
    knots: Knots = 5

    def __post_init__(self) -> None:
        """Check costs and knots."""
        object.__setattr__(self, "costs", checked_costs(self.costs))
        object.__setattr__(self, "knots", checked_knots(self.knots))

    def check(self, *axes: Interval) -> None:
        """Raise ValueError unless λ is the only metaparameter, and the knots span its range."""
        if len(axes) > 1:
            names = [axis.name for axis in axes[1:]]
            raise ValueError(
                "amortize: a monotone map is a function of the KL weight alone, got the "
                f"metaparameters {names} besides"
            )
        positions(self.knots, axes)

    def build(
        self, initial: Tensor, shapes: Sequence[Any], *axes: Interval, gaussians: Pairs = ()
    ) -> Hypernet:
        """Where entries start, and how far they fall on each stretch between knots."""
        if len(shapes) != 1 or not shapes[0] or len(self.costs) != initial.numel():
            raise ValueError(
                "costs must have a number for each of one tensor, "
                f"got {len(self.costs)} for shapes {[list(shape) for shape in shapes]}"
            )
        costs = torch.tensor(self.costs, dtype=torch.float64)  # not to round two into one
        (knots,) = positions(self.knots, axes)
        return MonotoneNet(initial, costs, shapes[0][-1], knots)
