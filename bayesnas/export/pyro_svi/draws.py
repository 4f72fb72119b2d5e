"""Draws of a guide and of its model by group, one at a time."""

from __future__ import annotations

import torch
from pyro import poutine
from torch import Tensor

from bayesnas.export.pyro_svi.marginal import marginal
from bayesnas.export.pyro_svi.pointwise import check_shape, pointwise
from bayesnas.export.pyro_svi.program import Program, Sites, Values


class _Draws:
    """Values of sites by group, collected draw by draw."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    def put(self, values: Values) -> None:
        for name, value in values.items():
            draws = self._values.setdefault(name, [])
            if draws:
                check_shape(name, value, draws[0].shape)
            draws.append(value.detach().cpu())

    def stacked(self) -> Values:
        return {name: torch.stack(values) for name, values in self._values.items()}


def posterior_draws(
    program: Program,
    sites: Sites,
    count: int,
    log_lik: bool,
    predictive: bool,
    discrete: bool,
    latent_count: int,
) -> dict[str, Values]:
    """Draws of the guide and what the model says of them, by group.

    Args:
        program: model, guide and arguments.
        sites: of it.
        count: how many draws.
        log_lik: give log_likelihood.
        predictive: give posterior_predictive.
        discrete: draw sites that have no guide from their posterior.
        latent_count: draws of the latents of a row for its log_likelihood; 0: given the one drawn.

    Returns:
        ``[count, ...]`` by site.
    """
    names = ("posterior", "log_likelihood", "posterior_predictive")
    groups = {name: _Draws() for name in names}
    # Of what depends on a site that is summed out a replay has a draw of the prior.
    fixed = sites.deterministic if discrete or not sites.enumerated else ()
    for _ in range(count):
        drawn, trace = program.guided(program.model)
        whole = program.discrete(drawn, sites.nesting) if discrete else trace
        kept = (*sites.latent, *(sites.enumerated if discrete else ()), *fixed)
        groups["posterior"].put({name: whole.nodes[name]["value"] for name in kept})
        if log_lik and sites.observed:
            if latent_count and sites.local():
                by_row = marginal(program, sites, drawn, latent_count)
            else:
                by_row = pointwise(program, sites, drawn, trace)
            groups["log_likelihood"].put(by_row)
        if predictive and sites.observed:
            new = program.trace(poutine.replay(program.anew(), trace=drawn))
            values = {name: new.nodes[name]["value"] for name in sites.observed}
            groups["posterior_predictive"].put(values)
    return {name: draws.stacked() for name, draws in groups.items()}


def prior_draws(program: Program, sites: Sites, count: int) -> dict[str, Values]:
    """Draws of the model alone, without its data, by group: prior, prior_predictive."""
    groups = {"prior": _Draws(), "prior_predictive": _Draws()}
    for _ in range(count):
        trace = program.trace(program.anew())
        kept = (*sites.latent, *sites.enumerated, *sites.deterministic)
        groups["prior"].put({name: trace.nodes[name]["value"] for name in kept})
        new = {name: trace.nodes[name]["value"] for name in sites.observed}
        groups["prior_predictive"].put(new)
    return {name: draws.stacked() for name, draws in groups.items()}
