"""Draws of a posterior for ArviZ, one draw at a time, and k̂, how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bayesnas.checks import draw_count, seed_number
from bayesnas.data import Inputs, Split
from bayesnas.data.inputs import AnyInputs
from bayesnas.export.datatree import to_datatree
from bayesnas.export.feature_coords import feature_coords
from bayesnas.inference.config.inputs import Data, in_memory
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.evaluation.conditionals import (
    conditionals,
    new_targets,
    observed_targets,
)
from bayesnas.inference.evaluation.predictive import PosteriorDraw, posterior_draws, shared_values
from bayesnas.inference.evidence.log_densities import tempered_pareto_k, total
from bayesnas.inference.evidence.row_marginals import has_row_densities, marginal_log_lik
from bayesnas.inference.posterior.base import BasePosterior, padded_history
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.inference.runs.chain_record import HISTORY
from bayesnas.inference.runs.description import RunDescription
from bayesnas.inference.runs.run_folder import Example
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

Doubles = npt.NDArray[np.float64]


class ArvizExport(BasePosterior):
    """Chains at one KL weight, exported; a base class of :class:`Posterior`."""

    @property
    def kl_weight(self) -> float:
        """λ of the fit."""
        assert self.settings.kl_weight is not None
        return self.settings.kl_weight

    @typed(unchecked=("data",))
    def to_arviz(
        self,
        draws: int = 500,
        data: Data | None = None,
        *,
        var_names: Sequence[str] | None = None,
        latent_draws: int = 20,
        seed: int = 0,
    ) -> xr.DataTree:
        """Export draws of every chain as the tree that ArviZ reads.

        Args:
            draws: draws a chain.
            data: adds posterior_predictive, log_likelihood (pointwise, unscaled),
                observed_data and constant_data for its rows; for the training data also the
                tempered log target ``lp`` in sample_stats.
            var_names: sites to export; all by default. log_prior and log_q stay complete.
            latent_draws: where rows have latents of their own, as the codes of an autoencoder:
                draws of them, over which log_likelihood is averaged by importance weights; 0:
                log_likelihood is left out.
            seed: of the draws.
        """
        draws = draw_count("draws", draws, 1)
        latent_draws = draw_count("latent_draws", latent_draws, 0)
        seed = seed_number("seed", seed)
        split = None if data is None else self._sample(in_memory(data, "data"))
        return draws_to_datatree(
            self._chains,
            self.run,
            self.example,
            draws,
            None if not isinstance(split, Split) else (split.x, split.y),
            var_names,
            seed,
            # Of a weighted fit the target has other factors than the log-likelihood of the data.
            is_training_data=split is not None
            and split.fingerprint == self.run.fingerprint
            and not self.run.weights,
            latent_draws=latent_draws,
        )

    @typed(unchecked=("data", "tree"))
    def to_inference_data(self, draws: int = 500, data: Data | None = None, **options: Any) -> Any:
        """Export as ``arviz.InferenceData`` (ArviZ 0.23); arguments of :meth:`to_arviz`."""
        from bayesnas.export.datatree import to_inference_data

        return to_inference_data(self.to_arviz(draws, data, **options))

    @typed(unchecked=("data", "log_weights"))
    def pareto_k(
        self, data: Data, *, draws: int = 1000, kl_weight: float | None = None, seed: int = 0
    ) -> float:
        """k̂ of importance sampling from q to the tempered target p(w) p(y | x, w)^(1/λ).

        Below 0.5 the guide is close to the target; above 0.7 it is unreliable (Yao et al. 2018).

        Args:
            data: the training data.
            draws: number of draws.
            kl_weight: λ of the target; that of the fit by default. 1 asks how far the fit is
                from the Bayesian posterior.
            seed: of the draws.
        """
        target = self.kl_weight if kl_weight is None else kl_weight
        check_kl_weight(target)
        draws, seed = draw_count("draws", draws), seed_number("seed", seed)
        return tempered_pareto_k(self.model, *self._tensors(data), draws, target, seed)


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
) -> xr.DataTree:
    """Draw from every chain and build the ArviZ tree; see ``Posterior.to_arviz``.

    Memory: the arrays that are returned, and one draw. ``is_training_data`` says that ``data``
    is what the model was fitted to, so that the tempered log target can be formed.

    Raises:
        ValueError: for a name in ``var_names`` that is no latent site.
    """
    posterior, prior, targets = (_Recorder(len(chains), draws) for _ in range(3))
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
    target = chains[0].model.target_site
    if data is not None:  # a program may observe a part of the targets at that site
        data = data[0], observed_targets(chains[0].model, *data, draw)
    observed = None if data is None else {target: data[1].cpu().numpy()}
    tree = to_datatree(
        posterior=posterior.arrays,
        dims=_dims(chains[0].model, data),
        coords=_coords(chains[0].model, posterior.arrays, run.data.feature_names, data),
        log_prior=prior.arrays,
        log_q=log_q,
        kl_weight=kl_weight,
        log_lik_total=log_lik if is_training_data and np.isfinite(log_lik).all() else None,
        log_likelihood=_named(targets, "log_likelihood", target),
        posterior_predictive=_named(targets, "posterior_predictive", target),
        observed_data=observed,
        constant_data=None if data is None else _constant(data[0]),
        svi=_history(chains),
        attrs={
            "model": chains[0].model.describe(),
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


def _exported(values: Mapping[str, Tensor], var_names: Sequence[str] | None) -> Sequence[str]:
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
        name = model.target_site
        dims[name] = ("obs", *(f"{name}_dim_{axis}" for axis in range(1, y.ndim)))
        for key, values in _constant(x).items():
            dims[key] = ("obs", *(f"{key}_dim_{axis}" for axis in range(1, values.ndim)))
    return dims


def _coords(
    model: BayesianModel,
    arrays: Mapping[str, npt.NDArray[Any]],
    names: Sequence[str] | None,
    data: Example | None,
) -> dict[str, Sequence[str]]:
    """Names of the columns of x, wherever they lie along a dimension."""
    dims = model.site_dims()
    named = {site: dims[site] for site in arrays if site in dims}
    sizes = {
        dim: size
        for site, each in named.items()
        for dim, size in zip(each, arrays[site].shape[2:], strict=True)
    }
    net = getattr(model, "net", None)
    coords: dict[str, Sequence[str]] = {**feature_coords(names, dims.values(), sizes, net)}
    if data is not None and names is not None and data[0].shape[1:] == (len(names),):
        coords["x_dim_1"] = list(names)
    return coords


def _constant(x: AnyInputs) -> dict[str, npt.NDArray[Any]]:
    """Inputs as ``x``; several by their names, or as ``x0``, ``x1``, ... by place."""
    if not isinstance(x, Inputs):
        return {"x": x.cpu().numpy()}
    names = x.names or [f"x{place}" for place in range(len(x.leaves))]
    return {name: leaf.cpu().numpy() for name, leaf in zip(names, x.leaves, strict=True)}


def _named(targets: _Recorder, name: str, target: str) -> dict[str, npt.NDArray[Any]] | None:
    return {target: targets.arrays[name]} if name in targets.arrays else None


def _history(chains: Sequence[FittedChain]) -> dict[str, npt.NDArray[Any]]:
    rows = padded_history([chain.history for chain in chains]).numpy()
    return {name: rows[:, :, index] for index, name in enumerate(HISTORY)}
