"""Gaussian factors along the KL weight from one curvature a weight, with factors a unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.checks import flag, non_negative, size
from bayesnas.nn.hypernetworks.base import Hypernet, HypernetInputs
from bayesnas.nn.hypernetworks.intervals import Interval
from bayesnas.nn.hypernetworks.knots import Knots, checked_knots, positions
from bayesnas.nn.hypernetworks.parameter_map import Pairs, ParameterMap
from bayesnas.nn.hypernetworks.piecewise import PiecewiseLinearNet
from bayesnas.typed import typed

_FIRST_SHARE = 0.04  # σ²/s² in the middle of the range; of the models' .02 where s = .1
_FIRST_FACTOR = 0.1


class CurvatureNet(PiecewiseLinearNet):
    r"""θ of one copy of the parameters, and factors of rows and columns at knots.

    A Gaussian factor N(μ, σ²) of a weight with prior N(0, s²), at which the log-likelihood has mode
    m and curvature h, is best at λ with

    .. math::
        \sigma^2(\lambda) = \frac{1}{h/\lambda + 1/s^2} = s^2\,S(\ln\lambda - k),\quad
        \mu(\lambda) = m\,S(k - \ln\lambda),\quad k = \ln(h s^2),

    S the logistic function: m and k are two numbers a weight, as many as at one λ. In a network
    modes and curvatures depend on λ themselves, through all the other weights. So the entry ij of
    a tensor, taken as a matrix ``[first, rest]``, has

    .. math::
        \ln\sigma_{ij} &= c_i + \tfrac12 \ln S(\ln\lambda - k_{ij} - d_i - e_j) \\
        \mu_{ij} &= m_{ij}\,e^{a_i + b_j}\,S(k_{ij} + d_i + e_j - \ln\lambda)
          + \sum_r u_{ri} v_{rj},

    with a to e, u and v linear in t between knots. Any other parameter is
    :math:`\theta_{ij} e^{a_i + b_j} + d_i + e_j + \sum_r u_{ri} v_{rj}`, which for vectors and
    numbers is a value of their own at every knot.

    What all λ share, m, k, θ and c, is trained at all λ. Gradients grow with λ, so large λ would
    decide alone, and close what only small λ need. At λ they are multiplied by
    (λ / λ_middle)^−balance.

    Args:
        initial: θ in the middle of the range, ``[P]``.
        shapes: of the tensors that θ holds one after the other.
        knots: t of every knot along an axis, increasing, from 0 to 1.
        gaussians: pairs of positions in ``shapes``, of a μ and of its ln σ.
        log_range: ln(λ_max / λ_min).
        rank: number of products u v of a matrix.
        balance: how far the gradients of large λ are reduced.
        coarse_to_fine: begin the training with few knots, as
            :class:`~bayesnas.nn.hypernetworks.piecewise.PiecewiseLinearNet` does.

    Attributes:
        leaves: one a knot, then the one that all λ share.

    References:
        Dosovitskiy, Djolonga, *You only train once: loss-conditional training of deep networks*,
        2020; Bae, Zhang, Ruan, et al., *Multi-rate VAE: train once, get the full rate-distortion
        curve*, 2023 (factors a unit that depend on λ). The curvature of a Gaussian factor:
        Opper, Archambeau, *The variational Gaussian approximation revisited*, 2009.

    >>> import torch
    >>> start, shapes = torch.tensor([0.5, -2.0]), [torch.Size([1])] * 2
    >>> net = CurvatureNet(start, shapes, [[0, 1]], gaussians=[(0, 1)], log_range=6.9)
    >>> net.at(0.5)
    tensor([ 0.5000, -2.0000])
    >>> low, high = net.at(0.0), net.at(1.0)
    >>> bool(low[0] > high[0]), bool(low[1] < high[1])
    (True, True)
    """

    def __init__(
        self,
        initial: Tensor,
        shapes: Sequence[torch.Size],
        knots: Sequence[Sequence[float]],
        *,
        gaussians: Pairs = (),
        log_range: float = 1.0,
        rank: int = 4,
        balance: float = 0.2,
        coarse_to_fine: bool = True,
    ) -> None:
        """Draw the first factors from torch's global random state; see the class."""
        self._log_range, self._rank, self._balance = log_range, rank, balance
        self._matrices = [_as_matrix(shape) for shape in shapes]
        self._sizes = [rows * columns for rows, columns in self._matrices]
        self._scale_of = dict(gaussians)
        self._levels = [self._matrices[scale][0] for scale in self._scale_of.values()]
        factors = [self._first_factors(index, initial) for index in range(len(shapes))]
        self._factor_sizes = [[factor.numel() for factor in each] for each in factors]
        joined = torch.cat([factor for each in factors for factor in each])
        super().__init__(joined, *knots, coarse_to_fine=coarse_to_fine)
        self.leaves.append(nn.Parameter(self._shared(initial)))

    def _first_factors(self, index: int, like: Tensor) -> list[Tensor]:
        """What a tensor has at a knot, in the order in which it is used."""
        rows, columns = self._matrices[index]
        if index in self._scale_of.values():
            lengths = [rows, columns, rows]  # d, e and the change of c
        elif index in self._scale_of:
            lengths = [rows, columns]  # a, b
        else:
            lengths = [rows, columns, rows, columns]  # a, b, d, e
        factors = [like.new_zeros(length) for length in lengths]
        if rows > 1 and index not in self._scale_of.values():
            draw = torch.randn(rows * self._rank, dtype=like.dtype).to(like.device)
            factors += [_FIRST_FACTOR * draw, like.new_zeros(self._rank * columns)]
        return factors

    def _shared(self, initial: Tensor) -> Tensor:
        """M, k and other parameters tensor by tensor, then c of every row."""
        parts, levels = list(initial.clone().split(self._sizes)), []
        for location, scale in self._scale_of.items():
            log_scale = parts[scale].view(self._matrices[scale])
            level = log_scale.amax(1) - math.log(_FIRST_SHARE) / 2
            share = (2 * (log_scale - level[:, None])).exp().flatten()
            parts[location] = parts[location] / (1 - share)
            parts[scale] = (1 / share - 1).log()
            levels.append(level)
        return torch.cat([*parts, *levels])

    def place(self, *t: float) -> HypernetInputs:
        """The knots around t, and what all λ share."""
        place = super().place(*t)
        log_kl_weight = (t[0] - 0.5) * self._log_range
        return HypernetInputs(
            (*place.leaves, len(self.leaves) - 1),
            (*place.moves, True),
            (*place.inputs, math.exp(-self._balance * log_kl_weight), log_kl_weight),
        )

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Evaluate the formulas, ln λ counted from the middle of the range."""
        *knots, shared = leaves
        *_, weight, log_kl_weight = inputs.unbind()
        if self._balance:
            shared = weight * shared + ((1 - weight) * shared).detach()
        sizes = [size for each in self._factor_sizes for size in each]
        pieces = iter(self.between(knots, inputs[:-2]).split(sizes))
        factors = [[next(pieces) for _ in each] for each in self._factor_sizes]
        *bases, levels = shared.split([*self._sizes, sum(self._levels)])
        tensors: list[Tensor] = [
            base.view(matrix) for base, matrix in zip(bases, self._matrices, strict=True)
        ]
        in_pairs = {*self._scale_of, *self._scale_of.values()}
        for index in set(range(len(tensors))) - in_pairs:
            tensors[index] = self._other(tensors[index], *factors[index])
        pairs = zip(self._scale_of.items(), levels.split(self._levels), strict=True)
        for (location, scale), level in pairs:
            rows, columns, change = factors[scale]
            turn = tensors[scale] + _outer_sum(rows, columns) - log_kl_weight
            tensors[scale] = (level + change)[:, None] + F.logsigmoid(-turn) / 2
            tensors[location] = self._location(tensors[location], turn, *factors[location])
        return torch.cat([tensor.flatten() for tensor in tensors])

    def _location(
        self, mode: Tensor, turn: Tensor, rows: Tensor, columns: Tensor, *products: Tensor
    ) -> Tensor:
        shrunk = mode * _outer_product(rows.exp(), columns.exp()) * turn.sigmoid()
        return self._with_products(shrunk, *products)

    def _other(self, value: Tensor, *factors: Tensor) -> Tensor:
        rows, columns, row_shifts, column_shifts, *products = factors
        scaled = value * _outer_product(rows.exp(), columns.exp())
        return self._with_products(scaled + _outer_sum(row_shifts, column_shifts), *products)

    def _with_products(self, value: Tensor, *products: Tensor) -> Tensor:
        if not products:
            return value
        first, second = products
        return value + first.view(-1, self._rank) @ second.view(self._rank, -1)


def _as_matrix(shape: torch.Size) -> tuple[int, int]:
    """Rows and columns; a vector is one row."""
    if len(shape) < 2:
        return 1, shape.numel()
    return shape[0], shape[1:].numel()


def _outer_sum(rows: Tensor, columns: Tensor) -> Tensor:
    return rows[:, None] + columns


def _outer_product(rows: Tensor, columns: Tensor) -> Tensor:
    return rows[:, None] * columns


@typed()
@dataclass(frozen=True)
class CurvatureMap(ParameterMap):
    """One copy of the parameters, and factors of rows and columns at knots of log λ.

    A Gaussian factor follows λ by its curvature; of which parameters these are, the model says
    (:meth:`~bayesnas.models.base.BayesianModel.gaussian_parameters`). See :class:`CurvatureNet`.

    Attributes:
        knots: as for :class:`~bayesnas.nn.hypernetworks.options.PiecewiseMap`, here of the factors.
        rank: number of products of a row and a column that are added to a matrix.
        balance: the gradients of what all λ share are multiplied by (λ / λ_middle)^−balance.
        coarse_to_fine: begin the training with few knots.

    Raises:
        ValueError: for knots that do not fit, a rank that is no whole number >= 1, or a negative
            balance.

    >>> CurvatureMap(rank=2).config()
    {'kind': 'curvature', 'knots': 5, 'rank': 2, 'balance': 0.2, 'coarse_to_fine': True}
    """

    kind: ClassVar[str] = "curvature"

    knots: Knots | Mapping[str, Knots] = 5
    rank: int = 4
    balance: float = 0.2
    coarse_to_fine: bool = True

    def __post_init__(self) -> None:
        """Check knots and rank."""
        flag("coarse_to_fine", self.coarse_to_fine)
        object.__setattr__(self, "knots", checked_knots(self.knots))
        object.__setattr__(self, "rank", size("rank", self.rank))
        object.__setattr__(self, "balance", non_negative("balance", self.balance))

    def __hash__(self) -> int:
        """By all of it; a mapping has none of its own."""
        return hash((str(self.knots), self.rank, self.balance, self.coarse_to_fine))

    def check(self, *axes: Interval) -> None:
        """Raise ValueError unless the knots span the ranges."""
        positions(self.knots, axes)

    def build(
        self,
        initial: Tensor,
        shapes: Sequence[Any],
        *axes: Interval,
        gaussians: Pairs = (),
    ) -> Hypernet:
        """What all λ share, and factors at the knots."""
        span = axes[0]
        return CurvatureNet(
            initial,
            shapes,
            positions(self.knots, axes),
            gaussians=gaussians,
            log_range=math.log(span.high / span.low),
            rank=self.rank,
            balance=self.balance,
            coarse_to_fine=self.coarse_to_fine,
        )
