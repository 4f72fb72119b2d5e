"""One data set or tree from those at every point of a grid of metaparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

Grid = Mapping[str, Sequence[float]]
"""Values by the name of a metaparameter; each gives a dim."""

ALONG = "kl_weight"
"""The dim of λ."""


def dataset_over(grid: Grid, measured_at: Callable[..., xr.Dataset]) -> xr.Dataset:
    """Measures along the KL weight at every point of a grid.

    Args:
        grid: of other metaparameters.
        measured_at: the measures at one value of each, given by name.

    Returns:
        a data set whose dims are ``kl_weight``, then those of the grid.

    >>> import xarray as xr
    >>> def measured_at(scale):
    ...     return xr.Dataset({"bound": ("kl_weight", [scale, 2 * scale])})
    >>> dataset_over({"scale": [1.0, 3.0]}, measured_at)["bound"].values.tolist()
    [[1.0, 3.0], [2.0, 6.0]]
    """
    import xarray as xr

    if not grid:
        return measured_at()
    name, *rest = grid
    parts = [
        dataset_over(
            {n: grid[n] for n in rest}, lambda v=value, **fixed: measured_at(**{name: v}, **fixed)
        )
        for value in grid[name]
    ]
    joined = xr.concat(parts, _dim(name, grid[name]), combine_attrs="drop_conflicts")
    return joined.transpose(ALONG, *grid, ...)


def tree_over(grid: Grid, tree_at: Callable[..., xr.DataTree]) -> xr.DataTree:
    """Draws along the KL weight at every point of a grid, as one tree.

    Args:
        grid: of other metaparameters.
        tree_at: the tree of one value of each, given by name, with a dim ``kl_weight``.

    Returns:
        a tree in which every group that depends on λ has, after chain, draw and ``kl_weight``, a
        dim for each of the grid; the other groups are those of the first tree.
    """
    import xarray as xr

    if not grid:
        return tree_at()
    name, *rest = grid
    trees = [
        tree_over(
            {n: grid[n] for n in rest}, lambda v=value, **fixed: tree_at(**{name: v}, **fixed)
        )
        for value in grid[name]
    ]
    groups = {}
    for group, node in trees[0].children.items():
        groups[group] = node.to_dataset()
        if ALONG in groups[group].dims and group != "svi":
            parts = [tree[group].to_dataset() for tree in trees]
            joined = xr.concat(parts, _dim(name, grid[name]), combine_attrs="drop_conflicts")
            dims = ("chain", "draw", ALONG, *grid)
            groups[group] = joined.transpose(*dims, ..., missing_dims="ignore")
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(trees[0].attrs)
    return tree


def _dim(name: str, values: Sequence[float]) -> xr.DataArray:
    import xarray as xr

    return xr.DataArray([float(value) for value in values], dims=name, name=name)
