"""The gradient of a whole batch from those of the rows of several processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bayesnas.inference.optim.trainable_parameters import ActiveLeaves, TrainableParameters
from bayesnas.runtime.processes.group import Processes


class SharedGradient:
    """Adds up the gradients of all processes, by one call of them all a step.

    The gradients of all leaves are laid in one tensor, of each type and device, so that nothing is
    copied for it.

    Args:
        trained: what the steps train; its gradients are moved.
        processes: of the fit.
        clip: largest absolute value of an entry of the sum, or None.
    """

    def __init__(
        self, trained: TrainableParameters, processes: Processes, clip: float | None
    ) -> None:
        """Lay the gradients; see the class."""
        self._trained, self._processes, self._clip = trained, processes, clip
        alike: dict[tuple[torch.dtype, torch.device], list[int]] = {}
        for index, gradient in enumerate(trained.gradients):
            alike.setdefault((gradient.dtype, gradient.device), []).append(index)
        gradients = list(trained.gradients)
        self._tensors: list[Tensor] = []
        self._places: list[dict[int, tuple[int, int]]] = []
        for indices in alike.values():
            sizes = [gradients[index].numel() for index in indices]
            flat = torch.cat([gradients[index] for index in indices])
            ends = torch.tensor(sizes).cumsum(0).tolist()
            spans = {i: (end - n, end) for i, end, n in zip(indices, ends, sizes, strict=True)}
            for index, (first, end) in spans.items():
                gradients[index] = flat[first:end]
            self._tensors.append(flat)
            self._places.append(spans)
        trained.move([leaf.data for leaf in trained.leaves], gradients)

    def clear(self) -> None:
        """Set all gradients to 0, for processes whose steps use different leaves."""
        for tensor in self._tensors:
            tensor.zero_()

    def add(self, weight: float, use: ActiveLeaves) -> None:
        """Make every gradient in use the weighted sum of those of all processes.

        Args:
            weight: of this process: its part of the rows of the batch.
            use: of the step; of all processes where their steps use different leaves.
        """
        for tensor, places in zip(self._tensors, self._places, strict=True):
            spans = [places[index] for index in use.positions if index in places]
            if not spans:
                continue
            # One piece, with what lies between: a call costs more than a few unused numbers.
            piece = tensor[min(first for first, _ in spans) : max(end for _, end in spans)]
            if weight:
                piece.mul_(weight)
            else:  # rows that are another's, of which nothing counts
                piece.zero_()
            self._processes.add(piece)
            if self._clip is not None:
                piece.clamp_(-self._clip, self._clip)


def used_by_any(uses: Sequence[ActiveLeaves], this: ActiveLeaves) -> ActiveLeaves:
    """What the steps of all processes read and update, each at a KL weight of its own.

    Args:
        uses: of every process.
        this: that of this one.
    """
    used: dict[int, tuple[torch.nn.Parameter, Tensor, bool]] = {}
    for use in uses:
        rows = zip(use.positions, use.leaves, use.gradients, use.moves, strict=True)
        for position, leaf, gradient, moves in rows:
            before = position in used and used[position][2]
            used[position] = leaf, gradient, moves or before
    positions = sorted(used)
    leaves, gradients, moves_any = (
        [used[position][part] for position in positions] for part in range(3)
    )
    return ActiveLeaves(this.places, positions, leaves, gradients, moves_any)  # type: ignore[arg-type]
