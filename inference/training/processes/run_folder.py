"""The folder of a run that one of several processes reads and writes for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayesnas.inference.runs.chain_record import ChainRecord, ChainState
from bayesnas.inference.runs.description import RunDescription
from bayesnas.inference.runs.run_folder import Example, RunFolder, read_run
from bayesnas.models.base import BayesianModel
from bayesnas.nn.hypernetworks.options import Amortize
from bayesnas.runtime.processes.group import Processes


class SharedRunFolder:
    """A :class:`~bayesnas.inference.runs.run_folder.RunFolder` that the first process looks after.

    The others are told what it reads, need not see its disk, and raise the errors that it raises.

    Args:
        out: the folder.
        run: what is fitted on what.
        resume: whether to go on with a run in it.
        processes: of the fit.

    Attributes:
        path: the folder.
        finished: whether the run in it is done.
    """

    def __init__(
        self, out: str | Path, run: RunDescription, processes: Processes, *, resume: bool
    ) -> None:
        """Look whether the folder can take the run; see ``RunFolder.open`` for errors."""
        self._processes = processes
        self._folder: RunFolder | None = None

        def opened() -> tuple[Path, bool]:
            self._folder = RunFolder.open(out, run, resume=resume)
            return self._folder.path, self._folder.finished

        self.path, self.finished = processes.of_first(opened)

    def read(
        self, model: BayesianModel, amortize: Amortize | None
    ) -> tuple[RunDescription, list[ChainRecord], Example]:
        """The result of a finished run, read by every process from the same disk."""
        self._of_folder("tidy")
        return read_run(self.path, model, amortize)

    def begin(self) -> None:
        """Create the folder and say in it what is being fitted."""
        self._of_folder("begin")

    def checkpoint(self) -> tuple[list[ChainRecord], list[ChainState]] | None:
        """Last checkpoint, or None where there is none yet."""
        read: tuple[list[ChainRecord], list[ChainState]] | None = self._of_folder("checkpoint")
        return read

    def write_checkpoint(
        self, finished: Sequence[ChainRecord], running: Sequence[ChainState]
    ) -> bool:
        """Write where the fit stands; return whether it could be written."""
        return bool(self._of_folder("write_checkpoint", finished, running))

    def finish(self, records: Sequence[ChainRecord], example: Example) -> None:
        """Write the result."""
        self._of_folder("finish", records, example)

    def _of_folder(self, method: str, *arguments: Any) -> Any:
        return self._processes.of_first(lambda: getattr(self._folder, method)(*arguments))
