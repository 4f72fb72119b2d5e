"""The λ-weighted evidence bound E_q log p(y | w) − λ KL(q ‖ p), as full-sample sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from bayesnas.checks import non_negative, positive
from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.elbo.closed_form import closed_forms
from bayesnas.inference.elbo.messengers import DataScale
from bayesnas.inference.elbo.sites import (
    check_not_broadcast,
    log_density,
    split_sites,
)
from bayesnas.models.base import BayesianModel
from bayesnas.models.site_kinds import is_auxiliary
from bayesnas.typed import typed


@dataclass
class BoundTerms:
    """The terms of the bound, each a scalar: a sum over the whole sample or all weights.

    Attributes:
        log_lik: E_q log p(y | w) in nats, by observed site, one draw of the guide.
        kl: KL(q ‖ p) in nats, by latent site, not yet weighted by λ; closed form where it is exact,
            else log q − log p at the draw. Sites of the guide alone have log q.
        local: those of ``kl`` that stand for the examples of the batch.
        hyper: R(h) in nats, what a generalised objective adds for the hyperparameters; else None.

    >>> import torch
    >>> terms = BoundTerms({"y": torch.tensor(-10.0)}, {"w": torch.tensor(2.0)})
    >>> terms.bound(0.5)
    tensor(-11.)
    """

    log_lik: dict[str, Tensor]
    kl: dict[str, Tensor]
    local: frozenset[str] = frozenset()
    hyper: Tensor | None = None

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

    def bound(self, kl_weight: float | Tensor, likelihood_weight: float = 1.0) -> Tensor:
        """𝓛 = μ E_q log p(y | w) − λ KL(q ‖ p) + R(h), ``[]``, to be maximised; μ is 1 but in Q.

        Raises:
            ValueError: naming a weight that is negative or not finite.
        """
        if not isinstance(kl_weight, Tensor) and not (type(kl_weight) is float and kl_weight >= 0):
            non_negative("kl_weight", kl_weight)  # not entered in a step
        log_lik = self.expected_log_lik()
        if likelihood_weight != 1.0:
            log_lik = non_negative("likelihood_weight", likelihood_weight) * log_lik
        bound = log_lik - kl_weight * self.kl_divergence()
        return bound if self.hyper is None else bound + self.hyper


@typed()
def bound_terms(
    model: BayesianModel,
    x: AnyInputs,
    y: Tensor | None,
    *,
    data_scale: float = 1.0,
    differentiable: bool = True,
) -> BoundTerms:
    r"""Run guide and model once and collect the terms of the bound.

    .. math:: \mathcal L(\lambda) = E_{q(w)} \log p(y | x, w) - \lambda\, KL(q(w) \| p(w))

    The Kullback–Leibler term of a site is taken in closed form, given the sites it depends on,
    where :func:`~bayesnas.inference.elbo.closed_form.closed_forms` finds it exact; elsewhere it is
    log q − log p at the draw. Either way the bound is one in expectation, for every guide.

    Args:
        model: model and guide.
        x: inputs ``[b, ...]`` of a batch.
        y: targets ``[b, ...]``; of a weighted fit as ``model.row_weights`` packs them.
        data_scale: N / b, so that sums over the batch stand for sums over the sample.
        differentiable: whether gradients of the terms are wanted, which only a reparameterised
            guide gives.

    Raises:
        ValueError: where gradients are wanted and a latent site of the guide is not
            reparameterised, or where model and guide do not sample the same latent sites.
        TypeError: naming rows that are no tensor.

    >>> import torch, bayesnas as bn
    >>> net = bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]))
    >>> terms = bound_terms(net, torch.zeros(5, 4), torch.zeros(5, dtype=torch.long))
    >>> sorted(terms.kl) == sorted(net.site_dims())
    True
    """
    return batch_terms(model, x, y, positive("data_scale", data_scale), differentiable)


def batch_terms(
    model: BayesianModel,
    x: AnyInputs,
    y: Tensor | None,
    data_scale: float,
    differentiable: bool = True,
) -> BoundTerms:
    """:func:`bound_terms` of arguments that need no check, for every step of a fit."""
    scale: float | Tensor = data_scale
    if model.row_weights is not None and y is not None:
        y, weights = model.row_weights.unpack(y)
        scale = data_scale * weights.to(model.dtype)
    with DataScale(scale, model.follows_batch):
        guide_trace, model_trace = _traces(model, x, y)
    latent, observed = split_sites(model_trace)
    latent = _without_summed(model, latent, differentiable)
    guide_sites, guide_terms = split_sites(guide_trace)
    _check_same_sites(latent, guide_sites)
    if differentiable:
        _check_reparameterised(guide_sites)
    for name, site in observed.items():
        check_not_broadcast(name, site)
    log_lik = {name: log_density(site) for name, site in observed.items()}
    closed = closed_forms(guide_sites, latent)
    kl = {
        name: closed[name] if name in closed else _drawn_kl(guide_sites[name], site)
        for name, site in latent.items()
    }
    # Auxiliary sites, and what pyro.factor adds to the guide, are terms of log q alone.
    extra = {name: site for name, site in guide_sites.items() if name not in latent} | guide_terms
    kl |= {name: log_density(site) for name, site in extra.items()}
    both = {**latent, **extra}
    local = frozenset(name for name, site in both.items() if model.follows_batch(site))
    hyper = None if model.hyper_terms is None else model.hyper_terms(model)
    return BoundTerms(log_lik, kl, local, hyper)


def check_sites_match(model: BayesianModel, x: AnyInputs, y: Tensor) -> None:
    """Raise ValueError unless model and guide sample the same latent sites, in the same shapes."""
    guide_trace, model_trace = _traces(model, x, y)
    latent = _without_summed(model, split_sites(model_trace)[0], differentiable=False)
    _check_same_sites(latent, split_sites(guide_trace)[0])


def _traces(model: BayesianModel, x: AnyInputs, y: Tensor | None) -> tuple[Any, Any]:
    """Of the guide, and of the model with what the guide has drawn."""
    guide_trace = poutine.trace(model.guide).get_trace(x, y)
    model_trace = poutine.trace(poutine.replay(model.model, trace=guide_trace)).get_trace(x, y)
    return guide_trace, model_trace


def _without_summed(
    model: BayesianModel, latent: Mapping[str, Any], differentiable: bool
) -> dict[str, Any]:
    """The latent sites but for those that an ELBO of Pyro's sums out, which have no KL."""
    if model.summed_out and differentiable:
        raise ValueError(
            f"the sites {sorted(model.summed_out)} are enumerated, which takes an ELBO that sums "
            "them out: PyroPair(model, guide, elbo=pyro.infer.TraceEnum_ELBO(max_plate_nesting=1))"
        )
    return {name: site for name, site in latent.items() if name not in model.summed_out}


