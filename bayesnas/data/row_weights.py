"""Weights of the rows of a sample, carried through the batches of a fit by its targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowWeights:
    """How targets and a weight for every row lie in one tensor.

    So a weight follows its row into every batch, traced step and group of chains. All numbers
    stand there in double precision, in which labels and targets are exact.

    Args:
        shape: of the targets of a row.
        dtype: of the targets.

    >>> packing = RowWeights(torch.Size(), torch.int64)
    >>> packed = packing.pack(torch.tensor([2, 1]), torch.tensor([0.5, 3.0]))
    >>> packing.unpack(packed)
    (tensor([2, 1]), tensor([0.5000, 3.0000], dtype=torch.float64))
    """

    shape: torch.Size
    dtype: torch.dtype

    def pack(self, y: Tensor, weights: Tensor) -> Tensor:
        """Targets ``[n, ...]`` and weights ``[n]`` as one tensor, a row each."""
        return torch.cat([y.reshape(len(y), -1).double(), weights.double()[:, None]], dim=1)

    def unpack(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and weights of some rows."""
        targets = packed[:, :-1].reshape(len(packed), *self.shape)
        return targets.to(self.dtype), packed[:, -1]
