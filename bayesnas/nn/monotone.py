"""Parameters that move along a direction, ever farther as the KL weight grows."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.nn.hypernet import Hypernet, Place

_FIRST_INCREASE = 0.1  # of g over a stretch: hardly a preference before any gradient


class MonotoneNet(Hypernet):
    r"""θ that moves against a direction d, with steps that never turn back.

    .. math::
        \theta_r(t) = \theta_r - g_r(t)\, \frac{d_r - \bar d_r}{s_r}, \qquad
        g_r(t) = \sum_i \mathrm{softplus}(\rho_{ri})\,
        \min\Bigl(1, \max\Bigl(0, \frac{t - t_{i-1}}{t_i - t_{i-1}}\Bigr)\Bigr)

    for every row r, all dims but the last, with the mean and standard deviation of its d: piecewise
    linear in t, exact at the knots, g increasing from 0. Where θ are logits of operations and d
    their costs, the likeliest operation of a row never costs more at a larger t: for t < t' and
    arg maxima k, k', adding up their two inequalities gives (g(t') − g(t)) (d_k − d_k') ≥ 0.

    A step at t trains the increase ρ of its own stretch, and on the first one θ as well. So large
    λ, whose gradients are larger, do not train what small ones start from.

    Args:
        initial: starting value of θ, ``[P]``.
        direction: d, ``[P]``; a row of equal numbers does not move.
        columns: numbers a row.
        knots: t of every knot, increasing, from 0 to 1.

    >>> import torch
    >>> net = MonotoneNet(torch.zeros(2), torch.tensor([300.0, 500.0]), 2, [0.0, 0.5, 1.0])
    >>> _ = [leaf.data.fill_(20.0) for leaf in net.leaves[1:]]  # softplus(20) = 20
    >>> net.at(0.5), net.at(0.75)
    (tensor([ 20., -20.]), tensor([ 30., -30.]))
    """

    direction: Tensor

    def __init__(
        self, initial: Tensor, direction: Tensor, columns: int, knots: Sequence[float]
    ) -> None:
        """Start with a small slope; see the class."""
        super().__init__()
        rows = direction.to(initial).view(-1, columns)
        spread, mean = torch.std_mean(rows, 1, correction=0, keepdim=True)
        self.register_buffer("direction", (rows - mean) / spread.where(spread > 0, 1.0))
        self.knots = tuple(float(knot) for knot in knots)
        start = initial.new_full((len(rows),), math.log(math.expm1(_FIRST_INCREASE)))
        increases = [nn.Parameter(start.clone()) for _ in self.knots[1:]]
        self.leaves = nn.ParameterList([nn.Parameter(initial.clone()), *increases])

    def place(self, t: float) -> Place:
        """All of it, with the share of each stretch between two knots that lies below t."""
        stretches = zip(self.knots[:-1], self.knots[1:], strict=True)
        shares = [min(1.0, max(0.0, (t - left) / (right - left))) for left, right in stretches]
        own = bisect.bisect_right(self.knots[1:-1], t)
        moves = [index == own and share > 0 for index, share in enumerate(shares)]
        return Place(tuple(range(len(self.leaves))), (own == 0, *moves), tuple(shares))

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """θ less what its rows have gone along the direction."""
        gone = F.softplus(torch.stack(list(leaves[1:]), 1)) @ inputs
        return leaves[0] - (gone.unsqueeze(1) * self.direction).flatten()
