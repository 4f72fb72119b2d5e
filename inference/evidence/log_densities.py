"""Draws from a guide, each with its log densities: what importance weights are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.export.psis import numerator_shape, pareto_k, tempered_log_weights
from bayesnas.inference.elbo.sites import log_density
from bayesnas.inference.evaluation.conditionals import conditionals
from bayesnas.inference.evaluation.point_masses import point_masses
from bayesnas.inference.evaluation.predictive import (
    PosteriorDraw,
    guide_trace,
    model_trace,
    posterior_draws,
)
from bayesnas.inference.evidence.row_marginals import latents_of_rows
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

Doubles = npt.NDArray[np.float64]

_RELATIVE_ROUNDING, _LEAST_SPREAD = 1e-6, 1e-4


@dataclass(frozen=True)
class LogDensities:
    """Log densities at draws w from a guide, each ``[draws]``, in nats.

    Attributes:
        log_prior: ln p(w); with latents z of every row ln p(w, z), at one z a draw.
        log_lik: ln p(y | x, w), of all rows.
        log_q: ln q(w), or ln q(w, z).
    """

    log_prior: Doubles
    log_lik: Doubles
    log_q: Doubles

    def log_weights(self, kl_weight: float = 1.0) -> Doubles:
        """Ln of p(w) p(y | x, w)^(1/λ) / q(w), ``[draws]``."""
        return tempered_log_weights(self.log_prior, self.log_lik, self.log_q, kl_weight)

    def pareto_k(self, kl_weight: float = 1.0) -> float:
        """K̂ of these weights.

        Weights that nothing but rounding in single precision tells apart are equal: k̂ = 0.
        """
        return self._tail(kl_weight)[1]

    def pareto_k_of(self, columns: Doubles, kl_weight: float = 1.0) -> Doubles:
        """K̂ of the expectations of values by these weights, from ``[m, draws]`` to ``[m]``."""
        log_weights, k = self._tail(kl_weight)
        return np.array([max(k, numerator_shape(log_weights, values)) for values in columns])

    def _tail(self, kl_weight: float) -> tuple[Doubles, float]:
        """The weights, equal where rounding alone tells them apart, and their k̂."""
        log_weights = self.log_weights(kl_weight)
        k = pareto_k(log_weights)  # which also checks them
        rounding = _RELATIVE_ROUNDING * float(np.abs(self.log_lik).max())
        if np.ptp(log_weights) > max(rounding, _LEAST_SPREAD):
            return log_weights, k
        return np.zeros_like(log_weights), 0.0


def log_densities(
    model: BayesianModel, x: Tensor, y: Tensor, draws: int, seed: int
) -> LogDensities:
    """Draw from the guide, in evaluation mode, and score every draw on all rows.

    Raises:
        ValueError: where the guide puts all mass on one value of a continuous latent.
    """
    model.eval()
    few = model.few_rows(x)
    check_no_points(model, few)
    rows = []
    for draw in posterior_draws(model, few, draws, seed):
        log_prior, log_lik = scored(model, x, y, draw)
        log_p, log_q = _of_rows(model, x, y, draw) if draw.local else (0.0, 0.0)
        rows.append((log_prior + log_p, log_lik, total(draw.log_q) + log_q))
    log_prior, log_lik, log_q = np.array(rows, dtype=np.float64).T
    return LogDensities(log_prior, log_lik, log_q)


def check_no_points(model: BayesianModel, few: Tensor) -> None:
    """Raise ValueError where the guide puts all mass on one value of a continuous latent."""
    if fixed := point_masses(model, few):
        raise ValueError(
            f"the guide of {model.describe()} puts all mass on one value of {fixed}, so draws from "
            "it have no importance weights"
        )


def scored(model: BayesianModel, x: Tensor, y: Tensor, draw: PosteriorDraw) -> tuple[float, float]:
    """Ln p(w) and ln p(y | x, w) at one draw, of all rows."""
    given = conditionals(model, x, y, draw, with_latents=True)
    assert given.shared_latents is not None
    return total(given.shared_latents[0]), given.total()


def _of_rows(
    model: BayesianModel, x: AnyInputs, y: Tensor, draw: PosteriorDraw
) -> tuple[float, float]:
    """Ln p(z | w) and ln q(z | w) of the latents z of all rows that go with a draw of w."""
    log_p = log_q = 0.0
    size = model.rows_at_once(len(x))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        with torch.no_grad(), pyro_session(RandomStream(draw.seed, x.device)):
            guided = guide_trace(model, x[rows], given=draw.values)  # as model_trace draws z
        trace = model_trace(model, x[rows], draw, y[rows])
        log_p += sum(log_density(z).item() for z in latents_of_rows(model, trace).values())
        log_q += sum(log_density(z).item() for z in latents_of_rows(model, guided).values())
    return log_p, log_q


def check_shared(model: BayesianModel, x: Tensor, seed: int) -> None:
    """Raise ValueError for a model that has latents of every example.

    Draws of all of them together have no use as importance weights.
    """
    if next(posterior_draws(model, model.few_rows(x), 1, seed)).local:
        raise ValueError(
            f"{model.describe()} has latents of every example, which takes method='elbo'"
        )


def tempered_pareto_k(
    model: BayesianModel, x: Tensor, y: Tensor, draws: int, kl_weight: float, seed: int
) -> float:
    """k̂ of the guide against p(w) p(y | x, w)^(1/λ); see ``Posterior.pareto_k``."""
    return log_densities(model, x, y, draws, seed).pareto_k(kl_weight)


def total(terms: Mapping[str, Tensor]) -> float:
    """The sum of log densities by site, in double precision."""
    return float(sum(value.double().item() for value in terms.values()))