def _check_same_sites(latent: Mapping[str, Any], guide_sites: Mapping[str, Any]) -> None:
    missing, extra = latent.keys() - guide_sites.keys(), guide_sites.keys() - latent.keys()
    extra = {name for name in extra if not is_auxiliary(guide_sites[name])}
    if missing or extra:
        raise ValueError(
            "model and guide must sample the same latent sites, got "
            f"{sorted(missing)} only in the model and {sorted(extra)} only in the guide"
        )
    for name, site in latent.items():
        of_model, of_guide = site["fn"].shape(), guide_sites[name]["fn"].shape()
        if of_model != of_guide:
            raise ValueError(
                f"the latent site {name!r} has shape {list(of_model)} in the model and "
                f"{list(of_guide)} in the guide; it must have one shape"
            )


def _check_reparameterised(guide_sites: Mapping[str, Any]) -> None:
    for name, site in guide_sites.items():
        if not site["fn"].has_rsample:
            raise ValueError(
                f"the guide's site {name!r} is not reparameterised ({type(site['fn']).__name__}): "
                "bring an ELBO that has a score-function term, "
                "PyroPair(model, guide, elbo=pyro.infer.Trace_ELBO())"
            )


def _drawn_kl(guide_site: Any, model_site: Any) -> Tensor:
    return log_density(guide_site) - log_density(model_site, guide_site["value"])


def _sum(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum() if terms else torch.zeros(())
