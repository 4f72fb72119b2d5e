"""The λ-weighted evidence bound E_q log p(y | w) − λ KL(q ‖ p), as full-sample sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesnas.inference.handlers import DataScale
from bayesnas.inference.program import check_shapes
from bayesnas.inference.site_kl import closed_sites, log_prob_total, site_kl
from bayesnas.models.base import BayesianModel
from bayesnas.models.pyro_pair import PyroPair
from bayesnas.models.row_sites import RowSites, is_auxiliary, is_deterministic


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
    data_scale: float | None = 1.0,
    differentiable: bool = True,
) -> BoundTerms:
    r"""Run guide and model once and collect the terms of the bound.

    .. math:: \mathcal L(\lambda) = E_{q(w)} \log p(y | x, w) - \lambda\, KL(q(w) \| p(w))

    The Kullback–Leibler term of a site is taken in closed form given the sites it depends on,
    which is right wherever model and guide draw their sites in the same dependency structure
    (mean-field guides in particular). For a ``PyroPair`` it is taken only where it is exactly that
    of the densities in the trace; see ``inference/site_kl.py``.

    Args:
        model: model and guide.
        x: inputs ``[b, ...]`` of a batch.
        y: targets ``[b, ...]``.
        data_scale: N / b, so that sums over the batch stand for sums over the sample; None
            counts every row once, also where a plate of the model says how many it stands for.
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
    user = isinstance(model, PyroPair)
    if isinstance(model, PyroPair):
        model.look(x, y)
    with DataScale(data_scale, model.row_sites):
        guide_trace = poutine.trace(model.guide).get_trace(x, y)
        model_trace = poutine.trace(poutine.replay(model.model, trace=guide_trace)).get_trace(x, y)
    latent, observed = split_sites(model_trace)
    guide_latent, factors = split_sites(guide_trace)
    auxiliary = _check_same_sites(latent, guide_latent)
    if differentiable:
        _check_reparameterised(guide_latent)
    closed = set(latent)  # the contract of a model of ours, and its tests, hold them to be exact
    if user:
        check_shapes(observed, latent)
        closed = closed_sites(guide_latent, latent)
    log_lik = {name: log_prob_total(site) for name, site in observed.items()}
    kl = {
        name: site_kl(guide_latent[name], site, closed=name in closed)
        for name, site in latent.items()
    }
    extra = {name: guide_latent[name] for name in auxiliary} | factors
    kl |= {name: log_prob_total(site) for name, site in extra.items()}
    rows = model.row_sites
    local = frozenset(n for n, site in (latent | extra).items() if is_local(site, rows))
    return BoundTerms(log_lik, kl, local)


def split_sites(trace: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Latent and observed sites of a trace, by name; factors are observed.

    Plates' subsamples and deterministic sites are neither.
    """
    latent: dict[str, Any] = {}
    observed: dict[str, Any] = {}
    for name, site in trace.nodes.items():
        if site["type"] != "sample" or site_is_subsample(site) or is_deterministic(site):
            continue
        (observed if site["is_observed"] else latent)[name] = site
    return latent, observed


def is_local(site: Any, rows: RowSites) -> bool:
    """Whether a site stands in a plate of the rows: one draw an example."""
    return rows.frame(site) is not None


def _check_same_sites(latent: dict[str, Any], guide_sites: dict[str, Any]) -> list[str]:
    """Raise unless the sites match; return the guide's auxiliary sites."""
    summed = sorted(n for n in latent.keys() - guide_sites.keys() if _is_enumerated(latent[n]))
    if summed:
        raise ValueError(
            f"the sites {summed} are enumerated in the model and not drawn by the guide, which "
            "takes an ELBO that sums them out: fit with PyroPair(model, guide, "
            "elbo=pyro.infer.TraceEnum_ELBO()), and for evaluate, predict and the export write "
            "the mixture as one law (pyro.distributions.MixtureSameFamily) or draw them in the "
            "guide"
        )
    missing, extra = latent.keys() - guide_sites.keys(), guide_sites.keys() - latent.keys()
    auxiliary = {name for name in extra if is_auxiliary(guide_sites[name])}
    if missing or extra - auxiliary:
        raise ValueError(
            "model and guide must sample the same latent sites, got "
            f"{sorted(missing)} only in the model and {sorted(extra - auxiliary)} only in the guide"
        )
    return sorted(auxiliary)


def _is_enumerated(site: Any) -> bool:
    return bool(site["infer"] and site["infer"].get("enumerate"))


def _check_reparameterised(guide_sites: dict[str, Any]) -> None:
    for name, site in guide_sites.items():
        if not site["fn"].has_rsample:
            raise ValueError(
                f"the guide's site {name!r} is not reparameterised ({type(site['fn']).__name__}): "
                "bring an ELBO that has a score-function term, "
                "PyroPair(model, guide, elbo=pyro.infer.Trace_ELBO())"
            )


def _sum(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum() if terms else torch.zeros(())
