"""Values and log-densities of a site by row, wherever its plates have the rows."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from bayesnas.models.row_sites import RowSites


def row_log_prob(site: Any, count: int, rows: RowSites) -> Tensor:
    """Log-density of every row at a site, ``[n]``, scaled and masked as the program has it."""
    fn, value = site["fn"], site["value"]
    if rows.frame(site) is None:  # a law of all rows at once: take its rows apart
        while isinstance(fn, dist.Independent) and not fn.batch_shape:
            fn = (
                fn.base_dist
                if fn.reinterpreted_batch_ndims == 1
                else dist.Independent(fn.base_dist, fn.reinterpreted_batch_ndims - 1)
            )
    log_prob = scale_and_mask(fn.log_prob(value), site["scale"], site["mask"])
    if isinstance(log_prob, Tensor) and log_prob.ndim == 0 and rows.frame(site) is not None:
        log_prob = log_prob.expand(count)
    found = by_row(log_prob, site, count, rows, event_dim=0)
    return found.reshape(count, -1).sum(-1)


def by_row(
    value: Tensor, site: Any, count: int, rows: RowSites, event_dim: int | None = None
) -> Tensor:
    """Values of a site with the rows first.

    Args:
        value: ``[..., rows, ...]``: the dim of the rows is that of the plate they stand in.
        site: whose value it is.
        count: number of rows.
        rows: which plates are of the rows.
        event_dim: dims on the right of the plates; those of the site's values by default.

    Raises:
        ValueError: where the site has not a value for every row.
    """
    frame = rows.frame(site)
    dim = 0
    if frame is not None and frame.dim is not None:
        batch = len(site["fn"].batch_shape)
        right = value.ndim - batch if event_dim is None else event_dim
        dim = value.ndim - right + frame.dim
    if value.ndim == 0 or not 0 <= dim < value.ndim or value.shape[dim] != count:
        raise ValueError(
            f"the observed site {site['name']!r} has shape {list(value.shape)}, not one entry for "
            f"each of {count} rows: put it into pyro.plate('data', len(x)), without subsample_size"
        )
    return value if dim == 0 else value.movedim(dim, 0)
