"""Whether a structure weight moves f₀ to f₁: Q over the simplex where no weight fits the data."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesnas.distributions import GumbelSoftmax
from bayesnas.distributions.relaxed.simplex_points import log_of
from bayesnas.reproductions.generalised.settings import (
    COUNTS,
    TRANSITION_TEMPERATURE,
    structure_priors,
)
from bayesnas.runtime.random_state import RandomStream

WEIGHTS = (-1.0, -2.0, -3.0, -10.0)
"""λ^struct whose barriers are shown."""
GAMMA_FLOOR = 0.1
"""ε of max(γ, ε), as in the model."""
_FAR, _STEP, _DRAWS = 8.0, 0.5, 2_000
_NEAR = 2.0
"""From there on a logit is near its vertex, where γ is above 0.75 on average."""

Surface = NDArray[np.float64]


class Barrier:
    r"""Q(s) / λ^prior_Q over the logits of p(Γ | s), and the pass from f₀ to f₁.

    .. math:: Q(s) = -\sum_k n_k J_k(s) - \lambda^{struct} \sum_{p'} KL(p(\Gamma|s) \,\|\, p'),
        \qquad J_k = \tfrac12 \bigl[\ln E \max(\gamma_k, \epsilon)^{-2}
        + E \ln \max(\gamma_k, \epsilon)^2 \bigr]

    That is Q where no weight is away from 0 and the guide of Γ follows its prior: J is the smallest
    E KL(N(0, σ²) ‖ N(0, max(γ, ε)² s²)) over σ and s, and n the weights of a function. The
    likelihood is constant in it, so nothing depends on whether it is a sum or a mean over rows.
    Means over draws of γ are over the same ones everywhere.
    """

    def __init__(self) -> None:
        """Evaluate both terms on a grid; see the class."""
        true = np.arange(-_FAR, _FAR + _STEP / 2, _STEP)
        overfitting = np.arange(-_FAR, _STEP / 2, _STEP)
        self._logits = np.meshgrid(true, overfitting, indexing="ij")
        terms = [[structure_terms(torch.tensor([0.0, u, v])) for v in overfitting] for u in true]
        self._complexity, self._divergence = np.moveaxis(np.array(terms), -1, 0)

    def height(self, structure_weight: float) -> float:
        """Nats of Q to lose on the best way from the top at f₀ to f₁; 0 where none are.

        Args:
            structure_weight: λ^struct of both structure priors.
        """
        surface = -self._complexity - structure_weight * self._divergence
        true, overfitting = self._logits
        at_constant = (true <= -_NEAR) & (overfitting <= -_NEAR)
        start, end = (_highest(surface, where) for where in (at_constant, true >= _NEAR))
        return float(surface[start] - _pass(surface, start, end))


def structure_terms(logits: Tensor) -> tuple[float, float]:
    """Σ n_k J_k, and the divergence from both structure priors, in nats.

    Args:
        logits: ln s of p(Γ | s), ``[3]``.

    >>> at_a_vertex, away = structure_terms(torch.tensor([0.0, 9.0, 0.0]))
    >>> at_a_vertex < 0.1 < away
    True
    """
    p = GumbelSoftmax(TRANSITION_TEMPERATURE, logits=logits.double())
    with RandomStream(0, torch.device("cpu")).active():
        gamma = p.rsample(torch.Size([_DRAWS]))
        log_scale = log_of(gamma).clamp_min(np.log(GAMMA_FLOOR))
        inverse = (-2 * log_scale).logsumexp(0) - np.log(_DRAWS)
        gap = (inverse + 2 * log_scale.mean(0)) / 2
    away = sum(float((p.log_prob(gamma) - q.log_prob(gamma)).mean()) for q in structure_priors())
    return float(torch.tensor(COUNTS).double() @ gap), away


def _highest(surface: Surface, where: NDArray[np.bool_]) -> tuple[int, int]:
    row, column = np.unravel_index(np.where(where, surface, -np.inf).argmax(), surface.shape)
    return int(row), int(column)


def _pass(surface: Surface, start: tuple[int, int], end: tuple[int, int]) -> float:
    """The highest level above which a way of neighbouring points leads from one to the other."""
    from scipy.ndimage import label

    levels = np.unique(surface)

    def is_cut(level: float) -> bool:
        regions, _ = label(surface >= level, structure=np.ones((3, 3)))
        return not regions[start] or regions[start] != regions[end]

    return float(levels[bisect_right(levels, False, key=is_cut) - 1])
