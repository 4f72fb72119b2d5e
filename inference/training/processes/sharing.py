"""Which of the processes of a fit trains which chains, and on what."""

from __future__ import annotations

from dataclasses import dataclass, field

from bayesnas.inference.config.distributed import Distributed
from bayesnas.inference.training.processes.among import AmongProcesses
from bayesnas.runtime.processes.group import ALONE, Processes


@dataclass(frozen=True)
class Sharing:
    """How the work of a fit is shared out.

    Attributes:
        processes: of the fit.
        options: of the user.
    """

    processes: Processes = ALONE
    options: Distributed = field(default_factory=Distributed)

    @property
    def by_chain(self) -> bool:
        """Whether every process trains chains of its own."""
        return self.processes.together and self.options.spread == "chains"

    @property
    def by_batch(self) -> bool:
        """Whether every process takes rows of every batch."""
        return self.processes.together and not self.by_chain

    def among(self) -> AmongProcesses:
        """What a chain has to know of it."""
        if not self.by_batch:
            return AmongProcesses()
        return AmongProcesses(self.processes, shared_noise=self.options.noise == "shared")

    def at_once(self, left: int) -> int:
        """How many of so many chains are trained side by side."""
        return min(left, self.processes.size) if self.by_chain else 1

    def positions(self, count: int) -> list[int]:
        """Which of so many chains side by side this process trains.

        A process too many trains what another one does, and what comes of it is left aside.

        >>> from bayesnas.runtime.processes.share import Share
        >>> def of(rank):
        ...     return Sharing(Processes(Share(rank, 2), group=True), Distributed(spread="chains"))
        >>> of(0).positions(3), of(1).positions(3), of(1).positions(1)
        ([0, 2], [1], [0])
        """
        if not self.by_chain:
            return list(range(count))
        rank, size = self.processes.share
        return list(range(rank, count, size)) or [rank % count]


BY_ITSELF = Sharing()
"""Of a fit by one process."""
