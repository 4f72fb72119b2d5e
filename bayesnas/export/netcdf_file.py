"""A tree of draws as one netCDF file, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bayesnas.files import check_plain, partial_of

if TYPE_CHECKING:
    import xarray as xr


def write_netcdf(tree: xr.DataTree, path: Path) -> None:
    """Write a tree to a netCDF file, whole or not at all.

    Raises:
        OSError: it can't be written; nothing is left of it.
    """
    check_plain(path)
    partial = partial_of(path)
    try:
        tree.to_netcdf(partial, engine="h5netcdf")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"could not write {path}: {error.strerror}") from error
