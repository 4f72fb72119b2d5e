"""A chain whose steps several processes take together, each on its rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.optim.trainable_parameters import running_buffers
from bayesnas.inference.steps.minibatches import SomeBatches
from bayesnas.inference.steps.step import PartOfBatch
from bayesnas.models.base import BayesianModel
from bayesnas.nn.modules.parameter_names import below
from bayesnas.runtime.processes.group import ALONE, Processes
from bayesnas.runtime.processes.share import Share
from bayesnas.runtime.random_state import RandomStream, derived_seed

_MOST_APART = 1e-4
"""Of the parameters of processes, relative in norm: more than other rounding makes."""


class AmongProcesses:
    """What of a chain differs between the processes that train it, and what they add up.

    Args:
        processes: that share out the batches of the chain.
        shared_noise: whether their noise is that of one process.

    Attributes:
        processes: as given.
        shared_noise: as given.
    """

    def __init__(self, processes: Processes = ALONE, *, shared_noise: bool = False) -> None:
        """Keep both; see the class."""
        self.processes, self.shared_noise = processes, shared_noise
        self._others: dict[str, Tensor] = {}

    @property
    def _differ(self) -> bool:
        return self.processes.size > 1 and not self.shared_noise

    def check(self, model: BayesianModel) -> None:
        """Raise ValueError for a model whose batches can't be shared out."""
        if self.processes.size > 1 and model.needs_all_rows:
            raise ValueError(
                f"distributed: {model.needs_all_rows}, so its batches can't be shared out: give "
                "distributed=Distributed(spread='chains'), or distributed=False"
            )

    def begin(self, stream: RandomStream, seed: int) -> None:
        """Let a process draw numbers of its own, once all have the same initial parameters."""
        if self._differ and self.processes.rank > 0:
            stream.reseed(derived_seed(seed, self.processes.rank))

    def at(
        self, settings: FitSettings, batches: SomeBatches, step: int
    ) -> tuple[StepKLWeight, PartOfBatch]:
        """KL weight of a step in this process, and what of its batch the process takes."""
        share, rows = self.processes.share, batches.rows_at(step)
        kl_weights = [settings.kl_weight_at(step)]
        if settings.amortization is not None and not self.shared_noise:
            kl_weights = [
                settings.kl_weight_at(step, Share(rank, share.size)) for rank in range(share.size)
            ]
        mine = kl_weights[share.rank % len(kl_weights)]
        return mine, PartOfBatch(rows, share.weight(rows), kl_weights)

    def summed(self, rows: Tensor, batches: SomeBatches, first: int) -> Tensor:
        """What the rows of all processes give together.

        Args:
            rows: of this process, ``[steps, numbers]``.
            batches: of the chain.
            first: the first step.
        """
        if self.processes.size == 1:
            return rows
        share = self.processes.share
        sizes = [batches.rows_at(first + index) for index in range(len(rows))]
        weights = rows.new_tensor([share.weight(size) for size in sizes])[:, None]
        total = torch.where(weights > 0, weights * rows, torch.zeros_like(rows))
        self.processes.add(total)
        return total

    def even_out(self, model: BayesianModel) -> None:
        """Give all processes the mean of their running statistics."""
        if self.processes.size == 1:
            return
        for buffer in running_buffers(model).values():
            if buffer.is_floating_point():
                self.processes.average(buffer)

    def keep_together(self, leaves: Sequence[Tensor]) -> None:
        """Give all processes the same parameters again, where they round differently.

        Args:
            leaves: of the chain, which are to be alike; changed in place.

        Raises:
            ValueError: in all of them, where they have come apart by more than that.
        """
        if self.processes.size == 1:
            return
        apart = 0.0
        for leaf in leaves:
            mean = leaf.detach().clone()
            self.processes.average(mean)
            apart = max(apart, float((leaf.detach() - mean).norm() / mean.norm().clamp(min=1e-12)))
            leaf.data.copy_(mean)
        apart = max(self.processes.gathered(apart))
        if apart > _MOST_APART:
            raise ValueError(
                f"distributed: the parameters of the processes have come apart by {apart:.1e}, as "
                "by an optimizer or a module that draws random numbers: noise='shared' gives all "
                "the same ones"
            )

    def random_states(self, stream: RandomStream) -> dict[str, Tensor]:
        """The random states of all processes by name; that of the first has the shortest names."""
        states = self.processes.gathered(stream.state) if self._differ else [stream.state]
        named = dict(states[0])
        for rank, state in enumerate(states[1:], start=1):
            named |= {f"{rank}/{name}": value for name, value in state.items()}
        return named

    def take_up(self, stream: RandomStream, states: Mapping[str, Tensor], seed: int) -> None:
        """Go on from what :meth:`random_states` gave, be it of other processes.

        Args:
            stream: of this process.
            states: as they were.
            seed: of a process that was not there.
        """
        rank = self.processes.rank if self._differ else 0
        mine = below(f"{rank}/", states) if rank else {}
        if not rank:
            mine = {name: value for name, value in states.items() if "/" not in name}
        if mine:
            stream.state = dict(mine)
        else:
            stream.reseed(derived_seed(seed, rank))
