"""What a site of a trace is: data, a term, a note; and the names that a model of the zoo gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions import Delta, ExpandedDistribution, MaskedDistribution, Unit
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import Independent

OBSERVED = "y"
"""Name of the observed site."""

DATA_PLATE = "data"
"""Name of the plate over examples; sites in it are scaled up when a minibatch is seen."""


def sample_sites(trace: Any) -> dict[str, Any]:
    """What a program samples or observes, by name, without the subsamples of its plates."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site)
    }


def is_factor(site: Mapping[str, Any]) -> bool:
    """Whether a site is a term that ``pyro.factor`` adds to the log density."""
    return isinstance(site["fn"], Unit)


def is_deterministic(site: Mapping[str, Any]) -> bool:
    """Whether a site is a note of ``pyro.deterministic`` or of a reparameterisation.

    Neither has a density.
    """
    noted = site["is_observed"] and isinstance(unwrapped(site["fn"]), Delta)
    return bool(noted or site["infer"].get("_deterministic"))


def is_auxiliary(site: Any) -> bool:
    """Whether a latent site is of the guide alone, as those of Pyro's autoguides."""
    return bool(site["infer"].get("is_auxiliary")) and not site["is_observed"]


def stands_for_examples(site: Mapping[str, Any]) -> bool:
    """What :meth:`~bayesnas.models.base.BayesianModel.follows_batch` says by default."""
    in_plate = any(frame.name == DATA_PLATE for frame in site["cond_indep_stack"])
    is_data = site["is_observed"] and not is_factor(site) and not is_deterministic(site)
    return in_plate or is_data


def unmasked(site: Any) -> tuple[Any, Any]:
    """The distribution of a site, and what of it counts: by a handler and by ``fn.mask()``."""
    fn, mask = site["fn"], site["mask"]
    while isinstance(fn, MaskedDistribution):
        mask = fn._mask if mask is None else torch.as_tensor(mask) & torch.as_tensor(fn._mask)
        fn = fn.base_dist
    return fn, mask


def log_density_of_delta(fn: Any) -> Tensor:
    """What a ``Delta`` adds to a log density, in Pyro's autoguides a Jacobian; 0 of others."""
    base = unwrapped(fn)
    return torch.as_tensor(base.log_density if isinstance(base, Delta) else 0.0)


def unwrapped(fn: Any) -> Any:
    """The distribution of the same values inside ``Independent``, expanded and masked ones.

    >>> from pyro.distributions import LogNormal
    >>> type(unwrapped(LogNormal(0.0, 1.0).expand([2]).to_event(1).mask(False))).__name__
    'LogNormal'
    """
    while isinstance(fn, Independent | ExpandedDistribution | MaskedDistribution):
        fn = fn.base_dist
    return fn
