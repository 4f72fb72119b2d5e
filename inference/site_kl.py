"""The divergence of one latent site: in closed form where that is exact, else at the draw."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from pyro.distributions.util import scale_and_mask
from torch import Tensor
from torch.distributions import Distribution, TransformedDistribution, kl_divergence

from bayesnas.models.row_sites import unwrapped

_WRAPPED = (dist.MaskedDistribution, dist.ExpandedDistribution)


def log_prob_total(site: Any, value: Tensor | None = None) -> Tensor:
    """Log-density of a site as its program counts it: scaled, masked and summed."""
    log_prob = site["fn"].log_prob(site["value"] if value is None else value)
    return total(scale_and_mask(log_prob, site["scale"], site["mask"]))


def site_kl(guide_site: Any, model_site: Any, *, closed: bool) -> Tensor:
    """KL(q ‖ p) of a site given the sites before it, or log q − log p at its draw.

    Args:
        guide_site: of a trace of the guide.
        model_site: of a trace of the model replayed at it.
        closed: take the closed form where there is one.
    """
    if closed:
        try:
            divergence = kl_divergence(guide_site["fn"], model_site["fn"])
        except NotImplementedError:
            pass
        else:
            return total(scale_and_mask(divergence, guide_site["scale"], guide_site["mask"]))
    return log_prob_total(guide_site) - log_prob_total(model_site, guide_site["value"])


def is_exact(guide_site: Any, model_site: Any) -> bool:
    """Whether a closed form is that of the densities that the two programs count.

    It is not for a Delta, whose divergence in Pyro leaves ``log_density`` out; for masked,
    expanded or transformed laws, of which two may differ in more than their parameters; where the
    programs mask or scale the site differently; and where shapes differ.
    """
    if guide_site["scale"] is not model_site["scale"] and not _equal_numbers(
        guide_site["scale"], model_site["scale"]
    ):
        return False
    if guide_site["mask"] is not model_site["mask"]:
        return False
    if guide_site["fn"].shape() != model_site["fn"].shape():
        return False
    return not any(_differs(site["fn"]) for site in (guide_site, model_site))


def closed_sites(guide: dict[str, Any], model: dict[str, Any]) -> set[str]:
    """Sites whose closed form is exact: alone, and given the sites drawn before them.

    A closed form averages over q(z | earlier sites) with the prior's parameters held fixed. Those
    may depend on any site that the model draws before it, so the guide has to draw them before
    it too.
    """
    order = list(guide)
    found, before = set(), set[str]()
    for name, site in model.items():
        if name not in guide:
            continue
        if before <= set(order[: order.index(name)]) and is_exact(guide[name], site):
            found.add(name)
        before.add(name)
    return found


def total(value: Tensor | float) -> Tensor:
    """Sum of a tensor; a number as a tensor."""
    import torch

    return value.sum() if isinstance(value, Tensor) else torch.as_tensor(value)


def _differs(fn: Distribution) -> bool:
    while isinstance(fn, dist.Independent):
        fn = fn.base_dist
    if isinstance(fn, _WRAPPED):
        return True
    if isinstance(fn, TransformedDistribution):
        # LogNormal and the like are laws of their own, with parameters alone.
        return type(fn) in (TransformedDistribution, dist.TransformedDistribution)
    return isinstance(unwrapped(fn), dist.Delta)


def _equal_numbers(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return False
    return bool(first == second)
