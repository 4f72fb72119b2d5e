"""The course of a fit as a table of text."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesnas.checks import flag
from bayesnas.files import path_of
from bayesnas.loggers.base import Logger, place_of
from bayesnas.typed import typed

_HEADER = ["chain", "step", "name", "value"]


class CSVLogger(Logger):
    """Writes a row ``chain,step,name,value`` for every number, without other packages.

    Args:
        path: of the file, which must be new.
        append: go on with a file that is there, as after ``bayesnas.fit(resume=True)``.
        options: of every :class:`Logger`.

    Raises:
        FileExistsError: the file is there, and ``append`` is false.
        ValueError: with ``append``, the file is no such table.
        TypeError: naming an argument of another type.

    >>> logger = CSVLogger("a.csv")
    >>> logger.log({"test/nll": 0.25}, step=100)
    >>> logger.path.read_text().splitlines()
    ['chain,step,name,value', '0,100,test/nll,0.25']
    """

    def __init__(self, path: str | Path, *, append: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.path = path_of("path", path)
        begun = flag("append", append) and self.path.exists()
        if begun:
            with self.path.open(newline="", encoding="utf-8") as file:
                first = next(csv.reader(file), None)
            if first != _HEADER:
                raise ValueError(f"{self.path} must begin with {','.join(_HEADER)}, got {first}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not begun:
            with self.path.open("x", encoding="utf-8") as file:
                file.write(",".join(_HEADER) + "\n")

    @typed()
    def log(self, values: Mapping[str, float], step: int, chain: int = 0) -> None:
        """Write a row for each number; they are there at once, also for a fit that is killed.

        Raises:
            TypeError: for what is no mapping.
            ValueError: for a step or a chain below 0.
        """
        step, chain = place_of(step, chain)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerows([chain, step, name, value] for name, value in values.items())
