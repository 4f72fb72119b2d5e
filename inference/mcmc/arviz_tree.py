"""Draws of a Markov chain as the tree that ArviZ reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesnas.export.datasets import SAMPLE_DIMS, attributes, dataset, named, provenance
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

    from bayesnas.export.arviz_version import Array


@typed()
def mcmc_tree(
    posterior: Mapping[str, Array],
    dims: Mapping[str, Sequence[str]],
    *,
    sample_stats: Mapping[str, Array] | None = None,
    log_likelihood: Mapping[str, Array] | None = None,
    observed_data: Mapping[str, Array] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Build the tree of groups from draws, ``[chains, draws, ...]`` each.

    Args:
        posterior: draws by name.
        dims: names of the dimensions after chain and draw, by variable; of observed data, of all.
        sample_stats: such as ``lp``.
        log_likelihood: pointwise.
        observed_data: what was conditioned on.
        attrs: written on every group.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for draws without the dimensions of chain and draw, or whose other dimensions
            ``dims`` does not name.

    >>> import numpy as np
    >>> tree = mcmc_tree({"width": np.ones((2, 5, 3))}, {"width": ("layer",)})
    >>> dict(tree.posterior["width"].sizes)
    {'chain': 2, 'draw': 5, 'layer': 3}
    """
    import xarray

    sampled = {
        "posterior": posterior,
        "sample_stats": sample_stats,
        "log_likelihood": log_likelihood,
    }
    groups = {name: named(name, values, SAMPLE_DIMS, dims) for name, values in sampled.items()}
    groups["observed_data"] = named("observed_data", observed_data, (), dims)
    shared = attributes({**provenance(), **(attrs or {})})
    tree = {
        name: dataset(name, variables, {}, {}, None).assign_attrs(shared)
        for name, variables in groups.items()
        if variables
    }
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=shared), **tree})
