"""What a fitted model says of inputs: draws of its latents, and p(y | x) given them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.densities import innermost
from bayesnas.inference.elbo.messengers import (
    DrawnWeights,
    FixedValues,
    GuideMeans,
    UnsampledTargets,
)
from bayesnas.inference.elbo.sites import (
    is_auxiliary,
    log_density,
    log_density_by_row,
    split_sites,
)
from bayesnas.inference.evaluation.enumeration import enumerated, summed_log_lik, summed_mean
from bayesnas.inference.evaluation.shared_latents import SharedValues, shared_values_of
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream, derived_seed

_COUNTS = (dist.Poisson, dist.Binomial, dist.NegativeBinomial, dist.Geometric)


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


def conditional_mean(fn: Any) -> Tensor:
    """Class probabilities ``[n, classes]`` of a categorical, else the mean ``[n, ...]``."""
    probabilities = getattr(fn, "probs", None)
    if isinstance(probabilities, Tensor) and probabilities.ndim == len(fn.batch_shape) + 1:
        return probabilities
    mean: Tensor = fn.mean
    return mean


def conditional_means(model: BayesianModel, x: AnyInputs, draw: PosteriorDraw) -> Tensor:
    """Class probabilities or means of y for every row of ``x``, in batches."""
    return torch.cat([_mean(model, trace) for trace, _ in batch_traces(model, x, draw)])


def _mean(model: BayesianModel, trace: Any) -> Tensor:
    means = conditional_mean(trace.nodes[model.target_site]["fn"])
    return summed_mean(model, trace, means) if model.summed_out else means


def conditional_samples(
    model: BayesianModel, x: AnyInputs, draw: PosteriorDraw, stream: RandomStream
) -> Tensor:
    """Sample y for every row of ``x`` given a draw of the latents, ``[n, ...]``."""
    parts = []
    for trace, _ in batch_traces(model, x, draw, sampler=stream):
        with torch.no_grad(), stream.active():
            parts.append(trace.nodes[model.target_site]["fn"].sample())
    return torch.cat(parts)


@dataclass
class Conditionals:
    """What a model says of targets, given one draw of its latents.

    Attributes:
        means: class probabilities ``[n, classes]`` or means of y ``[n, ...]``.
        log_lik: log p(y_i | x_i, w) ``[n]`` in nats, over all observed sites, as their program
            masks and scales them.
        shared: sum of observed terms that belong to no example, as those of ``pyro.factor``.
        seen: rows of which anything is observed, boolean ``[n]``; None for all of them.
        targets: values of the site of the targets ``[n, ...]``.
        labels: whether they are classes: whole numbers, but no counts.
        shared_latents: where asked for, what :func:`shared_values` gives.
    """

    means: Tensor
    log_lik: Tensor
    shared: float
    seen: Tensor | None
    targets: Tensor
    labels: bool
    shared_latents: SharedValues | None = None

    def total(self) -> float:
        """Log-likelihood of all rows, in nats."""
        return self.log_lik.double().sum().item() + self.shared


def conditionals(
    model: BayesianModel,
    x: AnyInputs,
    y: Tensor,
    draw: PosteriorDraw,
    *,
    with_latents: bool = False,
) -> Conditionals:
    """Means of y and log-likelihood of every row, in batches.

    ``with_latents`` asks for what shared latents are given, from the same run of the model.
    """
    means, log_lik, seen, targets, shared, labels = [], [], [], [], 0.0, True
    latents: SharedValues | None = None
    for start, (trace, rows) in enumerate(batch_traces(model, x, draw, y)):
        observed = split_sites(trace)[1]
        of_rows = {name: site for name, site in observed.items() if model.has_rows(site)}
        by_row, in_row = _log_lik_by_row(model, trace, of_rows, rows)
        if start == 0:
            others = (site for name, site in observed.items() if name not in of_rows)
            shared = sum(log_density(site).item() for site in others)
            latents = shared_values_of(model, trace, draw.values) if with_latents else None
        target = trace.nodes[model.target_site]
        targets.append(target["value"])
        labels = _is_of_labels(target["fn"])
        means.append(_mean(model, trace))
        log_lik.append(by_row)
        seen.append(in_row)
    mask = torch.cat(seen)
    everything = bool(mask.all())
    return Conditionals(
        torch.cat(means),
        torch.cat(log_lik),
        shared,
        None if everything else mask,
        torch.cat(targets),
        labels,
        latents,
    )


def _log_lik_by_row(
    model: BayesianModel, trace: Any, sites: Mapping[str, Any], rows: int
) -> tuple[Tensor, Tensor]:
    """Log-likelihood of every row, and whether anything of it is observed."""
    if not sites:
        raise ValueError(
            f"the model must observe a site with a log density for each of {rows} examples: "
            "declare them independent, with pyro.plate('data', len(x))"
        )
    if model.summed_out:
        log_lik = summed_log_lik(model, trace, sites)
        return log_lik, torch.ones_like(log_lik, dtype=torch.bool)
    terms, masks = zip(*(log_density_by_row(n, s, rows) for n, s in sites.items()), strict=True)
    seen = [torch.ones_like(terms[0], dtype=torch.bool) if m is None else m for m in masks]
    return torch.stack(terms).sum(0), torch.stack(seen).any(0)


def _is_of_labels(fn: Any) -> bool:
    fn = innermost(fn)
    return bool(fn.support.is_discrete) and not isinstance(fn, _COUNTS)


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


def predicted_labels(probabilities: Tensor, y: Tensor) -> Tensor:
    """Most probable labels, of the shape of ``y``.

    Args:
        probabilities: of the classes ``[n, classes]``, or P(y = 1) in the shape of ``y``.
        y: labels ``[n]``, or several a row ``[n, k]``.
    """
    if probabilities.shape == y.shape:
        return (probabilities > 0.5).long()
    return probabilities.argmax(-1)
