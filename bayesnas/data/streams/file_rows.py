"""Rows of an array in an .npy file, read when they are needed."""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.data.conversion import as_tensor
from bayesnas.memory import available_memory

_SHARE_MAPPED = 0.25  # of the free memory


class FileRows:
    """The rows of an array that lies in a file, ``[n, ...]``.

    A file that a quarter of the free memory has room for is mapped: the system keeps what was read.
    Of a larger one every row is read by itself, so that memory holds one batch of it, however large
    the file is; the limits of ``ulimit -v`` and ``ulimit -d`` count as free memory. Either way the
    file has to stay as it is while it is in use.

    Args:
        array: path of an .npy file, or a memory map of one (``np.load(path, mmap_mode="r")``), all
            of it or rows ``array[a:b]``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no .npy file of real numbers, has no rows, is shorter than its header
            says, or the memory map is no block of rows.
    """

    def __init__(self, array: str | Path | np.memmap[Any, Any]) -> None:
        """Find out where the rows lie; see the class."""
        where = _of_map(array) if isinstance(array, np.memmap) else _of_file(Path(array))
        self.path, self.shape, self.dtype, self._offset = where
        if not self.shape or self.dtype.kind not in "biuf" or self.dtype.itemsize > 8:
            raise ValueError(
                f"dataset: {self.path} must hold rows of real numbers that torch has, got shape "
                f"{list(self.shape)} of {self.dtype}"
            )
        self._row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        self._end = self._offset + self._row_bytes * len(self)
        self._mapped: npt.NDArray[Any] | None = None
        self._descriptor = -1
        self._open()

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Some rows, ``[*rows.shape, ...]``, as a tensor in memory of its own.

        Raises:
            OSError: the file has become shorter.
        """
        if os.fstat(self._descriptor).st_size < self._end:
            raise OSError(
                f"{self.path} has become shorter: it must have {self._end} bytes for "
                f"{len(self)} rows, got {os.fstat(self._descriptor).st_size}"
            )
        numbers = rows.numpy()
        if self._mapped is not None:
            return _as_tensor(self._mapped[numbers])
        array = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        room = memoryview(array.reshape(-1).view(np.uint8).data)
        size = self._row_bytes
        views = [room[start : start + size] for start in range(0, size * len(numbers), size)]
        for view, place in zip(views, (numbers * size + self._offset).tolist(), strict=True):
            if os.preadv(self._descriptor, (view,), place) != size:
                raise OSError(f"{self.path} ends before byte {place + size}: it was cut off")
        return _as_tensor(array)

    def __getstate__(self) -> dict[str, Any]:
        """What another process opens the file anew from."""
        return {**vars(self), "_mapped": None, "_descriptor": -1}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again."""
        vars(self).update(state)
        self._open()

    def __del__(self) -> None:
        """Close the file."""
        if self.__dict__.get("_descriptor", -1) >= 0:
            os.close(self._descriptor)

    def __deepcopy__(self, memo: dict[int, Any]) -> FileRows:
        """The same file: there is nothing to change in it."""
        return self

    def _open(self) -> None:
        self._descriptor = os.open(self.path, os.O_RDONLY)
        if self._end - self._offset <= _SHARE_MAPPED * available_memory():
            self._mapped = np.memmap(
                self.path, self.dtype, mode="r", offset=self._offset, shape=self.shape
            )


class _Layout(NamedTuple):
    """Where an array lies: file, shape, type, and the byte where it begins."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int


def _of_file(path: Path) -> _Layout:
    """By the header of an .npy file, which is not mapped for it."""
    if not path.exists():
        raise FileNotFoundError(f"dataset: {path} is not there")
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, by_columns, dtype = read(file)
        except (ValueError, EOFError, KeyError) as error:
            raise ValueError(f"dataset: {path} must be an .npy file of numbers: {error}") from error
        if by_columns and len(shape) > 1:
            raise ValueError(_not_in_rows(path, "Fortran order"))
        return _Layout(path.absolute(), shape, dtype, file.tell())


def _of_map(array: np.memmap[Any, Any]) -> _Layout:
    """``array.offset`` is that of the whole map, of which an array may be a part."""
    path = Path(str(array.filename)).absolute()
    if not array.flags.c_contiguous:
        raise ValueError(_not_in_rows(path, f"strides {array.strides} of {list(array.shape)}"))
    mapped = np.frombuffer(array._mmap, dtype=np.uint8)  # type: ignore[attr-defined]
    start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    place: int = array.__array_interface__["data"][0] - mapped.__array_interface__["data"][0]
    return _Layout(path, array.shape, array.dtype, start + place)


def _not_in_rows(path: Path, got: str) -> str:
    return (
        f"dataset: rows of {path} must lie one after the other (C order), got {got}: np.save the "
        "array anew, as np.ascontiguousarray(array)"
    )


def _as_tensor(array: npt.NDArray[Any]) -> Tensor:
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # of which torch has none
        return as_tensor("dataset", array)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
