"""Where the trials of a search are kept: in memory, in a file, or on a database server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bayesnas.checks import shown
from bayesnas.files import path_of
from bayesnas.inference.search.trials.optuna_import import import_optuna, quiet_optuna

Storage = str | os.PathLike[str] | None
"""None, a path that ends in one of :data:`SUFFIXES`, or the URL of a database server."""

SQLITE, JOURNAL = (".db", ".sqlite"), (".journal",)
SUFFIXES = (*SQLITE, *JOURNAL)
_LOCKED_SECONDS = 60  # that a writer waits for another one


class StorageError(OSError, ValueError):
    """A storage that can't be written, or is something else.

    >>> import bayesnas as bn
    >>> from bayesnas.inference.search import Real
    >>> space, storage = {"x": Real(0, 1)}, "no/such/folder.db"
    >>> bn.search(space, lambda c: c["x"], "random", trials=1, storage=storage)
    Traceback (most recent call last):
    ...
    bayesnas.inference.search.trials.storage.StorageError: storage: there is no folder no/such ...
    """


def open_storage(storage: Storage) -> Any:
    """Optuna's storage of that name; a file that is not there yet is made.

    Raises:
        StorageError: it can't be written, or holds something else; it stays as it is.
        ValueError: the path ends in none of :data:`SUFFIXES`.
    """
    optuna = import_optuna()
    if storage is None:
        return optuna.storages.InMemoryStorage()
    where = os.fspath(storage)
    if isinstance(where, str) and "://" in where:
        return _opened(where, lambda: optuna.storages.RDBStorage(where))
    path = path_of("storage", storage)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"storage must be a path that ends in {', '.join(SUFFIXES)}, or a URL, got "
            f"{shown(str(path))}"
        )
    _check_file(path)
    if path.suffix in SQLITE:
        options = {"connect_args": {"timeout": _LOCKED_SECONDS}}
        url = f"sqlite:///{path.absolute()}"
        return _opened(where, lambda: optuna.storages.RDBStorage(url, options))
    backend = optuna.storages.journal.JournalFileBackend
    return _opened(where, lambda: optuna.storages.JournalStorage(backend(str(path.absolute()))))


def _check_file(path: Path) -> None:
    """Raise StorageError where no file can be made or written."""
    if not path.parent.is_dir():
        raise StorageError(f"storage: there is no folder {path.parent} to write {path.name} to")
    if path.exists() and not path.is_file():
        raise StorageError(f"storage must be a file, got a folder, pipe or device: {path}")
    asked = path if path.exists() else path.parent
    if not os.access(asked, os.W_OK):
        raise StorageError(f"storage must be a file that can be written, got {path}")
    if path.exists() and path.stat().st_size and not _is_ours(path):
        raise StorageError(f"storage must hold a study or nothing, got another file: {path}")


def _is_ours(path: Path) -> bool:
    """By its first bytes, whether a file is of SQLite, or a journal of Optuna."""
    with path.open("rb") as stream:
        start = stream.read(16)
    return start.startswith(b"SQLite format 3" if path.suffix in SQLITE else b'{"op_code":')


def _opened(where: str, make: Any) -> Any:
    try:
        with quiet_optuna():
            return make()
    except Exception as error:
        # SQLAlchemy's, sqlite3's, a driver's that is missing: each engine has errors of its own.
        text = str(error).partition("\n")[0]
        raise StorageError(f"storage can't be opened or written, got {where}: {text}") from error
