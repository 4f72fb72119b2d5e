"""What a fitted model says of inputs: draws of its latents, and p(y | x) given them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from bayesnas.inference.elbo.messengers import (
    DrawnWeights,
    FixedValues,
    GuideMeans,
    UnsampledTargets,
)
from bayesnas.inference.elbo.sites import is_local, split_sites
from bayesnas.inference.runtime.pyro_context import pyro_session
from bayesnas.inference.runtime.random_state import RandomStream
from bayesnas.models.base import OBSERVED, ROWS_AT_ONCE, BayesianModel


@dataclass
class PosteriorDraw:
    """One draw (or the mean) of the latent sites that all examples share.

    Attributes:
        values: plain tensor by site.
        log_q: log density of the guide at the draw, in nats, by site.
        local: whether the guide also has latent sites of every example, drawn on demand.
        means: whether the values are posterior means rather than a draw.
    """

    values: dict[str, Tensor]
    log_q: dict[str, Tensor]
    local: bool
    means: bool


def posterior_draws(
    model: BayesianModel, x: Tensor, draws: int, seed: int
) -> Iterator[PosteriorDraw]:
    """Yield draws from the guide, one at a time.

    Args:
        model: fitted model.
        x: a few inputs, for guides that look at them.
        draws: number of draws.
        seed: of the draws; the global random state is left as it was.
    """
    stream = RandomStream(seed, x.device)
    for _ in range(draws):
        with torch.no_grad(), pyro_session(stream):
            draw = _run_guide(model, x, means=False)
        yield draw


def posterior_means(model: BayesianModel, x: Tensor) -> PosteriorDraw:
    """Means of the guide at the shared latent sites."""
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)):
        return _run_guide(model, x, means=True)


def _run_guide(model: BayesianModel, x: Tensor, *, means: bool) -> PosteriorDraw:
    trace = _guide_trace(model, x, means)
    sites, _ = split_sites(trace)
    shared = {name: site for name, site in sites.items() if not is_local(site)}
    values = {name: site["value"] for name, site in shared.items()}
    log_q = {name: site["fn"].log_prob(site["value"]).sum() for name, site in shared.items()}
    return PosteriorDraw(values, log_q, local=len(shared) < len(sites), means=means)


def _guide_trace(model: BayesianModel, x: Tensor, means: bool) -> Any:
    guide: Callable[..., Any] = GuideMeans()(model.guide) if means else model.guide
    with DrawnWeights():
        return poutine.trace(guide).get_trace(x, None)


def model_trace(
    model: BayesianModel, x: Tensor, draw: PosteriorDraw, y: Tensor | None = None
) -> Any:
    """Trace of the model at a draw; without ``y`` the site of the targets holds their mean.

    Raises:
        ValueError: if the model has no site called ``"y"``.
    """
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)), FixedValues(draw.values):
        fn: Callable[..., Any] = model.model
        if draw.local:
            fn = poutine.replay(fn, trace=_guide_trace(model, x, draw.means))
        with UnsampledTargets():
            trace = poutine.trace(fn).get_trace(x, y)
    if OBSERVED not in trace.nodes:
        sites = [name for name, site in trace.nodes.items() if site["type"] == "sample"]
        raise ValueError(
            f"the model must sample its targets at a site called {OBSERVED!r}, got sites {sites}"
        )
    return trace


def conditional_mean(fn: Any) -> Tensor:
    """Class probabilities ``[n, classes]`` of a categorical, else the mean ``[n, ...]``."""
    probabilities = getattr(fn, "probs", None)
    if isinstance(probabilities, Tensor) and probabilities.ndim == len(fn.batch_shape) + 1:
        return probabilities
    mean: Tensor = fn.mean
    return mean


def conditional_means(model: BayesianModel, x: Tensor, draw: PosteriorDraw) -> Tensor:
    """Class probabilities or means of y for every row of ``x``, in batches."""
    return torch.cat([conditional_mean(site["fn"]) for site in _target_sites(model, x, draw)])


def conditional_samples(
    model: BayesianModel, x: Tensor, draw: PosteriorDraw, stream: RandomStream
) -> Tensor:
    """Sample y for every row of ``x`` given a draw of the latents, ``[n, ...]``."""
    with torch.no_grad(), stream.active():
        return torch.cat([site["fn"].sample() for site in _target_sites(model, x, draw)])


def means_and_log_likelihoods(
    model: BayesianModel, x: Tensor, y: Tensor, draw: PosteriorDraw
) -> tuple[Tensor, Tensor]:
    """Class probabilities or means of y, and log p(y_i | x_i, w) ``[n]`` in nats, unscaled."""
    means, log_lik = [], []
    for site in _target_sites(model, x, draw, y):
        means.append(conditional_mean(site["fn"]))
        log_prob = site["fn"].log_prob(site["value"])
        log_lik.append(log_prob.reshape(len(log_prob), -1).sum(-1))
    return torch.cat(means), torch.cat(log_lik)


def _target_sites(
    model: BayesianModel, x: Tensor, draw: PosteriorDraw, y: Tensor | None = None
) -> Iterator[Any]:
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        observed = None if y is None else y[rows]
        yield model_trace(model, x[rows], draw, observed).nodes[OBSERVED]


def log_priors(model: BayesianModel, x: Tensor, draw: PosteriorDraw) -> dict[str, Tensor]:
    """Log p(w) of every shared latent site at a draw, in nats."""
    sites, _ = split_sites(model_trace(model, x, draw))
    return {name: sites[name]["fn"].log_prob(value).sum() for name, value in draw.values.items()}


def predicted_labels(probabilities: Tensor) -> Tensor:
    """Most probable label: of ``[n, classes]`` class probabilities, or of ``[n]`` P(y = 1)."""
    if probabilities.ndim == 1:
        return (probabilities > 0.5).long()
    return probabilities.argmax(-1)
