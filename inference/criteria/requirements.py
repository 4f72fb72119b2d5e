"""The six requirements of a good objective, measured along the KL weight."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bayesnas.checks import draw_count, non_negative, positive, seed_number, shown
from bayesnas.inference.config.inputs import Data, split_of
from bayesnas.inference.criteria.structures import structure_divergence
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.typed import typed

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

LEAST_POINTS = 5
_FALLS = -0.9  # rank correlation of complexity with λ
_JUMPS = 0.75  # of a jump on every second λ that is left on all: ½ of a smooth curve, 1 of a step

Doubles = npt.NDArray[np.float64]


@typed(unchecked=("data",))
def requirements(
    post: KLWeightPath,
    kl_weights: Sequence[float],
    data: Data,
    *,
    tolerance: float = 0.05,
    least_divergence: float = 1.0,
    draws: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Measure what a good objective should do on the fits along its KL weight λ.

    With L(λ) = E_q ln p(y | x, w) − λ KL(q ‖ p) and its fits q_λ, a row for each requirement:

    - ``"maximum likelihood"``: somewhere it approximates the likelihood. ``value`` is λ KL / n at
      the smallest λ, all that tells the two apart, in nats an example.
    - ``"complexity"``: somewhere it penalises complex models. ``value`` is the rank correlation of
      the complexity (the parametric one where it is known, else KL) with λ; it holds below −0.9.
    - ``"evidence"``: somewhere it approximates the evidence. ``value`` is the evidence less
      L(1), in nats an example.
    - ``"structures"``: it moves between structures. ``value`` is the largest divergence
      between q(Γ) at two λ, the smaller of both directions, in nats.
    - ``"continuity"``: it is continuous in λ. ``value`` is the largest jump of L between
      neighbouring λ over that between every second one: about ½ of a curve, 1 of a step.
    - ``"domain"``: it is defined on more than a point. ``value`` is how many decades of λ there are
      with finite L.

    Args:
        post: of a range or list of λ.
        kl_weights: λ, at least five, rising, evenly spaced over ln λ.
        data: the training data.
        tolerance: largest value of the first and third that counts as none, in nats an example.
        least_divergence: what counts as another structure, in nats.
        draws: from every guide, for expectations.
        seed: of the draws.

    Returns:
        columns ``holds`` and ``value``; NaN, and not held, where there is nothing to measure: no λ
        at 1, or a model that gives no probabilities of a structure.

    Raises:
        ValueError: naming the argument that does not fit.
        TypeError: naming data that are no part of a data set and no pair.

    References:
        Bakhteev, Strijov, *Comprehensive analysis of gradient-based hyperparameter optimization
        algorithms*, 2020.
    """
    weights = _checked(kl_weights)
    tolerance = positive("tolerance", tolerance)
    least = non_negative("least_divergence", least_divergence)
    draws, seed = draw_count("draws", draws), seed_number("seed", seed)
    path = _Path.of(post, weights, data, draws, seed)
    by_name = {
        "maximum likelihood": _at_most(path.penalty_of_an_example(), tolerance),
        "complexity": _at_most(path.rank_correlation(), _FALLS),
        "evidence": _at_most(_evidence_gap(post, weights, data, draws, seed, path.rows), tolerance),
        "structures": _more_than(_largest_divergence(path.structures), least),
        "continuity": _at_most(path.jumps(), _JUMPS),
        "domain": _more_than(path.decades(), 0.0),
    }
    import pandas as pd

    return pd.DataFrame(
        {
            "holds": [holds for holds, _ in by_name.values()],
            "value": [v for _, v in by_name.values()],
        },
        index=list(by_name),
    )


@dataclass
class _Path:
    """What is measured at every λ."""

    kl_weights: Doubles
    log_lik: Doubles
    kl: Doubles
    complexity: Doubles
    structures: list[xr.Dataset]
    rows: int

    @classmethod
    def of(
        cls, post: KLWeightPath, weights: Sequence[float], data: Data, draws: int, seed: int
    ) -> _Path:
        table, structures = [], []
        for kl_weight in weights:
            here = post.at(kl_weight)
            metrics, sizes = here.evaluate(data, draws=draws, seed=seed), here.complexity()
            complexity = sizes.get("parametric_complexity", metrics["kl"])
            table.append((metrics["expected_log_lik"], metrics["kl"], complexity))
            structures.append(here.structure())
        log_lik, kl, complexities = np.array(table, dtype=np.float64).T
        rows = len(split_of(here.model, data))
        return cls(np.array(weights), log_lik, kl, complexities, structures, rows)

    def objective(self) -> Doubles:
        """L at every λ, in nats."""
        return self.log_lik - self.kl_weights * self.kl

    def penalty_of_an_example(self) -> float:
        return float(self.kl_weights[0] * self.kl[0] / self.rows)

    def rank_correlation(self) -> float:
        from scipy.stats import spearmanr

        if np.ptp(self.complexity) == 0:
            return 0.0
        return float(spearmanr(self.kl_weights, self.complexity).statistic)

    def jumps(self) -> float:
        fine, coarse = (np.abs(np.diff(self.objective()[::step])).max() for step in (1, 2))
        return float(fine / coarse) if coarse > 0 else 0.0

    def decades(self) -> float:
        finite = self.kl_weights[np.isfinite(self.objective())]
        return float(np.log10(finite[-1] / finite[0])) if len(finite) else 0.0


def _evidence_gap(
    post: KLWeightPath, weights: Sequence[float], data: Data, draws: int, seed: int, rows: int
) -> float:
    if not weights[0] <= 1 <= weights[-1]:
        return math.nan
    try:
        here: Posterior = post.at(1.0)
    except ValueError:  # of a list of λ without 1
        return math.nan
    bound = here.evidence(data, method="elbo", draws=draws, seed=seed)
    evidence = here.evidence(data, draws=max(draws, 200), seed=seed)
    return (evidence.log_evidence - bound.log_evidence) / rows


def _largest_divergence(structures: Sequence[xr.Dataset]) -> float:
    if "events" not in structures[0].attrs:
        return math.nan
    return max(
        min(structure_divergence(q, p), structure_divergence(p, q))
        for q, p in itertools.combinations(structures, 2)
    )


def _at_most(value: float, most: float) -> tuple[bool, float]:
    return value <= most, value


def _more_than(value: float, least: float) -> tuple[bool, float]:
    return value > least, value


def _checked(kl_weights: Sequence[float]) -> list[float]:
    weights = [positive("kl_weights", each) for each in kl_weights]
    rising = all(low < high for low, high in itertools.pairwise(weights))
    if len(weights) < LEAST_POINTS or not rising:
        raise ValueError(
            f"kl_weights must be at least {LEAST_POINTS} rising KL weights, got {shown(kl_weights)}"
        )
    return weights
