"""Trees of several KL weights as one, of which nothing takes the rows of all for more rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.checks import non_negative
from bayesnas.export.datasets import SAMPLE_DIMS
from bayesnas.export.grid import ALONG
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray

OF_ROWS = ("log_likelihood", "posterior_predictive", "prior_predictive")
"""Groups of which ArviZ takes every dim but chain and draw for one of rows."""

_SUFFIX = "_by_kl_weight"


@typed()
def along_kl_weight(trees: Sequence[xarray.DataTree]) -> xarray.DataTree:
    """One tree from the trees of several KL weights of one fit.

    ``az.loo`` and ``az.plot_ppc`` take every dim of ``log_likelihood`` and ``posterior_predictive``
    but chain and draw for one of rows, so that three λ of 100 rows would be 300 rows. So here these
    groups are called ``log_likelihood_by_kl_weight`` and so on, which ArviZ does not read;
    :func:`at_kl_weight` gives a tree that it does, and :func:`tempered_loo` takes all λ.

    Args:
        trees: made by :func:`to_datatree` of the same sites, draws and data, each at its λ.

    Returns:
        a tree in which every group that depends on λ has a dimension ``kl_weight`` after chain
        and draw; the other groups (data, the history of the fit) are those of the first tree.

    Raises:
        TypeError: for what is no sequence of trees.

    >>> import torch, bayesnas as bn
    >>> from bayesnas.export import along_kl_weight
    >>> data = (torch.ones(8, 2), torch.arange(8) % 2)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 2]))
    >>> post = bn.fit(model, data, kl_weight=bn.LogUniform(0.1, 1), steps=5, progress=False)
    >>> tree = along_kl_weight([post.at(weight).to_arviz(draws=3) for weight in (0.1, 1.0)])
    >>> tree["posterior"]["layer1.bias"].dims
    ('chain', 'draw', 'kl_weight', 'layer1.out')
    """
    import xarray

    groups = {}
    for name, node in trees[0].children.items():
        first = node.to_dataset()
        if ALONG not in first.coords:
            first.attrs.pop(ALONG, None)
            groups[name] = first
            continue
        parts = [tree[name].to_dataset() for tree in trees]
        joined = xarray.concat(parts, dim=ALONG, combine_attrs="drop_conflicts")
        renamed = f"{name}{_SUFFIX}" if name in OF_ROWS else name
        groups[renamed] = joined.transpose("chain", "draw", ALONG, ..., missing_dims="ignore")
    tree = xarray.DataTree.from_dict(groups)
    tree.attrs = {name: value for name, value in trees[0].attrs.items() if name != ALONG}
    return tree


@typed()
def at_kl_weight(
    tree: xarray.DataTree, kl_weight: float, **metaparameters: float
) -> xarray.DataTree:
    """The tree of one KL weight out of one along several, as ArviZ reads it.

    Args:
        tree: of ``to_arviz`` with several λ, or read from its netCDF file.
        kl_weight: one of them.
        metaparameters: a value of every other metaparameter of the tree, by name.

    Returns:
        what ``post.at(kl_weight).to_arviz(...)`` gives.

    Raises:
        ValueError: the tree is not along λ, or it has not that value; the message says which.

    >>> import torch, bayesnas as bn
    >>> from bayesnas.export import at_kl_weight
    >>> data = (torch.ones(8, 2), torch.arange(8) % 2)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 2]))
    >>> post = bn.fit(model, data, kl_weight=[0.1, 1.0], steps=5, progress=False)
    >>> tree = post.to_arviz([0.1, 1.0], draws=3, data=data)
    >>> "log_likelihood" in tree.children
    False
    >>> dict(at_kl_weight(tree, 1.0)["log_likelihood"]["y"].sizes)
    {'chain': 1, 'draw': 3, 'obs': 8}
    """
    import xarray

    values = {ALONG: non_negative(ALONG, kl_weight), **metaparameters}
    dims = [dim for dim in tree["sample_stats"]["log_q"].dims if dim not in SAMPLE_DIMS]
    if set(dims) != set(values):
        raise ValueError(
            f"tree must be one of several values of {', '.join(values)}, as to_arviz([...]) makes "
            f"it, got one of several {', '.join(map(str, dims)) or 'draws alone'}"
        )
    groups = {}
    for name, node in tree.children.items():
        group = node.to_dataset()
        for dim in values.keys() & set(group.sizes):
            group = group.isel({dim: _place(group[dim], dim, values[dim])})
        groups[name.removesuffix(_SUFFIX)] = group
        if ALONG in group.coords:
            group.attrs[ALONG] = float(kl_weight)
    attrs = {**tree.attrs, ALONG: float(kl_weight)}
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=attrs), **groups})


def _place(fitted: xarray.DataArray, name: str, value: float) -> int:
    """Where a value stands among those of a dim."""
    near = np.isclose(fitted.to_numpy(), value, rtol=1e-9, atol=0.0)
    if not near.any():
        raise ValueError(f"{name} must be one of {fitted.to_numpy().tolist()}, got {value}")
    return int(near.argmax())
