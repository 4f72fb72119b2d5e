"""The sites of a trace: latent, observed, auxiliary, and their log densities."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from pyro.distributions import Independent
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesnas.models.site_kinds import is_deterministic, is_factor, unmasked


def split_sites(trace: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Latent and observed sites of a trace, by name.

    Neither are the subsamples of plates and what ``pyro.deterministic`` notes. What
    ``pyro.factor`` adds is an observed site.
    """
    latent: dict[str, Any] = {}
    observed: dict[str, Any] = {}
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not site_is_subsample(site) and not is_deterministic(site):
            (observed if site["is_observed"] else latent)[name] = site
    return latent, observed


def log_density(site: Any, value: Tensor | None = None) -> Tensor:
    """Log density of a site, scaled and masked as its program says; summed, a scalar.

    Args:
        site: of a trace.
        value: instead of its own.
    """
    log_prob = site["fn"].log_prob(site["value"] if value is None else value)
    return total(scale_and_mask(log_prob, site["scale"], site["mask"]))


def log_density_by_row(
    name: str, site: Any, rows: int, plates: Collection[str]
) -> tuple[Tensor, Tensor | None]:
    """Log density of an observed site for every example, masked, and scaled by ``poutine.scale``.

    Args:
        name: of the site.
        site: of a trace; its examples are those of a plate, else the first dim of its batch.
        rows: number of examples n.
        plates: names of those whose members are the examples.

    Returns:
        ``[n]`` in nats, and where not all is seen, which of its entries are: boolean ``[n, ...]``;
        else None.

    Raises:
        ValueError: where the site has no term for every example.
    """
    check_not_broadcast(name, site)
    fn, mask = unmasked(site)
    log_prob = fn.log_prob(site["value"])
    dim = dim_of_rows(site, rows, plates)
    while dim is None and isinstance(fn, Independent) and not _has_rows(log_prob, rows):
        fn = fn.base_dist  # a vector of independent rows, declared by to_event
        log_prob = fn.log_prob(site["value"])
    axis = 0 if dim is None else log_prob.ndim + dim
    if log_prob.ndim == 0 or not 0 <= axis < log_prob.ndim or log_prob.shape[axis] != rows:
        joint = log_prob.ndim == 0 and rows in fn.event_shape
        raise ValueError(
            f"the observed site {name!r} must have a log density for each of {rows} examples, got "
            f"shape {list(log_prob.shape)}: "
            + (
                f"all rows are one event of its {type(fn).__name__}, so no row has one of its own; "
                "such a model is fitted and sampled, but neither evaluated nor exported with data"
                if joint
                else "declare them independent, with pyro.plate('data', len(x))"
            )
        )
    scaled = scale_and_mask(log_prob, scale_of_data(site), mask)
    by_row = scaled.movedim(axis, 0).reshape(rows, -1).sum(-1)
    return by_row, _whole_mask(mask, log_prob, axis)


def mask_by_row(site: Any, rows: int, plates: Collection[str]) -> Tensor | None:
    """What of a site is seen, as :func:`log_density_by_row` says, where values are enumerated."""
    fn, mask = unmasked(site)
    dim = dim_of_rows(site, rows, plates)
    depth = plate_depth(site)
    # Dims left of those of the plates are of enumerated values.
    like = torch.zeros(fn.batch_shape[len(fn.batch_shape) - depth :])
    return _whole_mask(mask, like, 0 if dim is None else depth + dim)


def _whole_mask(mask: Any, like: Tensor, axis: int) -> Tensor | None:
    if mask is None or mask is True:
        return None
    return torch.as_tensor(mask, device=like.device).expand(like.shape).movedim(axis, 0)


def plate_depth(site: Any) -> int:
    """How many dims, from the right of a batch shape, are of the plates around a site."""
    return max((-frame.dim for frame in site["cond_indep_stack"] if frame.vectorized), default=0)


def dim_of_rows(site: Any, rows: int, plates: Collection[str]) -> int | None:
    """Dim of the examples, counted from the right of a batch shape; None in no plate of theirs.

    Args:
        site: of a trace.
        rows: number of examples; a plate of as many members is theirs where no name says so.
        plates: names of those whose members are the examples.
    """
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    named = [frame.dim for frame in frames if frame.name in plates]
    dims = named or [frame.dim for frame in frames if frame.size == rows]
    return dims[0] if dims else None


def rows_first(
    values: Tensor, site: Any, rows: int, plates: Collection[str], inner: int | None = None
) -> Tensor:
    """Values of a site, or what has its batch dims, with the examples along the first dim.

    Args:
        values: ``[*batch, ...]``.
        site: of a trace.
        rows: number of examples.
        plates: names of those whose members are the examples.
        inner: number of dims of the values after the batch; by default those of an event.
    """
    dim = dim_of_rows(site, rows, plates)
    after = len(site["fn"].event_shape) if inner is None else inner
    return values if dim is None else values.movedim(values.ndim - after + dim, 0)


def scale_of_data(site: Any) -> Any:
    """What ``poutine.scale`` multiplies a site by, without what plates do that subsample."""
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    return site["scale"] / math.prod((f.full_size or f.size) / f.size for f in frames)


def _has_rows(log_prob: Tensor, rows: int) -> bool:
    return log_prob.ndim > 0 and len(log_prob) == rows


def total(value: Tensor | float) -> Tensor:
    """The sum of a tensor; a number as a tensor."""
    return value.sum() if isinstance(value, Tensor) else torch.as_tensor(value)


def check_not_broadcast(name: str, site: Any) -> None:
    """Raise unless an observed site has one log density for each of its values.

    Raises:
        ValueError: where values and distribution broadcast against each other, which counts the
            same values more than once; the message says both shapes.
    """
    if not site["is_observed"] or is_factor(site) or not isinstance(site["value"], Tensor):
        return
    value, shape = site["value"].shape, site["fn"].shape()
    if len(value) > 0 and _enlarged(value, shape):
        raise ValueError(
            f"the observed site {name!r} must have values in the shape of its distribution, got "
            f"values {list(value)} for batch_shape {list(site['fn'].batch_shape)} and event_shape "
            f"{list(site['fn'].event_shape)}, which would broadcast"
        )


def _enlarged(value: torch.Size, shape: torch.Size) -> bool:
    """Whether values would be repeated to fill a shape; what fits in no way fails by itself."""
    try:
        return bool(torch.broadcast_shapes(value, shape).numel() > value.numel())
    except RuntimeError:
        return False
