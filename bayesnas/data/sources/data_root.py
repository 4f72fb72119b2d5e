"""The folder of downloaded data sets, and how missing files come into it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from bayesnas.files import path_of

ROOT_VARIABLE = "BAYESNAS_DATA"


def data_root(root: str | os.PathLike[str] | None) -> Path:
    """The folder that holds data sets: the argument, then BAYESNAS_DATA, then the user's cache.

    Example:
        >>> data_root("somewhere").name
        'somewhere'
    """
    if root is not None:
        return path_of("root", root).absolute()
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return path_of(ROOT_VARIABLE, named).absolute()
    return platformdirs.user_cache_path("bayesnas")


def require_files(
    name: str,
    root: Path,
    files: Sequence[str],
    fetch: Callable[[Path], object] | None,
) -> None:
    """Make sure that the files of a data set are there, downloading those that are not.

    A download goes to a folder of its own and is moved into place when it is whole, so one that
    is cut off leaves nothing behind, and a file that is there is never replaced.

    Args:
        name: of the data set.
        root: the folder of data sets.
        files: paths below `root`.
        fetch: downloads all files below the folder it is given; None: do not download.

    Raises:
        FileNotFoundError: files are missing and did not come; names them, and where to put them.
    """
    missing = [file for file in files if not (root / file).is_file()]
    if not missing:
        return
    if fetch is None:
        reason = "downloading is off (download=False)"
    elif not _writable(root):
        reason = "that folder is read-only"
    else:
        try:
            _download(root, missing, fetch)
            return
        except (OSError, RuntimeError) as error:
            reason = f"downloading failed: {' '.join(str(error).split())}"
    raise FileNotFoundError(
        f"data set {name!r} lacks {', '.join(missing)} in {root} ({reason}). Put the unpacked "
        f"files there, or name another folder by root= or the environment variable {ROOT_VARIABLE}"
    )


def _writable(root: Path) -> bool:
    """Whether the folder, or the nearest one above it that exists, is open to writing."""
    folder = next(f for f in (root, *root.parents) if f.exists())
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _download(root: Path, missing: Sequence[str], fetch: Callable[[Path], object]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as scratch:
        fetch(Path(scratch))
        for file in missing:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / file).replace(root / file)
