"""The sites of a trace: latent, observed, auxiliary, and their log densities."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import Independent, MaskedDistribution
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesnas.models.base import is_deterministic, is_factor


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


def is_auxiliary(site: Any) -> bool:
    """Whether a latent site is of the guide alone, as those of Pyro's autoguides."""
    return bool(site["infer"].get("is_auxiliary")) and not site["is_observed"]


def log_density(site: Any, value: Tensor | None = None) -> Tensor:
    """Log density of a site, scaled and masked as its program says; summed, a scalar.

    Args:
        site: of a trace.
        value: instead of its own.
    """
    log_prob = site["fn"].log_prob(site["value"] if value is None else value)
    return total(scale_and_mask(log_prob, site["scale"], site["mask"]))


def log_density_by_row(name: str, site: Any, rows: int) -> tuple[Tensor, Tensor | None]:
    """Log density of an observed site for every example, masked, and scaled by ``poutine.scale``.

    Args:
        name: of the site.
        site: of a trace; its examples are those of a plate, else the first dim of its batch.
        rows: number of examples n.

    Returns:
        ``[n]`` in nats, and where not all is seen, which rows have anything that is: boolean
        ``[n]``; else None.

    Raises:
        ValueError: where the site has no term for every example.
    """
    check_not_broadcast(name, site)
    fn, mask = _unmasked(site)
    log_prob = fn.log_prob(site["value"])
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    dims = [frame.dim for frame in frames if frame.size == rows]
    while not dims and isinstance(fn, Independent) and not _has_rows(log_prob, rows):
        fn = fn.base_dist  # a vector of independent rows, declared by to_event
        log_prob = fn.log_prob(site["value"])
    axis = log_prob.ndim + dims[0] if dims else 0
    if log_prob.ndim == 0 or not 0 <= axis < log_prob.ndim or log_prob.shape[axis] != rows:
        raise ValueError(
            f"the observed site {name!r} must have a log density for each of {rows} examples, got "
            f"shape {list(log_prob.shape)}: declare them independent, "
            f"with pyro.plate('data', len(x))"
        )
    subsampled = math.prod((frame.full_size or frame.size) / frame.size for frame in frames)
    scaled = scale_and_mask(log_prob, site["scale"] / subsampled, mask)
    by_row = scaled.movedim(axis, 0).reshape(rows, -1).sum(-1)
    if mask is None or mask is True:
        return by_row, None
    seen = torch.as_tensor(mask, device=log_prob.device).expand(log_prob.shape)
    return by_row, seen.movedim(axis, 0).reshape(rows, -1).any(-1)


def _unmasked(site: Any) -> tuple[Any, Any]:
    """The distribution of a site, and what of it counts: by a handler and by ``fn.mask()``."""
    fn, mask = site["fn"], site["mask"]
    while isinstance(fn, MaskedDistribution):
        mask = fn._mask if mask is None else torch.as_tensor(mask) & torch.as_tensor(fn._mask)
        fn = fn.base_dist
    return fn, mask


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
