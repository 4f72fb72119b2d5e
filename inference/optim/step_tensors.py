"""The tensors that recorded steps read and write in place, of one chain or stacked of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from bayesnas.inference.optim.trainable_parameters import ActiveLeaves


@dataclass
class StepTensors:
    """What steps read and write besides the batch; of many chains with a leading dimension.

    Attributes:
        leaves: every leaf, ``[P]``.
        gradients: of every leaf.
        exp_avg: Adam's first moment of every leaf; empty for another optimiser.
        exp_avg_sq: Adam's second moment; empty for another optimiser.
        step: how often every leaf has moved; empty for another optimiser.
        buffers: of the model, those that a forward pass may change.
    """

    leaves: list[Tensor]
    gradients: list[Tensor]
    exp_avg: list[Tensor]
    exp_avg_sq: list[Tensor]
    step: list[Tensor]
    buffers: list[Tensor]

    def arguments(self, use: ActiveLeaves) -> list[Tensor]:
        """The first arguments of a recorded step; see ``StepFunction``."""
        kinds = [self.leaves, self.gradients, self.exp_avg, self.exp_avg_sq]
        if not self.exp_avg:
            kinds[2:] = self.leaves, self.leaves  # not read
        return [kind[position] for kind in kinds for position in use.positions] + self.buffers

    @classmethod
    def stacked(cls, chains: Sequence[StepTensors]) -> Self:
        """Those of many chains, ``[chains, ...]``; copies."""
        kinds = zip(*(chain._kinds() for chain in chains), strict=True)
        return cls(*([torch.stack(same) for same in zip(*kind, strict=True)] for kind in kinds))

    def row(self, chain: int) -> Self:
        """Those of one chain, views of the stacked ones."""
        return self._each(lambda tensor: tensor[chain])

    def clone(self) -> Self:
        """Copies."""
        return self._each(torch.clone)

    def _kinds(self) -> list[list[Tensor]]:
        return [getattr(self, field.name) for field in fields(self)]

    def _each(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(*([function(tensor) for tensor in kind] for kind in self._kinds()))
