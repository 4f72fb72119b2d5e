"""What a model says of targets, given one draw of its latents: p(y | x, w), row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    MixtureSameFamily,
    Multinomial,
    OneHotCategorical,
    constraints,
)

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.elbo.sites import (
    log_density,
    log_density_by_row,
    mask_by_row,
    rows_first,
    split_sites,
)
from bayesnas.inference.evaluation.enumeration import (
    summed_log_lik,
    summed_mean,
    touched_sites,
)
from bayesnas.inference.evaluation.predictive import (
    PosteriorDraw,
    SharedValues,
    batch_traces,
    shared_values_of,
)
from bayesnas.models.base import BayesianModel
from bayesnas.models.site_kinds import unwrapped
from bayesnas.runtime.random_state import RandomStream

_LABELS = (Categorical, Bernoulli, OneHotCategorical)


def conditional_mean(fn: Any) -> Tensor:
    """Class probabilities ``[*batch, classes]`` of categoricals, else the mean ``[*batch, ...]``.

    Raises:
        TypeError: for a distribution that knows no mean.
    """
    base = unwrapped(fn)
    if isinstance(base, MixtureSameFamily):
        component = unwrapped(base.component_distribution)
        if isinstance(component, Categorical):
            weights = base.mixture_distribution.probs.unsqueeze(-1)
            return (weights * component.probs).sum(-2)
    if (probabilities := _of_classes(base)) is not None:
        return probabilities
    try:
        return cast(Tensor, fn.mean)
    except NotImplementedError as error:
        raise TypeError(
            f"a {type(base).__name__} has no mean in torch, and predictions are means: give the "
            "targets a distribution of a class of your own, with the property mean"
        ) from error


def _of_classes(fn: Any) -> Tensor | None:
    """Probabilities ``[*batch, classes]``, also of a distribution of a class of one's own."""
    probs = getattr(fn, "probs", None)
    if isinstance(fn, Multinomial) or not isinstance(probs, Tensor):
        return None  # a multinomial counts how often each comes
    return probs if probs.ndim == len(fn.batch_shape) + 1 else None


def conditional_means(model: BayesianModel, x: AnyInputs, draw: PosteriorDraw) -> Tensor:
    """Class probabilities or means of y for every row of ``x``, in batches."""
    return torch.cat([_mean(model, trace, n) for trace, n in batch_traces(model, x, draw)])


def _mean(model: BayesianModel, trace: Any, rows: int) -> Tensor:
    return mean_of_target(
        model, trace, conditional_mean(trace.nodes[model.target_site]["fn"]), rows
    )


def mean_of_target(model: BayesianModel, trace: Any, means: Tensor, rows: int) -> Tensor:
    """Of means ``[*batch, ...]`` of the targets those of the rows ``[n, ...]``.

    What the program enumerates is summed out.
    """
    site = trace.nodes[model.target_site]
    if not model.summed_out:
        inner = means.ndim - len(site["fn"].batch_shape)
        return rows_first(means, site, rows, model.row_plates, inner)
    return summed_mean(model, trace, means, rows)


