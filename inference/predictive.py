"""What a fitted model says of inputs: draws of its latents, and p(y | x) given them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from bayesnas.inference.handlers import (
    DataScale,
    DrawnWeights,
    FixedValues,
    GuideMeans,
    UnsampledTargets,
)
from bayesnas.inference.objective import is_local, split_sites
from bayesnas.inference.row_values import by_row, row_log_prob
from bayesnas.inference.session import RandomStream, pyro_session
from bayesnas.inference.site_kl import log_prob_total
from bayesnas.models.base import BayesianModel
from bayesnas.models.row_sites import RowSites, is_auxiliary, is_deterministic, unwrapped

_BATCH = 4096


@dataclass
class Draw:
    """One draw (or the mean) of the latent sites that all examples share.

    Attributes:
        values: plain tensor by site.
        log_q: log density of the guide at the draw, in nats, by site; also of the sites that only
            the guide has.
        local: whether the guide also has latent sites of every example, drawn on demand.
        means: whether the values are posterior means rather than a draw.
        auxiliary: values of the sites that only the guide has.
    """

    values: dict[str, Tensor]
    log_q: dict[str, Tensor]
    local: bool
    means: bool
    auxiliary: dict[str, Tensor]

    def fixed(self) -> dict[str, Tensor]:
        """All values, for a guide that is run again at the draw."""
        return {**self.values, **self.auxiliary}


def posterior_draws(model: BayesianModel, x: Tensor, draws: int, seed: int) -> Iterator[Draw]:
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


def posterior_means(model: BayesianModel, x: Tensor) -> Draw:
    """Means of the guide at the shared latent sites."""
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)):
        return _run_guide(model, x, means=True)


def _run_guide(model: BayesianModel, x: Tensor, *, means: bool) -> Draw:
    trace = _guide_trace(model, x, means)
    sites, factors = split_sites(trace)
    rows = model.row_sites
    shared = {name: site for name, site in sites.items() if not is_local(site, rows)}
    values = {name: site["value"] for name, site in shared.items()}
    auxiliary = {name: values.pop(name) for name, site in shared.items() if is_auxiliary(site)}
    shared |= {name: site for name, site in factors.items() if not is_local(site, rows)}
    log_q = {name: log_prob_total(site) for name, site in shared.items()}
    local = len(sites) > len(values) + len(auxiliary)
    return Draw(values, log_q, local=local, means=means, auxiliary=auxiliary)


def point_masses(model: BayesianModel, x: Tensor, seed: int) -> list[str]:
    """Continuous latent sites whose value is the same in every draw, as under ``AutoDelta``."""
    traces = []
    for offset in (0, 1):
        with torch.no_grad(), pyro_session(RandomStream(seed + offset, x.device)):
            traces.append(_guide_trace(model, x, means=False))
    first, second = (split_sites(trace)[0] for trace in traces)
    fixed = [
        name
        for name, site in first.items()
        if isinstance(unwrapped(site["fn"]), dist.Delta)
        and name in second
        and torch.equal(site["value"], second[name]["value"])
    ]
    if not fixed:
        return []
    with torch.no_grad(), pyro_session(RandomStream(seed, x.device)):
        fn = poutine.replay(model.model, trace=traces[0])
        prior, _ = split_sites(poutine.trace(fn).get_trace(x, None))
    return [n for n in fixed if n in prior and not prior[n]["fn"].support.is_discrete]


def _guide_trace(model: BayesianModel, x: Tensor, means: bool) -> Any:
    guide: Callable[..., Any] = GuideMeans()(model.guide) if means else model.guide
    with DrawnWeights():
        return poutine.trace(guide).get_trace(x, None)


def model_trace(model: BayesianModel, x: Tensor, draw: Draw, y: Tensor | None = None) -> Any:
    """Trace of the model at a draw; without ``y`` the site of the targets holds their mean.

    Raises:
        ValueError: if the model has no site of the targets, or sites that an ELBO sums out.
    """
    rows = model.row_sites
    _check_drawn(rows)
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)), FixedValues(draw.fixed()):
        fn: Callable[..., Any] = model.model
        if draw.local:
            fn = poutine.replay(fn, trace=_guide_trace(model, x, draw.means))
        with UnsampledTargets(targets_of(model)), DataScale(None, rows):
            trace = poutine.trace(fn).get_trace(x, y)
    if model.target_site not in trace.nodes:
        sites = [name for name, site in trace.nodes.items() if site["type"] == "sample"]
        raise ValueError(
            f"the model must sample its targets at a site called {model.target_site!r}, got sites "
            f"{sites}: name it by PyroPair(model, guide, target=...)"
        )
    return trace


def _check_drawn(rows: RowSites) -> None:
    if rows.summed:
        raise ValueError(
            f"the sites {sorted(rows.summed)} are summed out of the model by the ELBO, and the "
            "guide draws no values for them: to evaluate, predict or export, write the mixture as "
            "one law (pyro.distributions.MixtureSameFamily), or draw them in the guide"
        )


def targets_of(model: BayesianModel) -> tuple[str, ...]:
    """The observed sites of the rows."""
    found = model.row_sites.targets
    return (model.target_site,) if found is None else found


def conditional_mean(fn: Any) -> Tensor:
    """Class probabilities ``[n, classes]`` of a categorical, else the mean ``[n, ...]``."""
    probabilities = getattr(fn, "probs", None)
    if isinstance(probabilities, Tensor) and probabilities.ndim == len(fn.batch_shape) + 1:
        return probabilities
    mean: Tensor = fn.mean
    return mean


def conditional_means(model: BayesianModel, x: Tensor, draw: Draw) -> Tensor:
    """Class probabilities or means of y for every row of ``x``, in batches."""
    return torch.cat(
        [
            by_row(conditional_mean(site["fn"]), site, count, model.row_sites)
            for count, site in _target_sites(model, x, draw)
        ]
    )


def conditional_samples(
    model: BayesianModel, x: Tensor, draw: Draw, stream: RandomStream
) -> Tensor:
    """Sample y for every row of ``x`` given a draw of the latents, ``[n, ...]``."""
    with torch.no_grad(), stream.active():
        return torch.cat(
            [
                by_row(site["fn"].sample(), site, count, model.row_sites)
                for count, site in _target_sites(model, x, draw)
            ]
        )


@dataclass
class ObservedTerms:
    """What a model says of observed rows at one draw.

    Attributes:
        means: class probabilities or means of the targets, ``[n, ...]``.
        log_lik: log p(y_i | x_i, w) of every row, ``[n]``: all observed sites and factors of the
            row, masked and scaled as the program has them.
        once: sum of the observed sites and factors that are not of the rows.
    """

    means: Tensor
    log_lik: Tensor
    once: Tensor


def observed_terms(model: BayesianModel, x: Tensor, y: Tensor, draw: Draw) -> ObservedTerms:
    """Means and log-likelihoods of the targets of every row, in batches."""
    rows = model.row_sites
    means, log_lik, once = [], [], []
    for start in _starts(model, x):
        part = slice(start, start + _BATCH if not rows.whole else None)
        trace = model_trace(model, x[part], draw, y[part])
        count = len(x[part])
        _, observed = split_sites(trace)
        target = trace.nodes[model.target_site]
        means.append(by_row(conditional_mean(target["fn"]), target, count, rows))
        parts = [row_log_prob(s, count, rows) for s in observed.values() if rows.is_row_site(s)]
        log_lik.append(sum(parts[1:], parts[0]))
        once = [log_prob_total(s) for s in observed.values() if not rows.is_row_site(s)]
    total = log_lik[0].new_zeros(()) if not once else torch.stack(once).sum()
    return ObservedTerms(torch.cat(means), torch.cat(log_lik), total)


def _starts(model: BayesianModel, x: Tensor) -> range:
    """Where batches begin; a guide with a value for every row sees all rows at once."""
    return range(0, len(x), len(x) if model.row_sites.whole else _BATCH)


def _target_sites(model: BayesianModel, x: Tensor, draw: Draw) -> Iterator[tuple[int, Any]]:
    for start in _starts(model, x):
        part = x[start : None if model.row_sites.whole else start + _BATCH]
        yield len(part), model_trace(model, part, draw).nodes[model.target_site]


def few_rows(model: BayesianModel, x: Tensor) -> Tensor:
    """Two rows, or all where the guide has a value for each of them."""
    return x if model.row_sites.whole else x[:2]


def log_priors(model: BayesianModel, x: Tensor, draw: Draw) -> dict[str, Tensor]:
    """Log p(w) of every shared latent site at a draw, in nats."""
    sites, _ = split_sites(model_trace(model, x, draw))
    return {name: log_prob_total(sites[name]) for name in draw.values}


def deterministic_values(model: BayesianModel, x: Tensor, draw: Draw) -> dict[str, Tensor]:
    """Values of ``pyro.deterministic`` that do not follow the rows."""
    rows = model.row_sites
    return {
        name: site["value"]
        for name, site in model_trace(model, x, draw).nodes.items()
        if site["type"] == "sample" and is_deterministic(site) and name not in rows.varying
        if rows.frame(site) is None
    }


def predicted_labels(probabilities: Tensor) -> Tensor:
    """Most probable label: of ``[n, classes]`` class probabilities, or of ``[n]`` P(y = 1)."""
    if probabilities.ndim == 1:
        return (probabilities > 0.5).long()
    return probabilities.argmax(-1)
