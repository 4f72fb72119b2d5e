"""Files that anybody may have written: read within bounds, refused by name."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesnas.memory import MemoryLimit, available_memory


def check_file(path: Path, most: float) -> None:
    """Raise unless a path is a plain file, which ends, and of at most so many bytes.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is a folder, a pipe or a device, or larger.

    >>> check_file(Path("/dev/zero"), most=100)
    Traceback (most recent call last):
    ...
    ValueError: /dev/zero must be a file, got a folder, pipe or device
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} must be a file, got a folder, pipe or device")
    if status.st_size > most:
        raise ValueError(f"{path} must be of at most {most:,.0f} bytes, got {status.st_size:,}")


@contextmanager
def untrusted_file(path: Path, what: str) -> Iterator[None]:
    """Refuse a damaged or hostile file by name, whatever its content leads to.

    While it holds, a tensor that memory has no room for is refused before any is taken.

    Args:
        path: of the file, which is read inside.
        what: it should be.

    Raises:
        OSError: it is not there or can't be read.
        ValueError: naming the file.

    >>> with untrusted_file(Path(__file__), "network"):
    ...     {}["layers"]
    Traceback (most recent call last):
    ...
    ValueError: ...untrusted_files.py is truncated, damaged or no network: KeyError: 'layers'
    """
    check_file(path, available_memory())
    try:
        with MemoryLimit():
            yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is truncated, damaged or no {what}: {said}") from error
