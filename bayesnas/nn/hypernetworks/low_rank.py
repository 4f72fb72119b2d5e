"""Parameters as a low-rank function of metaparameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from bayesnas.nn.hypernetworks.base import Hypernet, HypernetInputs


class LowRankNet(Hypernet):
    r"""θ from a small network of t: a low-rank change of every tensor.

    .. math::
        h = \mathrm{ReLU}(C t + d),\quad W(t) = B + \sum_r (A_1 h)_r (A_2 h)_r^\top,\quad
        b(t) = b_0 + A_3 h

    for every tensor its own, with tensors of more than two dims taken as matrices
    ``[first, rest]``. The second factor starts at zero, and with it the change.

    Args:
        initial: starting value of θ, ``[P]``.
        shapes: of the tensors that θ holds one after the other.
        rank: number of outer products.
        hidden: width of h.
        axes: how many numbers t has.

    References:
        Grebenkova, Bakhteev, Strijov, *Variational deep learning model optimization with
        complexity control*, 2021, equation (6).
    """

    def __init__(
        self,
        initial: Tensor,
        shapes: Sequence[torch.Size],
        *,
        rank: int = 1,
        hidden: int = 50,
        axes: int = 1,
    ) -> None:
        """Draw the first factors from torch's global random state; see the class."""
        super().__init__()
        self._rank, self._hidden, self._axes = rank, hidden, axes
        self._matrices = [_as_matrix(shape) for shape in shapes]
        self._sizes = [rows * (columns or 1) for rows, columns in self._matrices]
        parts = [initial.new_empty(0)]
        for rows, columns in self._matrices:
            parts += self._initial_factors(initial, rows, columns)
        self._factor_sizes = [part.numel() for part in parts[1:]]
        self.leaves = nn.ParameterList([nn.Parameter(torch.cat([initial, *parts]))])

    def _initial_factors(self, like: Tensor, rows: int, columns: int | None) -> list[Tensor]:
        """C, d, then weight and bias of the maps from h: first factor, second factor."""
        hidden, widths = self._hidden, [rows * self._rank, (columns or 0) * self._rank]
        parts = [torch.rand((self._axes + 1) * hidden, dtype=like.dtype).to(like.device) * 2 - 1]
        for position, width in enumerate(widths if columns else [rows]):
            size = width * (hidden + 1)
            last = position == (1 if columns else 0)
            bound = 0.0 if last else 1 / math.sqrt(hidden)
            draw = torch.rand(size, dtype=like.dtype).to(like.device) * 2 - 1
            parts.append(draw * bound)
        return parts

    def place(self, *t: float) -> HypernetInputs:
        """All of it, at t."""
        return HypernetInputs((0,), (True,), t)

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Evaluate the network at t."""
        base = leaves[0][: sum(self._sizes)]
        factors = iter(leaves[0][sum(self._sizes) :].split(self._factor_sizes))
        changes = [self._change(factors, rows, columns, inputs) for rows, columns in self._matrices]
        return base + torch.cat(changes)

    def _change(
        self, factors: Iterator[Tensor], rows: int, columns: int | None, t: Tensor
    ) -> Tensor:
        *slopes, offset = next(factors).view(self._axes + 1, self._hidden).unbind()
        for slope, position in zip(slopes, [t] if self._axes == 1 else t.split(1), strict=True):
            offset = slope * position + offset
        h = torch.relu(offset)
        first = _affine(next(factors), h)
        if columns is None:
            return first
        second = _affine(next(factors), h)
        return (first.view(rows, self._rank) @ second.view(self._rank, columns)).flatten()


def _as_matrix(shape: torch.Size) -> tuple[int, int | None]:
    """Rows and columns; None for what is no matrix."""
    if len(shape) < 2:
        return shape.numel(), None
    return shape[0], shape[1:].numel()


def _affine(parameters: Tensor, h: Tensor) -> Tensor:
    width = parameters.numel() // (h.numel() + 1)
    weight, bias = parameters.split([width * h.numel(), width])
    output: Tensor = weight.view(width, h.numel()) @ h + bias
    return output
