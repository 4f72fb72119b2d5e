"""Words that name something: data sets, files, the nearest of known names; read without torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from bayesnas.files import path_of

DATA_SETS = ("digits", "diabetes", "breast-cancer", "mnist", "fashion-mnist", "cifar10")
SUFFIXES = (".npz", ".csv")


def did_you_mean(value: object, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """The nearest of the choices, as the end of a message; nothing where none is near.

    >>> did_you_mean("rleu", ("relu", "tanh"))
    "; did you mean 'relu'?"
    """
    near = difflib.get_close_matches(str(value), list(choices), n=2, cutoff=cutoff)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def data_file(name: str) -> Path | None:
    """The file, by its ending, or folder that a word stands for; None of a name of ``DATA_SETS``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no known name either; with the nearest.

    >>> data_file("digits")
    """
    if name.lower().endswith(SUFFIXES) or (name not in DATA_SETS and Path(name).is_dir()):
        path = path_of("name_or_path", name)
        if not path.exists():
            raise FileNotFoundError(f"there is no data file {path}")
        return path
    if name not in DATA_SETS:
        word = name.lower().replace("_", "-")
        hint = did_you_mean(word, DATA_SETS, cutoff=0.5)
        raise ValueError(
            f"unknown data set {name!r}{hint or '.'} Known: {', '.join(DATA_SETS)}, "
            f"a path that ends in {' or '.join(SUFFIXES)}, or a folder"
        )
    return None


def check_options_of_files(name: str, options: Mapping[str, object]) -> None:
    """Raise ValueError for an option, not None, that a data set of a known name does not take.

    >>> check_options_of_files("digits", {"target": None})
    """
    for option, value in options.items():
        if value is not None:
            raise ValueError(f"{option} goes with a file of your own, got {value!r} for {name!r}")
