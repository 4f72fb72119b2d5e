"""Candidates judged by a table of numbers that were measured once."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bayesnas.checks import choice
from bayesnas.files import path_of, write_atomically
from bayesnas.inference.search.space import SearchSpace
from bayesnas.inference.search.variables import Value
from bayesnas.typed import typed


@typed()
@dataclass(frozen=True)
class Table:
    """Scores of every candidate of a finite space, in the order of ``space.candidates()``.

    Attributes:
        space: the space.
        columns: by objective, one number a candidate.
        about: how the numbers were made, as JSON values.

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

    def row(self, candidate: Mapping[str, Value]) -> int:
        """Its place in the table."""
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
        """Write space and numbers, compressed."""
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
        try:
            with np.load(path_of("path", path), allow_pickle=False) as stored:
                head = json.loads(stored["head"].tobytes())
                columns = dict(_columns(stored))
        except (KeyError, ValueError, EOFError) as error:
            raise ValueError(f"{path} is truncated or no table of candidates: {error}") from error
        return cls(SearchSpace.from_dict(head["space"]), columns, head["about"])


def _columns(stored: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    for name in stored:
        if name.startswith("column_"):
            yield name.removeprefix("column_"), stored[name]
