"""The course of a fit for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesnas.files import path_of
from bayesnas.loggers.base import Logger, place_of
from bayesnas.typed import typed


class TensorBoardLogger(Logger):
    """Writes scalars that ``tensorboard --logdir DIR`` shows, one run a chain.

    Needs the extra: ``pip install 'bayesnas[tensorboard]'``.

    Args:
        path: of a folder, ``chain0``, ``chain1``, ... below which hold the runs.
        options: of every :class:`Logger`.

    Raises:
        ImportError: tensorboard is not installed.
        TypeError: for what is no path.

    >>> with TensorBoardLogger("logs") as logger:
    ...     logger.log({"test/nll": 0.25}, step=100)
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        super().__init__(**options)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoardLogger needs tensorboard: pip install 'bayesnas[tensorboard]'"
            ) from error
        self._make = SummaryWriter
        self.path = path_of("path", path)
        self._writers: dict[int, Any] = {}

    @typed()
    def log(self, values: Mapping[str, float], step: int, chain: int = 0) -> None:
        """Write a scalar for each number.

        Raises:
            TypeError: for what is no mapping.
            ValueError: for a step or a chain below 0.
        """
        step, chain = place_of(step, chain)
        if chain not in self._writers:
            self._writers[chain] = self._make(str(self.path / f"chain{chain}"))
        for name, value in values.items():
            self._writers[chain].add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left, and close the files."""
        for writer in self._writers.values():
            writer.close()
