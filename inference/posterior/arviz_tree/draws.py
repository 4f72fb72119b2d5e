"""Draws from every chain, one at a time, and what the model says at each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bayesnas.export.datatree import to_datatree
from bayesnas.inference.evaluation.conditionals import (
    conditionals,
    new_targets,
    observed_targets,
)
from bayesnas.inference.evaluation.predictive import PosteriorDraw, posterior_draws, shared_values
from bayesnas.inference.evidence.log_densities import total
from bayesnas.inference.evidence.row_marginals import has_row_densities, marginal_log_lik
from bayesnas.inference.posterior.arviz_tree.names import GivenNames, TreeNames, constant_data
from bayesnas.inference.posterior.arviz_tree.prior import prior_arrays
from bayesnas.inference.posterior.arviz_tree.recorder import Recorder
from bayesnas.inference.posterior.base import padded_history
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.inference.runs.chain_record import HISTORY
from bayesnas.inference.runs.description import RunDescription
from bayesnas.inference.runs.run_folder import Example
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import RandomStream, derived_seed

if TYPE_CHECKING:
    import xarray as xr


def draws_to_datatree(
    chains: Sequence[FittedChain],
    run: RunDescription,
    example: Example,
    draws: int,
    data: Example | None,
    var_names: Sequence[str] | None,
    seed: int,
    *,
    is_training_data: bool = False,
    latent_draws: int = 20,
    prior_draws: int = 0,
    given: GivenNames,
) -> xr.DataTree:
    """Draw from every chain and build the ArviZ tree; see ``Posterior.to_arviz``.

    Memory: the arrays that are returned, and one draw. ``is_training_data`` says that ``data``
    is what the model was fitted to, so that the tempered log target can be formed.

    Raises:
        ValueError: for a name in ``var_names`` that is no latent site.
    """
    posterior, prior, targets = (Recorder(len(chains), draws) for _ in range(3))
    kl_weight = run.settings.kl_weight
    assert kl_weight is not None  # of one λ: an amortised fit exports its λ in turn
    log_q, log_lik = np.zeros((len(chains), draws)), np.zeros((len(chains), draws))
    for c, chain in enumerate(chains):
        samples = RandomStream(seed + c + 1, example[1].device)
        model = chain.model.eval()
        for d, draw in enumerate(posterior_draws(model, example[0], draws, derived_seed(seed, c))):
            log_prior, noted = shared_values(model, example[0], draw)
            values = draw.values | noted
            for site in _exported(values, var_names):
                posterior.put(site, c, d, values[site])
            for site, value in log_prior.items():
                prior.put(site, c, d, value.double())
            log_q[c, d] = total(draw.log_q)
            if data is not None:
                drawn = new_targets(model, *data, draw, samples)
                targets.put("posterior_predictive", c, d, drawn)
                by_row, log_lik[c, d] = _log_lik(
                    model, data, draw, latent_draws, samples, kl_weight
                )
                if by_row is not None:
                    targets.put("log_likelihood", c, d, by_row.double())
    first, target = chains[0].model, chains[0].model.target_site
    if data is not None:  # a program may observe a part of the targets at that site
        data = data[0], observed_targets(first, *data, draw)
    structures = [chain.model.structure() for chain in chains]
    names = TreeNames(first, structures[0], posterior.arrays, run.data.feature_names, data, given)
    before = prior_arrays([chain.model for chain in chains], example[0], data, prior_draws, seed)
    observed = None if data is None else {target: data[1].cpu().numpy()}
    tree = to_datatree(
        posterior=posterior.arrays,
        dims=names.dims,
        coords=names.coords,
        log_prior=prior.arrays,
        log_q=log_q,
        kl_weight=kl_weight,
        log_lik_total=log_lik if is_training_data and np.isfinite(log_lik).all() else None,
        log_likelihood=_named(targets, "log_likelihood", target),
        posterior_predictive=_named(targets, "posterior_predictive", target),
        observed_data=observed,
        constant_data=None if data is None else constant_data(data[0]),
        structure=_by_chain(structures),
        point_estimates=_stacked([chain.model.point_estimates() for chain in chains]),
        prior={n: v for n, v in before["prior"].items() if var_names is None or n in var_names},
        prior_predictive=before["prior_predictive"],
        svi=_history(chains),
        attrs={
            "model": first.describe(),
            "data": run.data.name,
            "seed": run.settings.seed,
        },
    )
    if draw.local and "log_likelihood" in targets.arrays:
        tree["log_likelihood"].attrs["latent_draws"] = latent_draws
    return tree


def _log_lik(
    model: BayesianModel,
    data: Example,
    draw: PosteriorDraw,
    latent_draws: int,
    stream: RandomStream,
    kl_weight: float,
) -> tuple[Tensor | None, float]:
    """Log-likelihood of every row at a draw, and λ times that of the tempered target.

    Latents of rows are integrated out: given what was drawn for the row itself, leave-one-out would
    be that of rows whose latents are known. Where that can't be done there is None, and NaN.
    """
    x, y = data
    if not draw.local:
        given = conditionals(model, x, y, draw)
        return given.log_lik, given.total()
    if not latent_draws or not has_row_densities(model, model.few_rows(x), draw):
        return None, math.nan
    weight = kl_weight or 1.0  # there is no target at λ = 0
    by_row, tempered = marginal_log_lik(model, x, y, draw, latent_draws, stream, weight)
    return by_row, weight * tempered.sum().item()


def _by_chain(structures: Sequence[xr.Dataset]) -> dict[str, npt.NDArray[Any]]:
    """What every chain says of the structure, ``[chain, ...]`` by name."""
    return {
        str(name): np.stack([structure[name].to_numpy() for structure in structures])
        for name in structures[0].data_vars
    }


def _stacked(values: Sequence[Mapping[str, Tensor]]) -> dict[str, npt.NDArray[Any]]:
    """Numbers of every chain, ``[chain, ...]`` by name."""
    names = values[0]
    return {name: np.stack([each[name].cpu().numpy() for each in values]) for name in names}


def _exported(values: Mapping[str, Tensor], var_names: Sequence[str] | None) -> Sequence[str]:
    if var_names is None:
        return list(values)
    unknown = [name for name in var_names if name not in values]
    if unknown or isinstance(var_names, str) or not var_names:
        raise ValueError(
            f"var_names must be a non-empty list out of {list(values)}, got {var_names!r}"
        )
    return var_names


def _named(targets: Recorder, name: str, target: str) -> dict[str, npt.NDArray[Any]] | None:
    return {target: targets.arrays[name]} if name in targets.arrays else None


def _history(chains: Sequence[FittedChain]) -> dict[str, npt.NDArray[Any]]:
    rows = padded_history([chain.history for chain in chains]).numpy()
    return {name: rows[:, :, index] for index, name in enumerate(HISTORY)}
