"""Parameters that are linear in every metaparameter between knots."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bayesnas.nn.hypernetworks.base import Hypernet, HypernetInputs, InsertedKnot


class PiecewiseLinearNet(Hypernet):
    r"""θ linear in t between knots, exact at them; of several t a tensor product of such lines.

    .. math:: \theta(t) = (1 - w)\,\theta_k + w\,\theta_{k+1},\quad w = (t - t_k)/(t_{k+1} - t_k)

    and of t₁ … t_d the sum over the 2^d knots at the corners of the cell around t, each with the
    product of its shares along the axes: linear in every t alone.

    Training starts with the ends alone; the knots between them come in by halves along every axis,
    at the fractions :data:`REFINED_AT` of the steps, each set to the value of θ where it stands. So
    what all t have in common is learned once, from every step.

    Args:
        initial: starting value of θ, ``[P]``.
        knots: t of every knot along an axis, increasing, from 0 to 1.
        coarse_to_fine: False has all knots from the start.

    Attributes:
        leaves: one a knot, the last axis running fastest.
        active: indices of the knots in use along every axis.

    >>> import torch
    >>> net = PiecewiseLinearNet(torch.zeros(2), [0.0, 0.5, 1.0], coarse_to_fine=False)
    >>> _ = net.leaves[1].data.fill_(1.0)
    >>> net.at(0.5), net.at(0.75)
    (tensor([1., 1.]), tensor([0.5000, 0.5000]))
    >>> box = PiecewiseLinearNet(torch.zeros(1), [0.0, 1.0], [0.0, 1.0])
    >>> _ = box.leaves[3].data.fill_(1.0)
    >>> box.at(0.5, 0.5)
    tensor([0.2500])
    """

    def __init__(
        self, initial: Tensor, *knots: Sequence[float], coarse_to_fine: bool = True
    ) -> None:
        """Set every knot to the starting value; see the class."""
        super().__init__()
        self.knots = tuple(tuple(float(knot) for knot in axis) for axis in knots)
        count = math.prod(len(axis) for axis in self.knots)
        self.leaves = nn.ParameterList([nn.Parameter(initial.clone()) for _ in range(count)])
        self._coarse_to_fine = coarse_to_fine
        self.active = self._active_at(0.0)

    def _active_at(self, progress: float) -> list[list[int]]:
        """Of every axis each 2^level-th knot, and the last."""
        by_axis = []
        for axis in self.knots:
            halvings = math.ceil(math.log2(len(axis) - 1)) if self._coarse_to_fine else 0
            refined_at = REFINED_AT[len(REFINED_AT) - min(halvings, len(REFINED_AT)) :]
            level = sum(progress < fraction for fraction in refined_at)
            last = len(axis) - 1
            by_axis.append([*range(0, last, 2**level), last])
        return by_axis

    def place(self, *t: float) -> HypernetInputs:
        """The active knots at the corners of the cell around t."""
        sides = [
            _side(axis, active, position)
            for axis, active, position in zip(self.knots, self.active, t, strict=True)
        ]
        leaves, shares = [], []
        for corner in itertools.product((0, 1), repeat=len(sides)):
            pairs = list(zip(sides, corner, strict=True))
            leaves.append(self._leaf([side[0][end] for side, end in pairs]))
            shares.append(math.prod(side[1][end] for side, end in pairs))
        return HypernetInputs(tuple(leaves), tuple(share > 0.0 for share in shares), tuple(shares))

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Weighted sum of the knots."""
        return self.between(leaves, inputs)

    @staticmethod
    def between(knots: Sequence[Tensor], shares: Tensor) -> Tensor:
        """Weighted sum of knots."""
        first, *rest = (share * knot for share, knot in zip(shares.unbind(), knots, strict=True))
        return sum(rest, first)

    @torch.no_grad()
    def refine(self, progress: float) -> list[InsertedKnot]:
        """Bring in the knots that are due."""
        due = self._active_at(progress)
        if due == self.active:
            return []
        present = set(itertools.product(*self.active))
        filled = []
        for knot in itertools.product(*due):
            if knot in present:
                continue
            t = [axis[index] for axis, index in zip(self.knots, knot, strict=True)]
            place, leaf = PiecewiseLinearNet.place(self, *t), self._leaf(knot)
            corners = [self.leaves[index] for index in place.leaves]
            shares = corners[0].new_tensor(place.inputs)
            self.leaves[leaf].data.copy_(self.between(corners, shares))
            used = [k for k, share in enumerate(place.inputs) if share > 0.0]
            sources = tuple(place.leaves[k] for k in used)
            filled.append(InsertedKnot(leaf, sources, tuple(place.inputs[k] for k in used)))
        self.active = due
        return filled

    def _leaf(self, knot: Sequence[int]) -> int:
        """Index of the leaf of a knot."""
        position = 0
        for index, axis in zip(knot, self.knots, strict=True):
            position = position * len(axis) + index
        return position

    def get_extra_state(self) -> Tensor:
        """Which knots are active, those of every axis counted on: part of ``state_dict``."""
        starts = itertools.accumulate((len(axis) for axis in self.knots[:-1]), initial=0)
        pairs = zip(starts, self.active, strict=True)
        return torch.tensor([start + index for start, active in pairs for index in active])

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what :meth:`get_extra_state` gave."""
        starts = itertools.accumulate((len(axis) for axis in self.knots), initial=0)
        self.active = [
            [index - start for index in state.tolist() if start <= index < end]
            for start, end in itertools.pairwise(starts)
        ]


REFINED_AT = (0.0037, 0.011, 0.033, 0.1, 0.3)
"""Fractions of the steps after which a piecewise linear map takes in more knots, the last for
its finest level (docs/benchmarks.md)."""


def _side(
    knots: Sequence[float], active: Sequence[int], t: float
) -> tuple[tuple[int, int], tuple[float, float]]:
    """The two active knots around t on an axis, and the share of each."""
    position = bisect.bisect_right([knots[index] for index in active[1:-1]], t)
    left, right = active[position], active[position + 1]
    share = (t - knots[left]) / (knots[right] - knots[left])
    return (left, right), (1.0 - share, share)
