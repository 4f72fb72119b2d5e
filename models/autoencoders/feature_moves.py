"""Moves between solutions of a model whose examples have features: merge two, drop one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from bayesnas.models.autoencoders.binary_bound import FeatureAutoencoder

_LEAST_CORRELATION = 0.8  # of two features worth an attempt to merge them
_LEAST_SPREAD = 1e-3  # standard deviation of q(z = 1 | x) over examples; below it nothing to drop
_LOG_PRECISION_UNSEEN = -4.0  # of a strength whose posterior is its prior, to 1 %


def feature_moves(model: FeatureAutoencoder, x: Tensor) -> Iterator[Callable[[], None]]:
    r"""Merges of two features, then drops of one, the likeliest gains first.

    Where two features share what one could say, gradients move a fit but slowly, since weights
    with one sum decode to the same. A merge goes there at once. For features that are on in the
    same examples, and for those that are on in opposite ones, :math:`z_j = 1 - z_i`, it is

    .. math::
        W_i \leftarrow W_i + W_j, \qquad \text{or}\qquad
        W_i \leftarrow W_i - W_j,\quad b \leftarrow b + W_j,

    with i the one that is surer of its examples, and j is dropped. The logits of q(z_i | x) stay
    what they are, or become the sum of both (the difference). What is dropped has the prior
    of z as its q(z) and is not decoded; the mean of what it added goes to the bias. Only features
    without strengths are merged, since two strengths are two numbers.

    Args:
        model: to be changed. Every move is one of the model as it stands when that move is asked
            for, so some may have been made before.
        x: examples ``[n, *shape]``, which tell what features have in common.

    Yields:
        functions that change the parameters in place.

    References:
        Hughes, Sudderth, *Memoized online variational inference for Dirichlet process mixture
        models*, 2013: merges that the bound decides on.
    """
    if not model.factors:
        for i, j in _pairs(model.activity(x)):
            for share in (0.0, 1.0):
                active = model.activity(x)[:, [i, j]]
                if float(active.std(0).min()) > _LEAST_SPREAD:
                    sign = float(active.T.corrcoef()[0, 1].sign())
                    yield partial(_merge, model, i, j, sign, share)
    for j in model.activity(x).std(0).argsort().tolist():
        if float(model.activity(x)[:, j].std()) > _LEAST_SPREAD:
            yield partial(_drop, model, j, float(model.encode(x)[:, j].mean()))


def _pairs(active: Tensor) -> list[tuple[int, int]]:
    """Correlated features, most correlated first, and of a pair the more decided one first."""
    spread = active.std(0)
    centred = (active - active.mean(0)) / spread.clamp_min(_LEAST_SPREAD)
    alike = (centred.T @ centred / len(active)).abs().triu(1)
    pairs = (alike > _LEAST_CORRELATION).nonzero()
    ranked = pairs[alike[pairs[:, 0], pairs[:, 1]].argsort(descending=True)].tolist()
    return [(i, j) if spread[i] >= spread[j] else (j, i) for i, j in ranked]


@torch.no_grad()
def _merge(model: FeatureAutoencoder, i: int, j: int, sign: float, share: float) -> None:
    """Let i say what both said; ``sign`` of their correlation, ``share`` c of j's logits."""
    model.first.weight[:, i] += sign * model.first.weight[:, j]
    heads, logits = model.networks.heads, model.gate_logits(torch.zeros(()), model.scales().logit())
    heads.weight[i] += sign * share * heads.weight[j]
    heads.bias[i] += sign * share * (heads.bias[j] + logits[j])
    _drop(model, j, 0.0 if sign > 0 else 1.0)


@torch.no_grad()
def _drop(model: FeatureAutoencoder, j: int, mean: float) -> None:
    """Take a feature away, ``mean`` the mean of its z ⊙ a."""
    model.first.bias.add_(mean * model.first.weight[:, j])
    model.first.weight[:, j] = 0.0
    rows = slice(j, None, model.latents)  # of h, and of m and ln r where there are strengths
    model.networks.heads.weight[rows] = 0.0
    model.networks.heads.bias[rows] = 0.0
    model.networks.heads.bias[j] = model.evidence_of_nothing()[j]
    if model.factors:
        model.networks.heads.bias[2 * model.latents + j] = _LOG_PRECISION_UNSEEN
