"""Posterior draws as arrays, one draw at a time, for ArviZ and for k̂."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bayesnas.export import pareto_k, tempered_log_weights, to_datatree
from bayesnas.inference.chains import Chain, padded_history
from bayesnas.inference.description import RunDescription
from bayesnas.inference.predictive import (
    Draw,
    conditional_samples,
    deterministic_values,
    few_rows,
    log_priors,
    observed_terms,
    point_masses,
    posterior_draws,
)
from bayesnas.inference.runs import Example
from bayesnas.inference.session import RandomStream
from bayesnas.inference.training import HISTORY
from bayesnas.models.base import BayesianModel
from bayesnas.models.pyro_pair import PyroPair

if TYPE_CHECKING:
    import xarray as xr

Doubles = npt.NDArray[np.float64]


class _Recorder:
    """Arrays ``[chain, draw, ...]`` by name, allocated at the first draw and filled in place."""

    def __init__(self, chains: int, draws: int) -> None:
        self._shape = (chains, draws)
        self.arrays: dict[str, npt.NDArray[Any]] = {}

    def put(self, name: str, chain: int, draw: int, value: Tensor) -> None:
        array = value.detach().cpu().numpy()
        if name not in self.arrays:
            self.arrays[name] = np.empty((*self._shape, *array.shape), dtype=array.dtype)
        self.arrays[name][chain, draw] = array


def draws_to_datatree(
    chains: Sequence[Chain],
    run: RunDescription,
    example: Example,
    draws: int,
    data: Example | None,
    var_names: Sequence[str] | None,
    seed: int,
    *,
    is_training_data: bool = False,
) -> xr.DataTree:
    """Draw from every chain and build the ArviZ tree; see ``Posterior.to_arviz``.

    Memory: the arrays that are returned, and one draw. ``is_training_data`` says that ``data``
    is what the model was fitted to, so that the tempered log target can be formed.

    Raises:
        ValueError: for a name in ``var_names`` that is no latent site.
    """
    posterior, prior, targets = (_Recorder(len(chains), draws) for _ in range(3))
    log_q, once = np.zeros((len(chains), draws)), np.zeros((len(chains), draws))
    for c, chain in enumerate(chains):
        samples = RandomStream(seed + c + 1, example[0].device)
        model = chain.model.eval()
        for d, draw in enumerate(posterior_draws(model, example[0], draws, _chain_seed(seed, c))):
            values = {**draw.values, **_deterministic(model, example[0], draw)}
            for site in _exported(values, var_names):
                posterior.put(site, c, d, values[site])
            for site, value in log_priors(model, example[0], draw).items():
                prior.put(site, c, d, value.double())
            log_q[c, d] = _total(draw.log_q)
            if data is not None:
                once[c, d] = _record_targets(targets, c, d, model, draw, data, samples)
    log_likelihood = targets.arrays.get("log_likelihood")
    assert run.settings.kl_weight is not None  # of one λ: an amortised fit exports its λ in turn
    target = chains[0].model.target_site
    observed = None if data is None else {target: data[1].cpu().numpy()}
    return to_datatree(
        posterior=posterior.arrays,
        dims=_dims(chains[0].model, data),
        log_prior=prior.arrays,
        log_q=log_q,
        kl_weight=run.settings.kl_weight,
        log_lik_total=log_likelihood.sum(-1) + once
        if is_training_data and log_likelihood is not None
        else None,
        log_likelihood=_named(targets, "log_likelihood", target),
        posterior_predictive=_named(targets, "posterior_predictive", target),
        observed_data=observed,
        constant_data=None if data is None else {"x": data[0].cpu().numpy()},
        svi=_history(chains),
        attrs={
            "model": chains[0].model.describe(),
            "data": run.data.name,
            "seed": run.settings.seed,
        },
    )


def tempered_pareto_k(
    model: BayesianModel, x: Tensor, y: Tensor, draws: int, kl_weight: float, seed: int
) -> float:
    """k̂ of the guide against p(w) p(y | x, w)^(1/λ); see ``Posterior.pareto_k``."""
    log_prior, log_lik, log_q = np.zeros(draws), np.zeros(draws), np.zeros(draws)
    model.eval()
    few = few_rows(model, x)
    if isinstance(model, PyroPair) and (fixed := point_masses(model, few, seed)):
        raise ValueError(
            f"the guide ({type(model.guide_fn).__name__}) puts all mass on one value of {fixed}: "
            "it has no density to weigh draws by, take a guide that has (AutoNormal)"
        )
    for d, draw in enumerate(posterior_draws(model, few, draws, seed)):
        log_prior[d] = _total(log_priors(model, few, draw))
        terms = observed_terms(model, x, y, draw)
        log_lik[d] = terms.log_lik.double().sum().item() + terms.once.double().item()
        log_q[d] = _total(draw.log_q)
    return pareto_k(tempered_log_weights(log_prior, log_lik, log_q, kl_weight))


def _record_targets(
    targets: _Recorder,
    chain: int,
    index: int,
    model: BayesianModel,
    draw: Draw,
    data: Example,
    stream: RandomStream,
) -> float:
    """Note what a draw says of the data; return what counts once, not for every row."""
    x, y = data
    terms = observed_terms(model, x, y, draw)
    targets.put("log_likelihood", chain, index, terms.log_lik.double())
    sample = conditional_samples(model, x, draw, stream)
    targets.put("posterior_predictive", chain, index, sample.to(y.dtype))
    return terms.once.double().item()


def _deterministic(model: BayesianModel, x: Tensor, draw: Draw) -> dict[str, Tensor]:
    return deterministic_values(model, x, draw) if isinstance(model, PyroPair) else {}


def _exported(values: dict[str, Tensor], var_names: Sequence[str] | None) -> Sequence[str]:
    if var_names is None:
        return list(values)
    unknown = [name for name in var_names if name not in values]
    if unknown or isinstance(var_names, str) or not var_names:
        raise ValueError(
            f"var_names must be a non-empty list out of {list(values)}, got {var_names!r}"
        )
    return var_names


def _dims(model: BayesianModel, data: Example | None) -> dict[str, Sequence[str]]:
    dims: dict[str, Sequence[str]] = dict(model.site_dims())
    if data is not None:
        x, y = data
        dims[model.target_site] = ("obs", *(f"y_dim_{axis}" for axis in range(1, y.ndim)))
        dims["x"] = ("obs", *(f"x_dim_{axis}" for axis in range(1, x.ndim)))
    return dims


def _named(targets: _Recorder, name: str, target: str) -> dict[str, npt.NDArray[Any]] | None:
    return {target: targets.arrays[name]} if name in targets.arrays else None


def _history(chains: Sequence[Chain]) -> dict[str, npt.NDArray[Any]]:
    rows = padded_history([chain.history for chain in chains]).numpy()
    return {name: rows[:, :, index] for index, name in enumerate(HISTORY)}


def _total(terms: dict[str, Tensor]) -> float:
    return float(sum(value.double().item() for value in terms.values()))


def _chain_seed(seed: int, chain: int) -> int:
    return int(np.random.SeedSequence([seed, chain]).generate_state(1)[0])
