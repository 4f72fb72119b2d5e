"""Cross-validation: how well a model that sees a part of the data predicts the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bayesnas.checks import draw_count, non_negative, seed_number, whole_number
from bayesnas.inference.config.inputs import Data, checked_tensors
from bayesnas.inference.fit import fit
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.base import BayesianModel
from bayesnas.typed import typed


@dataclass(frozen=True)
class CrossValidated:
    """The expected log predictive density of a model, from held-out parts.

    Attributes:
        elpd: Σ_i ln p(y_i | x_i, the parts without i), in nats; the larger, the better.
        se: its standard error over the parts.
        folds: the sum of every part.
    """

    elpd: float
    se: float
    folds: tuple[float, ...]


@typed(unchecked=("data",))
def cross_validate(
    model: BayesianModel,
    data: Data,
    *,
    folds: int = 5,
    kl_weight: float = 1.0,
    draws: int = 32,
    seed: int = 0,
    **options: Any,
) -> CrossValidated:
    """Fit a model once for each part left out, and score it there.

    Args:
        model: it is copied, and never changed.
        data: the training data, in ``folds`` parts of nearly equal size, drawn at random.
        folds: number of parts, from 2 to the number of rows.
        kl_weight: λ of the fits.
        draws: weights drawn, over which predictions are averaged; 0 for posterior means.
        seed: of the parts and of the fits.
        options: of ``bayesnas.fit``: ``steps``, ``lr``, ...

    Raises:
        ValueError: naming an argument that does not fit.
        TypeError: naming data that are no part of a data set and no pair.

    References:
        Stone, *Cross-validatory choice and assessment of statistical predictions*, 1974.

    >>> import torch, bayesnas as bn
    >>> x = torch.linspace(-1, 1, 12)[:, None]
    >>> model = bn.models.GaussianNet(bn.nn.mlp([1, 1]), likelihood="gaussian", noise_scale=1.0)
    >>> validated = cross_validate(model, (x, x[:, 0]), folds=3, steps=3)
    >>> len(validated.folds)
    3
    """
    sample = checked_tensors(model, data, "data")
    folds = whole_number("folds", folds, 2, len(sample))
    draws, seed = draw_count("draws", draws, 0), seed_number("seed", seed)
    kl_weight = non_negative("kl_weight", kl_weight)
    order = np.random.default_rng(seed).permutation(len(sample))
    options = {"progress": False, **options}
    sums = []
    for part in np.array_split(order, folds):
        rest = torch.from_numpy(np.setdiff1d(order, part))
        post = fit(model, sample.rows(rest), kl_weight=kl_weight, seed=seed, **options)
        assert isinstance(post, Posterior)  # of one λ
        held_out = sample.rows(torch.from_numpy(part))
        sums.append(-post.evaluate(held_out, draws=draws, seed=seed)["nll"] * len(part))
    error = float(np.std(sums, ddof=1)) * math.sqrt(folds)
    return CrossValidated(float(np.sum(sums)), error, tuple(map(float, sums)))
