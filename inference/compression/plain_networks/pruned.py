"""What ``bayesnas.prune`` gives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from bayesnas.coding import encode
from bayesnas.inference.compression.compressed import weight_count
from bayesnas.pruning.compaction import compact
from bayesnas.typed import typed


@dataclass(frozen=True)
class Pruned:
    """A network some of whose weights are zero.

    Attributes:
        module: a plain module of the same class, in evaluation mode, the removed weights exactly 0.
        masks: boolean, true where a weight stays, by parameter name.
        example: two rows of inputs.

    >>> import torch, bayesnas as bn
    >>> data = (torch.ones(6, 4), torch.arange(6) % 2)
    >>> pruned = bn.prune(bn.nn.mlp([4, 8, 2]), data, fraction=0.5)
    >>> sum(int(mask.sum()) for mask in pruned.masks.values())  # 24 of 48 weights, and 10 biases
    34
    """

    module: nn.Module
    masks: Mapping[str, Tensor]
    example: Tensor = field(repr=False)

    @property
    def weights(self) -> int:
        """Kept entries of matrices and kernels."""
        return sum(int(mask.sum()) for mask in self.masks.values() if mask.ndim > 1)

    @property
    def kept(self) -> float:
        """Share of the entries of matrices and kernels that is kept, in [0, 1]."""
        return self.weights / weight_count(self.module)

    def compact(self) -> nn.Module:
        """A plain module without the units and filters that nothing reads or writes any more."""
        return compact(self.module, self.example)

    @typed()
    def encode(self, path: str | os.PathLike[str]) -> int:
        """Write the network to a file of few bytes, see :func:`bayesnas.encode`; its size.

        Raises:
            TypeError: for what is no path.
            OSError: where nothing can be written.
        """
        return encode(self.module, path)

    def __repr__(self) -> str:
        """How much is kept, on one line."""
        return (
            f"Pruned({type(self.module).__name__}: {self.weights:,} of "
            f"{weight_count(self.module):,} weights)"
        )
