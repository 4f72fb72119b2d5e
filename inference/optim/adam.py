"""Adam over flat vectors: its update, the scalars it needs, and its state in torch's optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from bayesnas.inference.optim.trainable_parameters import ActiveLeaves

BETAS = (0.9, 0.999)
EPSILON = 1e-8

Number = TypeVar("Number", float, Tensor)


class AdamScalars(NamedTuple, Generic[Number]):
    """The numbers of an update of one leaf.

    Attributes:
        step_size: lr / (1 − β₁ᵗ).
        correction: √(1 − β₂ᵗ).
        first_weight: 1 − β₁, the weight of the gradient in the first moment.
        second_weight: 1 − β₂, that of its square in the second.
    """

    step_size: Number
    correction: Number
    first_weight: Number
    second_weight: Number


UNMOVED = AdamScalars(0.0, 1.0, 0.0, 0.0)
"""Of an update that leaves a leaf and its moments as they are."""

StepCounts = dict[nn.Parameter, tuple[Tensor, int]]
"""Adam's count of a leaf's steps, and what it is as a number: reading it waits for a GPU."""


def adam_update(
    values: Tensor,
    gradient: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    scalars: AdamScalars[Tensor],
) -> None:
    """Update parameters and moments in place by Adam (Kingma, Ba 2015), as torch's does.

    Args:
        values: parameters ``[P]``, or of many chains ``[chains, P]``.
        gradient: as ``values``.
        first_moment: as ``values``.
        second_moment: as ``values``.
        scalars: of the update; of many chains columns ``[chains, 1]``.
    """
    step_size, correction, first_weight, second_weight = scalars
    first_moment.lerp_(gradient, first_weight.to(gradient.dtype))
    second_moment.lerp_(gradient.square(), second_weight.to(gradient.dtype))
    values.sub_(step_size * first_moment / (second_moment.sqrt() / correction + EPSILON))


def adam_scalars(
    steps: Sequence[Tensor], use: ActiveLeaves, lr: float, counts: StepCounts
) -> list[AdamScalars[float]]:
    """Count a step of Adam, and return what it needs of every leaf in use.

    Args:
        steps: how many steps every leaf has taken, of one chain ``[]`` or of many ``[chains]``;
            brought up to date. The chains that still take any have taken the most.
        use: of the step.
        lr: learning rate.
        counts: of the steps before, brought up to date.

    Returns:
        one a leaf; :data:`UNMOVED` for a leaf that does not move.
    """
    scalars = []
    for position, leaf, moves in zip(use.positions, use.leaves, use.moves, strict=True):
        if not moves:
            scalars.append(UNMOVED)
            continue
        step = steps[position]
        known, taken = counts.get(leaf, (None, 0))
        taken = taken + 1 if known is step else int(step.max()) + 1
        step += 1
        counts[leaf] = step, taken
        size, correction = lr / (1 - BETAS[0] ** taken), math.sqrt(1 - BETAS[1] ** taken)
        scalars.append(AdamScalars(size, correction, 1 - BETAS[0], 1 - BETAS[1]))
    return scalars


def adam_state(optimizer: torch.optim.Optimizer, leaf: nn.Parameter) -> dict[str, Tensor]:
    """Adam's state of a leaf, in the optimiser's own books; created where there is none yet."""
    state: dict[str, Tensor] = optimizer.state[leaf]
    if not state:
        state["step"] = torch.zeros((), device=leaf.device)
        state["exp_avg"] = torch.zeros_like(leaf.data)
        state["exp_avg_sq"] = torch.zeros_like(leaf.data)
    return state
