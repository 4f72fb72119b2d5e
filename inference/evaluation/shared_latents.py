"""What a model says of the latents that all examples share, at a draw of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bayesnas.inference.elbo.sites import log_density, split_sites
from bayesnas.models.base import BayesianModel
from bayesnas.models.site_kinds import is_deterministic

SharedValues = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Log p(w) of every shared latent site, in nats, and what is deterministic given them, by name."""


def shared_values_of(
    model: BayesianModel, trace: Any, values: Mapping[str, Tensor]
) -> SharedValues:
    """Log densities of shared latents, and the ``pyro.deterministic`` sites of no example.

    Args:
        model: whose trace it is.
        trace: at those values.
        values: of the shared latents, by site.
    """
    sites, _ = split_sites(trace)
    log_prior = {name: log_density(sites[name], value) for name, value in values.items()}
    noted = {
        name: site["value"]
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and is_deterministic(site) and not model.follows_batch(site)
    }
    return log_prior, noted
