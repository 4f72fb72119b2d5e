"""What a fitted model says of inputs: draws of its latents, and p(y | x) given them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.elbo.messengers import (
    DrawnWeights,
    FixedValues,
    GuideMeans,
    UnsampledTargets,
)
from bayesnas.inference.elbo.sites import log_density, split_sites
from bayesnas.inference.evaluation.enumeration import enumerated
from bayesnas.models.base import BayesianModel
from bayesnas.models.site_kinds import is_auxiliary, is_deterministic
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream, derived_seed

SharedValues = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Log p(w) of every shared latent site, in nats, and what is deterministic given them, by name."""


@dataclass
class PosteriorDraw:
    """One draw (or the mean) of the latent sites that all examples share.

    Attributes:
        values: plain tensor by site of the model.
        log_q: log density of the guide at the draw, in nats, by site, its auxiliary ones too.
        local: whether the guide also has latent sites of every example, drawn on demand.
        means: whether the values are posterior means rather than a draw.
        seed: of what is drawn on demand.
    """

    values: dict[str, Tensor]
    log_q: dict[str, Tensor]
    local: bool
    means: bool
    seed: int = 0


def posterior_draws(
    model: BayesianModel, x: AnyInputs, draws: int, seed: int
) -> Iterator[PosteriorDraw]:
    """Yield draws from the guide, one at a time.

    Args:
        model: fitted model.
        x: a few inputs, for guides that look at them.
        draws: number of draws.
        seed: of the draws; the global random state is left as it was.
    """
    stream = RandomStream(seed, x.device)
    for index in range(draws):
        with torch.no_grad(), pyro_session(stream):
            draw = _run_guide(model, x, means=False)
        yield replace(draw, seed=derived_seed(seed, index))


def posterior_means(model: BayesianModel, x: AnyInputs) -> PosteriorDraw:
    """Means of the guide at the shared latent sites."""
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)):
        return _run_guide(model, x, means=True)


def _run_guide(model: BayesianModel, x: AnyInputs, *, means: bool) -> PosteriorDraw:
    trace = guide_trace(model, x, means=means)
    sites, terms = split_sites(trace)
    shared = {name: site for name, site in sites.items() if not model.follows_batch(site)}
    values = {name: site["value"] for name, site in shared.items() if not is_auxiliary(site)}
    log_q = {name: log_density(site) for name, site in (shared | terms).items()}
    return PosteriorDraw(values, log_q, local=len(shared) < len(sites), means=means)


def guide_trace(
    model: BayesianModel,
    x: AnyInputs,
    *,
    means: bool = False,
    given: Mapping[str, Tensor] | None = None,
) -> Any:
    """Trace of the guide at a draw, or at the means of its sites; those ``given`` have values."""
    guide: Callable[..., Any] = GuideMeans()(model.guide) if means else model.guide
    if given:
        guide = FixedValues(given)(guide)
    with DrawnWeights():
        return poutine.trace(guide).get_trace(x, None)


def model_trace(
    model: BayesianModel,
    x: AnyInputs,
    draw: PosteriorDraw,
    y: Tensor | None = None,
    *,
    sampler: RandomStream | None = None,
) -> Any:
    """Trace of the model at a draw; without ``y`` the site of the targets holds their mean.

    Args:
        model: the model.
        x: inputs ``[n, ...]``.
        draw: of the latent sites that all examples share.
        y: targets ``[n, ...]``.
        sampler: of what the model alone draws; by default its enumerated sites take all values.

    Raises:
        ValueError: if the model has no such site.
    """
    stream = RandomStream(draw.seed, x.device) if sampler is None else sampler
    with torch.no_grad(), pyro_session(stream):
        fn: Callable[..., Any] = model.model
        if draw.local:
            rows = guide_trace(model, x, means=draw.means, given=draw.values)
            fn = poutine.replay(fn, trace=rows)
        fn = FixedValues(draw.values)(fn)
        if sampler is None:
            fn = enumerated(model, fn)
        with UnsampledTargets(model.target_site):
            trace = poutine.trace(fn).get_trace(x, y)
    if model.target_site not in trace.nodes:
        sites = [name for name, site in trace.nodes.items() if site["type"] == "sample"]
        raise ValueError(
            f"the model must sample its targets at a site called {model.target_site!r}, "
            f"got sites {sites}; name the one to predict by PyroPair(model, guide, target=...)"
        )
    return trace


def batch_traces(
    model: BayesianModel,
    x: AnyInputs,
    draw: PosteriorDraw,
    y: Tensor | None = None,
    *,
    sampler: RandomStream | None = None,
) -> Iterator[tuple[Any, int]]:
    """Traces of the model and their numbers of rows, in batches."""
    size = model.rows_at_once(len(x))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        observed = None if y is None else y[rows]
        yield model_trace(model, x[rows], draw, observed, sampler=sampler), len(x[rows])


def shared_values(model: BayesianModel, x: AnyInputs, draw: PosteriorDraw) -> SharedValues:
    """What the model gives its shared latents at a draw."""
    return shared_values_of(model, model_trace(model, x, draw), draw.values)


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


def predicted_labels(probabilities: Tensor, y: Tensor) -> Tensor:
    """Most probable labels, of the shape of ``y``.

    Args:
        probabilities: of the classes ``[n, classes]``, or P(y = 1) in the shape of ``y``.
        y: labels ``[n]``, or several a row ``[n, k]``.
    """
    if probabilities.shape == y.shape:
        return (probabilities > 0.5).long()
    return probabilities.argmax(-1)
