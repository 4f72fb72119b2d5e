"""Paths that a user gives."""

from __future__ import annotations

import os
from pathlib import Path


def path_of(name: str, value: object) -> Path:
    """Return a path, a leading ``~`` replaced by the home folder.

    Raises:
        TypeError: for what is neither a string nor a path.
        ValueError: for an empty one, one with a null character, or ``~`` of nobody here.

    >>> path_of("out", "runs/a").name
    'a'
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {value!r:.200}")
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"{name} must be a path, got {text!r:.200}")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # no such user
        raise ValueError(f"{name} must be a path, got {text!r}: {error}") from error
