"""Paths that a user gives, and files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
        raise TypeError(f"{name} must be a path, got a {type(value).__name__}")
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"{name} must be a path, got {text!r:.200}")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # no such user
        raise ValueError(f"{name} must be a path, got {text!r}: {error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step; a crash leaves the old file or the new one.

    What is not complete yet lies beside it as ``.<name>.partial``, which no reader looks at;
    the next writing of ``path`` begins it anew.

    Raises:
        OSError: naming the path, where the disk is full or the folder can't be written; the
            file that was there is untouched.
        FileExistsError: a folder, pipe or device is there; it stays as it is.
    """
    check_plain(path)
    partial = partial_of(path)
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"could not write {path}: {error.strerror}") from error


def check_plain(path: Path) -> None:
    """Refuse a place where a file would take that of a folder, a pipe or a device.

    Raises:
        FileExistsError: something else than a file is there.
        OSError: the name can't be one of a file.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} must be a file or nothing yet, got a folder, pipe or device")


def partial_of(path: Path) -> Path:
    """Where a file lies until it is complete."""
    return path.with_name(f".{path.name}.partial")


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, in one step.

    Raises:
        FileExistsError: it is there; it stays as it is.
        OSError: naming the path, where it can't be written; nothing is left of it.
    """
    if path.exists():
        raise FileExistsError(f"{path} is there already; give another path")
    write_atomically(path, content)


def check_writable(name: str, path: Path) -> None:
    """Refuse a place where nothing can be written, by writing a file that leaves no trace.

    Args:
        name: of the argument.
        path: of a file or folder to come; where folders above it are missing, too, what counts is
            the nearest that is there.

    Raises:
        OSError: naming the argument, the path and the reason.

    >>> check_writable("out", Path("runs/a"))
    """
    import tempfile

    try:
        folder = next(
            each
            for each in (path.parent if path.is_file() else path, *path.parents)
            if each.exists()
        )
    except OSError as error:  # a name that is too long
        raise OSError(f"{name}: can't write {path}: {error.strerror}") from error
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except NotADirectoryError:
        reason = f"{folder} is no folder"
    except OSError as error:
        reason = f"the folder {folder} takes no file ({error.strerror})"
    raise OSError(f"{name}: can't write {path}: {reason}")


def check_new_file(name: str, value: str | os.PathLike[str], suffixes: Sequence[str]) -> Path:
    """The path, if a new file can be written there.

    Args:
        name: of the argument.
        value: the path.
        suffixes: one of which it has to end in.

    Raises:
        ValueError: it ends in none of them.
        FileExistsError: it is there already.
        FileNotFoundError: its folder is not.
    """
    path = check_place(name, path_of(name, value), suffixes)
    if path.exists():
        raise FileExistsError(f"{path} is there already; give another path")
    return path


def check_place(name: str, path: Path, suffixes: Sequence[str]) -> Path:
    """The path, if it ends in one of the suffixes and its folder is there.

    Raises:
        ValueError: it ends in none of them.
        FileNotFoundError: its folder is not there.
        FileExistsError: a pipe or a device is there.
    """
    if path.suffix not in suffixes:
        raise ValueError(f"{name} must end in {', '.join(suffixes)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    if not path.is_dir():  # of which callers speak
        check_plain(path)
    return path
