"""Akaike's and Schwarz's criteria of a maximum-likelihood fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from bayesnas.inference.config.inputs import Data, split_of
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.base import BayesianModel
from bayesnas.typed import typed


@dataclass(frozen=True)
class InformationCriteria:
    """The log-likelihood of a fit and its criteria; the smaller a criterion, the better.

    Attributes:
        log_lik: ln p(y | x, ŵ) of all rows, in nats.
        parameters: how many numbers were fitted, k.
        aic: 2k − 2 ln p.
        bic: k ln n − 2 ln p.
    """

    log_lik: float
    parameters: int
    aic: float
    bic: float


@typed(unchecked=("data",))
def information_criteria(post: Posterior, data: Data) -> InformationCriteria:
    r"""AIC = 2k − 2 ln p̂ and BIC = k ln n − 2 ln p̂ of a fit by maximum likelihood.

    Both come from expansions about a maximum of the likelihood with many more examples than
    parameters; a network has neither one maximum nor so many examples, and its k overstates how
    much it fits. −BIC/2 approximates the log evidence to O(1).

    Args:
        post: a fit at ``kl_weight=0``, whose posterior means are the maximum-likelihood estimate.
        data: its training data.

    Raises:
        ValueError: for a fit at another λ.
        TypeError: for a model that has no plain module, whose parameters are counted.

    References:
        Akaike, *A new look at the statistical model identification*, 1974; Schwarz, *Estimating
        the dimension of a model*, 1978.

    >>> import torch, bayesnas as bn
    >>> model = bn.models.GaussianNet(bn.nn.mlp([1, 1]), likelihood="gaussian", noise_scale=1.0)
    >>> x = torch.linspace(-1, 1, 10)[:, None]
    >>> post = bn.fit(model, (x, x[:, 0]), kl_weight=0.0, steps=400, lr=0.05)
    >>> scores = information_criteria(post, (x, x[:, 0]))
    >>> scores.parameters, round(scores.aic - 4, 1)  # −2 ln p is n ln 2π where all is met exactly
    (2, 18.4)
    """
    if post.kl_weight != 0:
        raise ValueError(
            "post must be a fit by maximum likelihood, kl_weight=0, got "
            f"kl_weight={post.kl_weight:g}"
        )
    log_lik = post.evaluate(data, draws=0)["expected_log_lik"]
    count = fitted_numbers(post.model)
    rows = len(split_of(post.model, data))
    aic, bic = 2 * count - 2 * log_lik, count * math.log(rows) - 2 * log_lik
    return InformationCriteria(log_lik, count, aic, bic)


def fitted_numbers(model: BayesianModel) -> int:
    """How many numbers a plain module of the model and its likelihood were fitted with."""
    removed = sum(int((~mask).sum()) for mask in model.keep_masks().values())
    fitted = list(model.plain_module().parameters())
    likelihood = getattr(model, "likelihood", None)
    if isinstance(likelihood, nn.Module):
        fitted += likelihood.parameters()
    return sum(p.numel() for p in fitted) - removed
