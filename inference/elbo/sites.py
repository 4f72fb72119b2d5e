"""The sites of a trace: latent, observed, auxiliary, and their log densities."""

from __future__ import annotations

import math
from typing import Any

import torch
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
    log_prob = site["fn"].log_prob(site["value"])
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    dims = [frame.dim for frame in frames if frame.size == rows]
    axis = log_prob.ndim + dims[0] if dims else 0
    if log_prob.ndim == 0 or not 0 <= axis < log_prob.ndim or log_prob.shape[axis] != rows:
        raise ValueError(
            f"the observed site {name!r} must have a log density for each of {rows} examples, got "
            f"shape {list(log_prob.shape)}: declare them independent, "
            f"with pyro.plate('data', len(x))"
        )
    subsampled = math.prod((frame.full_size or frame.size) / frame.size for frame in frames)
    scaled = scale_and_mask(log_prob, site["scale"] / subsampled, site["mask"])
    by_row = scaled.movedim(axis, 0).reshape(rows, -1).sum(-1)
    if site["mask"] is None or site["mask"] is True:
        return by_row, None
    mask = torch.as_tensor(site["mask"], device=log_prob.device).expand(log_prob.shape)
    return by_row, mask.movedim(axis, 0).reshape(rows, -1).any(-1)


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
    event = len(site["fn"].event_shape)
    shape, batch = site["value"].shape, site["fn"].batch_shape
    values = shape[: len(shape) - event]
    if len(shape) > 0 and torch.broadcast_shapes(values, batch).numel() > values.numel():
        raise ValueError(
            f"the observed site {name!r} must have values in the shape of its distribution, got "
            f"values {list(shape)} for batch_shape {list(batch)} and event_shape "
            f"{list(site['fn'].event_shape)}, which would broadcast"
        )