def conditional_samples(
    model: BayesianModel, x: AnyInputs, draw: PosteriorDraw, stream: RandomStream
) -> Tensor:
    """Sample y for every row of ``x`` given a draw of the latents, ``[n, ...]``."""
    parts = []
    for trace, rows in batch_traces(model, x, draw, sampler=stream):
        site = trace.nodes[model.target_site]
        with torch.no_grad(), stream.active():
            parts.append(rows_first(site["fn"].sample(), site, rows, model.row_plates))
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
        entries: which entries of the targets are observed, boolean ``[n, ...]``; None for all.
        targets: values of the site of the targets ``[n, ...]``.
        labels: whether they are classes: whole numbers, but no counts.
        shared_latents: where asked for, what
            :func:`~bayesnas.inference.evaluation.predictive.shared_values` gives.
    """

    means: Tensor
    log_lik: Tensor
    shared: float
    seen: Tensor | None
    entries: Tensor | None
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
    means, log_lik, seen, entries, targets = [], [], [], [], []
    shared, labels = 0.0, True
    latents: SharedValues | None = None
    for start, (trace, rows) in enumerate(batch_traces(model, x, draw, y)):
        observed = split_sites(trace)[1]
        of_rows = {name: site for name, site in observed.items() if model.has_rows(site)}
        by_row, in_row, of_target = _log_lik_by_row(model, trace, of_rows, rows)
        if start == 0:
            others = (site for name, site in observed.items() if name not in of_rows)
            shared = sum(log_density(site).item() for site in others)
            latents = shared_values_of(model, trace, draw.values) if with_latents else None
        target = trace.nodes[model.target_site]
        targets.append(rows_first(target["value"], target, rows, model.row_plates))
        labels = _is_of_labels(target["fn"])
        means.append(_mean(model, trace, rows))
        log_lik.append(by_row)
        seen.append(in_row)
        entries.append(of_target)
    return Conditionals(
        torch.cat(means),
        torch.cat(log_lik),
        shared,
        _unless_all(torch.cat(seen)),
        _unless_all(torch.cat(entries)),
        torch.cat(targets),
        labels,
        latents,
    )


def _unless_all(mask: Tensor) -> Tensor | None:
    return None if bool(mask.all()) else mask


def _log_lik_by_row(
    model: BayesianModel, trace: Any, sites: Mapping[str, Any], rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihood of every row, whether anything of it is observed, and what of its target."""
    if not sites:
        raise ValueError(
            f"the model must observe a site with a log density for each of {rows} examples: "
            "declare them independent, with pyro.plate('data', len(x))"
        )
    summed = touched_sites(model, trace, sites) if model.summed_out else {}
    log_lik = summed_log_lik(model, trace, summed, rows) if summed else torch.zeros(())
    masks = {}
    for name, site in sites.items():
        if name in summed:
            masks[name] = mask_by_row(site, rows, model.row_plates)
        else:
            by_row, masks[name] = log_density_by_row(name, site, rows, model.row_plates)
            log_lik = log_lik.to(by_row.device) + by_row
    everything = torch.ones(rows, dtype=torch.bool, device=log_lik.device)
    seen = [everything if m is None else m.reshape(rows, -1).any(-1) for m in masks.values()]
    of_target = masks.get(model.target_site)
    return log_lik, torch.stack(seen).any(0), everything if of_target is None else of_target


def _is_of_labels(fn: Any) -> bool:
    base = unwrapped(fn)
    if isinstance(base, MixtureSameFamily):
        base = unwrapped(base.component_distribution)
    if isinstance(base, _LABELS) or base.support is constraints.boolean:
        return True
    return bool(base.support.is_discrete) and _of_classes(base) is not None


def observed_targets(model: BayesianModel, x: AnyInputs, y: Tensor, draw: PosteriorDraw) -> Tensor:
    """Values of the site of the targets, ``[n, ...]``; a program of one's own may change y."""
    if not model.takes_data_as_given:
        return y
    parts = []
    for trace, rows in batch_traces(model, x, draw, y):
        site = trace.nodes[model.target_site]
        parts.append(rows_first(site["value"], site, rows, model.row_plates))
    return torch.cat(parts)


def new_targets(
    model: BayesianModel, x: AnyInputs, y: Tensor, draw: PosteriorDraw, stream: RandomStream
) -> Tensor:
    """Targets sampled at a draw, ``[n, ...]``, of the type of ``y`` where it holds them.

    Whole numbers given as values of a continuous target are no reason to round new ones.
    """
    sample = conditional_samples(model, x, draw, stream)
    cast_sample = sample.to(y.dtype)
    exact = y.is_floating_point() or bool((cast_sample.to(sample.dtype) == sample).all())
    return cast_sample if exact else sample
