"""Which chains of a fit are trained at a time, and what is kept of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from bayesnas.inference.config.settings import Batched, FitSettings
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.steps.vmap_step import NotVmappableError
from bayesnas.inference.training.chains.group import ChainGroup, check_together, pays
from bayesnas.inference.training.chains.trainer import ChainTrainer
from bayesnas.inference.training.processes.run_folder import SharedRunFolder
from bayesnas.inference.training.processes.sharing import Sharing
from bayesnas.models.base import BayesianModel

_LOG = logging.getLogger("bayesnas")
Value = TypeVar("Value")


class Rounds:
    """The chains of a fit: one after the other, all as one, or side by side, one a process.

    Args:
        chain: starts a chain, by its index.
        model: of the chains.
        settings: of the fit.
        sharing: of the work among several processes.
        folder: where checkpoints go, and come from where there is one; or None.

    Attributes:
        finished: the chains that are done, in their order.
        side_by_side: how many are trained at the time, in all processes.
    """

    def __init__(
        self,
        chain: Callable[[int], ChainTrainer],
        model: BayesianModel,
        settings: FitSettings,
        sharing: Sharing,
        folder: SharedRunFolder | None,
    ) -> None:
        """Begin with no chain finished; see the class."""
        self._chain, self._model, self._settings = chain, model, settings
        self._sharing, self._folder = sharing, folder
        self.finished: list[ChainRecord] = []
        self.side_by_side = 1

    @property
    def some_are_left(self) -> bool:
        """Whether there are chains after those that are trained at the time."""
        return len(self.finished) + self.side_by_side < self._settings.chains

    @property
    def all_are_finished(self) -> bool:
        """Whether no chain is left to train."""
        return len(self.finished) == self._settings.chains

    def begun(self, first: ChainTrainer, batched: Batched, device: torch.device) -> ChainGroup:
        """The chains to begin with: as the checkpoint has them, where there is one.

        Args:
            first: chain 0, not trained yet.
            batched: whether they take their steps as one.
            device: of the fit.
        """
        checkpoint = None if self._folder is None else self._folder.checkpoint()
        if checkpoint is None:
            return self._fresh(first, batched, device)
        self.finished, running = checkpoint
        self.side_by_side = len(running)
        chains = []
        for position in self._sharing.positions(len(running)):
            index = len(self.finished) + position
            chains.append(first if index == 0 else self._chain(index))
            chains[-1].load_state(*running[position])
        as_one = len(chains) > 1 and bool(running[0][1].get("as_one", True))
        if as_one and not self._sharing.processes.together:
            return ChainGroup.together(chains, trusted=True)
        return ChainGroup(chains)

    def _fresh(self, first: ChainTrainer, batched: Batched, device: torch.device) -> ChainGroup:
        """All chains as one where that is wanted and can be done, else those that are next."""
        auto = batched == "auto"
        wanted = pays(self._settings, device) if auto else batched
        if self._settings.chains == 1 or not wanted:
            return self.next(first)
        try:
            if self._sharing.processes.together:
                raise NotVmappableError("the work is shared out among several processes")
            check_together(self._settings, self._model)
            rest = [self._chain(index) for index in range(1, self._settings.chains)]
            self.side_by_side = self._settings.chains
            return ChainGroup.together([first, *rest])
        except NotVmappableError as reason:
            why = str(reason)
        if not auto:
            raise ValueError(f"batched: the chains can't be trained together: {why}")
        _LOG.warning("%s trains its chains one after the other: %s", self._model.describe(), why)
        return self.next(first)

    def next(self, first: ChainTrainer | None = None) -> ChainGroup:
        """The chains after those that are finished: one, or one a process.

        Args:
            first: chain 0, where it was made.
        """
        done = len(self.finished)
        self.side_by_side = self._sharing.at_once(self._settings.chains - done)
        chains = []
        for position in self._sharing.positions(self.side_by_side):
            made = first if position == 0 else None
            chains.append(self._chain(done + position) if made is None else made)
        return ChainGroup(chains)

    def write_checkpoint(self, chains: ChainGroup) -> bool:
        """Write where the fit stands; return whether there is a folder that took it."""
        if self._folder is None:
            return False
        for chain in chains.chains:
            chain.check_parameters()
        states = self._of_all([chain.state() for chain in chains.chains])
        for _, values in states:
            values["as_one"] = chains.as_one
        return self._folder.write_checkpoint(self.finished, states)

    def end(self, chains: ChainGroup, *, checked: bool = True) -> None:
        """Note what chains have come to.

        Args:
            chains: of this process.
            checked: whether their parameters have to be finite.

        Raises:
            NonFiniteLossError: where they are not.
        """
        for chain in chains.chains if checked else ():
            chain.check_parameters()
        self.finished += self._of_all([_record(chain) for chain in chains.chains])

    def _of_all(self, values: list[Value]) -> list[Value]:
        """Of all chains side by side, from those of this process."""
        if not self._sharing.by_chain:
            return values
        positions = self._sharing.positions(self.side_by_side)
        by_position: dict[int, Value] = {}
        for pairs in self._sharing.processes.gathered(list(zip(positions, values, strict=True))):
            for position, value in pairs:
                by_position.setdefault(position, value)
        return [by_position[position] for position in range(self.side_by_side)]


def _record(training: ChainTrainer) -> ChainRecord:
    fitted = training.stopping.best_state or training.fitted()
    return ChainRecord(
        {name: value.cpu().clone() for name, value in fitted.items()},
        training.history[: training.step].cpu(),
        training.stopping.losses,
    )
