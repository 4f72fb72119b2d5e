"""A KL weight chosen by how well it predicts rows that were held out."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from bayesnas.checks import draw_count, non_negative, seed_number
from bayesnas.distributions import LogUniform
from bayesnas.files import path_of
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.evaluation.metrics import row_losses
from bayesnas.inference.posterior.amortized import AmortizedPosterior
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.inference.posterior.kl_weights.kl_weight_list import kl_weights_to_choose_from
from bayesnas.inference.posterior.load import posterior_of
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.runs.run_folder import RUN, run_is_there, warn_not_saved
from bayesnas.inference.training.fit_options import FitArguments
from bayesnas.inference.training.run_fit import run_fit
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.launched import speaks
from bayesnas.tensor_files import read_json
from bayesnas.typed import typed

ALONG = LogUniform(0.03, 1.0)
"""The range that ``kl_weight="validation"`` chooses from."""

RANGE_FOLDER = "range"
"""Where such a fit keeps the one over the whole range, below its own folder."""

_LOG = logging.getLogger("bayesnas")


@typed(unchecked=("validation",))
def choose_kl_weight(
    posts: KLWeightPath,
    validation: Data,
    *,
    kl_weights: Sequence[float] | None = None,
    tolerance: float = 1.0,
    draws: int = 64,
    seed: int = 0,
) -> Posterior:
    r"""The posterior at the KL weight that predicts held-out rows, the nearest to 1 but for chance.

    With :math:`\ell_i(\lambda)` the negative log predictive density of row i of n, and
    :math:`\lambda^*` where its mean is the lowest, of all λ with

    .. math:: \operatorname{mean}_i d_i \le \text{tolerance} \cdot
        \frac{\operatorname{std}_i d_i}{\sqrt n}, \qquad d_i = \ell_i(\lambda) - \ell_i(\lambda^*),

    the one is taken whose logarithm is the nearest to 0. That is the one-standard-error rule
    (Breiman, Friedman, Olshen, Stone, 1984) with the error of the difference, row by row: at
    λ = 1 is the posterior itself, and held-out rows have to speak against it. What is found at
    another λ is the posterior of a tempered likelihood (Wenzel et al. 2020); its bound is none of
    the evidence. Nothing is trained.

    Args:
        posts: a fit over a range of KL weights, or of several.
        validation: data that nothing was fitted to and nothing will be tested on.
        kl_weights: to choose from; None: those that were fitted, or nine over the range.
        tolerance: standard errors that the loss may lie above the lowest; 0 takes the lowest.
        draws: from the guide, over which predictions are averaged.
        seed: of the draws, the same at every KL weight.

    Returns:
        the posterior; its ``kl_weight`` says what was chosen.

    Raises:
        ValueError: for a KL weight that was not fitted, or none, or a fit that is over other
            metaparameters, too: hold these first, ``posts.given(...)``.

    References:
        Breiman, Friedman, Olshen, Stone, *Classification and regression trees*, 1984; Wenzel, Roth,
        Veeling et al., *How good is the Bayes posterior in deep neural networks really?*, ICML
        2020.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits", validation=0.2)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 10, 10]))
    >>> posts = bn.fit(model, data.train, kl_weight=[1, 0.1], steps=20)
    >>> bn.inference.choose_kl_weight(posts, data.validation).kl_weight in (1, 0.1)
    True
    """
    tolerance, seed = non_negative("tolerance", tolerance), seed_number("seed", seed)
    draws = draw_count("draws", draws)
    from_these = kl_weights_to_choose_from(posts, kl_weights)
    fits = [posts.at(float(kl_weight)) for kl_weight in from_these]
    sample = posts._sample(validation)
    losses = torch.stack(
        [row_losses(post.model, sample, seed=seed, draws=draws) for post in fits]
    )  # [λ, rows]
    chosen = nearest_to_one(from_these, losses, tolerance)
    _LOG.info(
        "λ = %.3g by %d held-out rows: log loss %.4g, the lowest %.4g",
        from_these[chosen],
        losses.shape[1],
        losses[chosen].mean(),
        losses.mean(1).min(),
    )
    return fits[chosen]


def nearest_to_one(kl_weights: Sequence[float], losses: Tensor, tolerance: float) -> int:
    """Index of the KL weight nearest to 1 whose loss is as low as the lowest, but for chance.

    Args:
        kl_weights: λ.
        losses: of every λ and row, ``[λ, rows]``.
        tolerance: standard errors of the difference that are chance.
    """
    best = int(losses.mean(1).nan_to_num(math.inf).argmin())
    above = losses - losses[best]
    error = above.std(1, correction=min(1, losses.shape[1] - 1)) / math.sqrt(losses.shape[1])
    good = above.mean(1) <= tolerance * error
    near = [index for index in range(len(kl_weights)) if good[index] or index == best]
    return min(near, key=lambda index: (_from_one(kl_weights[index]), losses[index].mean().item()))


def _from_one(kl_weight: float) -> float:
    return abs(math.log(kl_weight)) if kl_weight else math.inf


def fit_by_validation(model: BayesianModel, data: Data, arguments: FitArguments) -> Posterior:
    """Fit along :data:`ALONG`, and choose on ``arguments.validation``; see ``bayesnas.fit``.

    With ``out`` the fit over the range is saved in the folder ``range`` in it, and the posterior
    that was chosen in ``out`` itself.
    """
    validation, out = arguments.validation, arguments.out
    if validation is None:
        raise ValueError("kl_weight='validation' needs validation=, data that is not trained on")
    for name in ("bilevel", "objective", "metaparameters"):
        if getattr(arguments, name) is not None:
            raise ValueError(
                f"{name} can't come with kl_weight='validation': it is chosen by λ alone"
            )
    folder = None if out is None else path_of("out", out)
    if folder is not None and not arguments.resume and (folder / RUN).exists():
        raise run_is_there(folder, [RUN])
    along = dataclasses.replace(
        arguments,
        kl_weight=ALONG,
        validation=None if arguments.patience is None else validation,
        out=None if folder is None else folder / RANGE_FOLDER,
    )
    posts = posterior_of(*run_fit(model, data, along))
    assert isinstance(posts, AmortizedPosterior)
    post = choose_kl_weight(posts, validation, seed=posts.settings.seed)
    if folder is not None and speaks():
        _save(post, folder)
    return post


def _save(post: Posterior, folder: Path) -> None:
    if (folder / RUN).exists():  # resumed
        before = read_json(folder / RUN)["settings"]["kl_weight"]
        if before != post.kl_weight:
            raise ValueError(
                f"out: {folder} holds the posterior at λ = {before}, these validation rows choose "
                f"λ = {post.kl_weight}"
            )
        return
    try:
        post.save(folder)
    except OSError as error:
        warn_not_saved(error)
