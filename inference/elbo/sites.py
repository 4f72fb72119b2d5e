"""Latent and observed sites of a trace."""

from __future__ import annotations

from typing import Any

from pyro.poutine.util import site_is_subsample

from bayesnas.models.base import DATA_PLATE


def split_sites(trace: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Latent and observed sites of a trace, by name; plates' subsamples are neither."""
    latent: dict[str, Any] = {}
    observed: dict[str, Any] = {}
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not site_is_subsample(site):
            (observed if site["is_observed"] else latent)[name] = site
    return latent, observed


def is_local(site: Any) -> bool:
    """Whether a site stands in the data plate: one draw an example."""
    return any(frame.name == DATA_PLATE for frame in site["cond_indep_stack"])
