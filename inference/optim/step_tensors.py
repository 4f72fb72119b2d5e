"""The tensors of traced steps, by name: what they keep between steps, and what a step is given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, Self

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.optim.adam import AdamScalars
from bayesnas.inference.optim.trainable_parameters import ActiveLeaves


class StepInputs(NamedTuple):
    """Arguments of a traced step; of many chains with a leading dimension.

    Leaves, gradients and moments are those in use at the step's KL weight. All but the batch and
    its scalars are lists, and stay at their addresses from step to step; they are written in place.

    Attributes:
        leaves: vectors ``[P]``.
        gradients: of every leaf.
        exp_avg: Adam's first moment of every leaf; empty for another optimiser.
        exp_avg_sq: the second.
        buffers: of the model, those that a forward pass may change.
        constant: parameters that the step leaves alone, of the other level of a bilevel fit.
        x: inputs of the batch, one tensor or several.
        y: its targets.
        scalars: a :class:`StepScalars`, packed, so that one copy brings all to a GPU.
    """

    leaves: list[Tensor]
    gradients: list[Tensor]
    exp_avg: list[Tensor]
    exp_avg_sq: list[Tensor]
    buffers: list[Tensor]
    constant: list[Tensor]
    x: AnyInputs
    y: Tensor
    scalars: Tensor


class StepScalars(NamedTuple):
    """The numbers of a step inside a trace, of which none is part of the trace.

    Attributes:
        kl_weight: λ, a scalar; of many chains ``[chains]``.
        adam: of every leaf in use.
        inputs: what the maps over λ take, ``[inputs]``; of many chains ``[chains, inputs]``.
    """

    kl_weight: Tensor
    adam: list[AdamScalars[Tensor]]
    inputs: Tensor

    @staticmethod
    def pack(
        kl_weight: float, adam: Sequence[AdamScalars[float]], inputs: Sequence[float]
    ) -> list[float]:
        """The numbers of one chain, one after the other."""
        return [kl_weight, *chain.from_iterable(adam), *inputs]

    @classmethod
    def unpack(cls, packed: Tensor, leaves: int) -> Self:
        """Take apart a tensor of what :meth:`pack` gave, along its last dimension.

        Args:
            packed: ``[numbers]``, or of many chains ``[chains, numbers]``.
            leaves: how many are in use.

        >>> import torch
        >>> adam = [AdamScalars(0.1, 0.2, 0.3, 0.4)]
        >>> StepScalars.unpack(torch.tensor(StepScalars.pack(2.0, adam, [0.5, 0.6])), 1).inputs
        tensor([0.5000, 0.6000])
        """
        size = len(AdamScalars._fields)
        single = 1 + size * leaves
        first, inputs = packed.split([single, packed.shape[-1] - single], dim=-1)
        kl_weight, *rest = first.unbind(-1)
        adam = [AdamScalars(*rest[size * leaf : size * (leaf + 1)]) for leaf in range(leaves)]
        return cls(kl_weight, adam, inputs)


def scalar_type(leaves: Sequence[Tensor]) -> torch.dtype:
    """Type of the numbers of a step: double where a leaf is, else single.

    >>> scalar_type([torch.zeros(2), torch.zeros(2, dtype=torch.float64)])
    torch.float64
    """
    double = any(leaf.dtype == torch.float64 for leaf in leaves)
    return torch.float64 if double else torch.float32


class StepTensors(NamedTuple):
    """What steps keep and write in place, whatever the KL weight; see :class:`StepInputs`.

    Of many chains every tensor has a leading dimension.

    Attributes:
        leaves: every leaf, not only those of one step.
        gradients: of every leaf.
        exp_avg: Adam's first moment of every leaf; empty for another optimiser.
        exp_avg_sq: Adam's second moment; empty for another optimiser.
        step: how often every leaf has moved; empty for another optimiser.
        buffers: of the model, those that a forward pass may change.
        constant: parameters of the other level of a bilevel fit.
    """

    leaves: list[Tensor]
    gradients: list[Tensor]
    exp_avg: list[Tensor]
    exp_avg_sq: list[Tensor]
    step: list[Tensor]
    buffers: list[Tensor]
    constant: list[Tensor]

    def inputs(self, use: ActiveLeaves, x: AnyInputs, y: Tensor, scalars: Tensor) -> StepInputs:
        """The arguments of a step that uses some of the leaves."""
        places = use.positions
        moments = places if self.exp_avg else []
        return StepInputs(
            [self.leaves[place] for place in places],
            [self.gradients[place] for place in places],
            [self.exp_avg[place] for place in moments],
            [self.exp_avg_sq[place] for place in moments],
            self.buffers,
            self.constant,
            x,
            y,
            scalars,
        )
