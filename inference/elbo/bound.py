"""The λ-weighted evidence bound E_q log p(y | w) − λ KL(q ‖ p), as full-sample sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from torch import Tensor
from torch.distributions import kl_divergence

from bayesnas.inference.elbo.messengers import DataScale
from bayesnas.inference.elbo.sites import is_local, split_sites
from bayesnas.models.base import BayesianModel


@dataclass
class BoundTerms:
    """The terms of the bound, each a scalar: a sum over the whole sample or all weights.

    Attributes:
        log_lik: E_q log p(y | w) in nats, by observed site, one draw of the guide.
        kl: KL(q ‖ p) in nats, by latent site, not yet weighted by λ; closed form where torch
            knows one, else log q − log p at the draw.
        local: the latent sites drawn once an example, inside the data plate.
    """

    log_lik: dict[str, Tensor]
    kl: dict[str, Tensor]
    local: frozenset[str] = frozenset()

    def expected_log_lik(self) -> Tensor:
        """Sum over the observed sites."""
        return _sum(self.log_lik)

    def kl_divergence(self) -> Tensor:
        """Sum over the latent sites."""
        return _sum(self.kl)

    def stacked(self) -> Tensor:
        """Every term, ``[sites]``: the observed sites first, then the latent ones; detached."""
        terms = [*self.log_lik.values(), *self.kl.values()]
        return torch.stack([term.detach().to(terms[0].device) for term in terms])

    def bound(self, kl_weight: float | Tensor) -> Tensor:
        """𝓛 = E_q log p(y | w) − λ KL(q ‖ p), to be maximised."""
        return self.expected_log_lik() - kl_weight * self.kl_divergence()


def bound_terms(
    model: BayesianModel,
    x: Tensor,
    y: Tensor | None,
    *,
    data_scale: float = 1.0,
    differentiable: bool = True,
) -> BoundTerms:
    r"""Run guide and model once and collect the terms of the bound.

    .. math:: \mathcal L(\lambda) = E_{q(w)} \log p(y | x, w) - \lambda\, KL(q(w) \| p(w))

    The Kullback–Leibler term of a site is taken in closed form given the sites it depends on,
    which is right wherever model and guide draw their sites in the same dependency structure
    (mean-field guides in particular).

    Args:
        model: model and guide.
        x: inputs ``[b, ...]`` of a batch.
        y: targets ``[b, ...]``.
        data_scale: N / b, so that sums over the batch stand for sums over the sample.
        differentiable: whether gradients of the terms are wanted, which only a reparameterised
            guide gives.

    Raises:
        ValueError: where gradients are wanted and a latent site of the guide is not
            reparameterised, or where model and guide do not sample the same latent sites.

    >>> import torch, bayesnas as bn
    >>> net = bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]))
    >>> terms = bound_terms(net, torch.zeros(5, 4), torch.zeros(5, dtype=torch.long))
    >>> sorted(terms.kl) == sorted(net.site_dims())
    True
    """
    with DataScale(data_scale):
        guide_trace = poutine.trace(model.guide).get_trace(x, y)
        model_trace = poutine.trace(poutine.replay(model.model, trace=guide_trace)).get_trace(x, y)
    latent, observed = split_sites(model_trace)
    auxiliary = _check_same_sites(latent, guide_trace)
    if differentiable:
        _check_reparameterised(guide_trace)
    log_lik = {name: _log_prob_sum(site) for name, site in observed.items()}
    kl = {name: _site_kl(guide_trace.nodes[name], site) for name, site in latent.items()}
    kl |= {name: _log_prob_sum(guide_trace.nodes[name]) for name in auxiliary}
    local = frozenset(name for name, site in latent.items() if is_local(site))
    return BoundTerms(log_lik, kl, local)


def _check_same_sites(latent: dict[str, Any], guide_trace: Any) -> list[str]:
    """Raise unless the sites match; return the guide's auxiliary sites."""
    guide_sites, _ = split_sites(guide_trace)
    missing, extra = latent.keys() - guide_sites.keys(), guide_sites.keys() - latent.keys()
    auxiliary = {name for name in extra if guide_sites[name]["infer"].get("is_auxiliary")}
    if missing or extra - auxiliary:
        raise ValueError(
            "model and guide must sample the same latent sites, got "
            f"{sorted(missing)} only in the model and {sorted(extra - auxiliary)} only in the guide"
        )
    return sorted(auxiliary)


def _check_reparameterised(guide_trace: Any) -> None:
    for name, site in split_sites(guide_trace)[0].items():
        if not site["fn"].has_rsample:
            raise ValueError(
                f"the guide's site {name!r} is not reparameterised ({type(site['fn']).__name__}): "
                "bring an ELBO that has a score-function term, "
                "PyroPair(model, guide, elbo=pyro.infer.Trace_ELBO())"
            )


def _log_prob_sum(site: Any, value: Tensor | None = None) -> Tensor:
    log_prob = site["fn"].log_prob(site["value"] if value is None else value)
    return _total(scale_and_mask(log_prob, site["scale"], site["mask"]))


def _site_kl(guide_site: Any, model_site: Any) -> Tensor:
    try:
        divergence = kl_divergence(guide_site["fn"], model_site["fn"])
    except NotImplementedError:
        return _log_prob_sum(guide_site) - _log_prob_sum(model_site, guide_site["value"])
    return _total(scale_and_mask(divergence, guide_site["scale"], guide_site["mask"]))


def _total(value: Tensor | float) -> Tensor:
    return value.sum() if isinstance(value, Tensor) else torch.as_tensor(value)


def _sum(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum() if terms else torch.zeros(())
