"""Candidates judged by a table of numbers that were measured once."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesnas.checks import choice
from bayesnas.data.sources.csv_npz import read_arrays
from bayesnas.files import path_of, write_atomically
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.space import SearchSpace
from bayesnas.typed import typed
from bayesnas.untrusted_files import untrusted_file


@typed()
@dataclass(frozen=True)
class Table:
    """Scores of every candidate of a finite space, in the order of ``space.candidates()``.

    Attributes:
        space: the space.
        columns: by objective, one number a candidate, ``[candidates]``.
        about: how the numbers were made, as JSON values.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a space with conditions, and a column without one number a candidate.

    >>> from bayesnas.inference.search import Categorical
    >>> space = SearchSpace({"width": Categorical((8, 16))})
    >>> Table(space, {"error": np.array([0.2, 0.1])}, {})({"width": 16})
    {'error': 0.1}
    """

    space: SearchSpace
    columns: Mapping[str, np.ndarray]
    about: Mapping[str, object]

    def __post_init__(self) -> None:
        if any(variable.when is not None for variable in self.space.values()):
            raise ValueError("space of a table must be without conditions")
        for name, column in self.columns.items():
            if column.shape != (self.space.size,) or not np.isreal(column).all():
                raise ValueError(
                    f"columns: column {name!r} must have one number for each of "
                    f"{self.space.size:,} candidates, got {list(column.shape)}"
                )

    def __call__(self, candidate: Mapping[str, Value]) -> dict[str, float]:
        """The scores of a candidate by objective."""
        row = self.row(candidate)
        return {name: float(column[row]) for name, column in self.columns.items()}

    @typed()
    def row(self, candidate: Mapping[str, Value]) -> int:
        """Its place in the table.

        Raises:
            ValueError: for a candidate that is none of the space.
        """
        checked, place = self.space.checked(candidate), 0
        for name, variable in self.space.items():
            choices = variable.values or ()
            place = place * len(choices) + choices.index(checked[name])
        return place

    @typed()
    def best(self, objective: str) -> float:
        """The smallest number of a column.

        Raises:
            ValueError: for a name that is none of a column.
        """
        return float(self.columns[choice("objective", objective, tuple(self.columns))].min())

    @typed()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write space and numbers, compressed.

        Raises:
            TypeError: for what is no path.
            OSError: where nothing can be written.
        """
        stream = io.BytesIO()
        head = json.dumps({"space": self.space.to_dict(), "about": dict(self.about)})
        columns = {f"column_{name}": column for name, column in self.columns.items()}
        np.savez_compressed(stream, head=np.frombuffer(head.encode(), np.uint8), **columns)  # type: ignore[arg-type]
        write_atomically(path_of("path", path), stream.getvalue())

    @classmethod
    @typed()
    def load(cls, path: str | os.PathLike[str]) -> Table:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: naming the file, where it is something else.
        """
        place = path_of("path", path)
        with untrusted_file(place, "table of candidates"):
            stored = read_arrays(place)
            head = json.loads(stored.pop("head").tobytes())
            columns = {
                name.removeprefix("column_"): column
                for name, column in stored.items()
                if name.startswith("column_")
            }
            return cls(SearchSpace.from_dict(head["space"]), columns, head["about"])
