"""Discrete sites of a user's model summed out: p(y_i | x_i, w) and the mean of y_i given w."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from bayesnas.models.base import BayesianModel


def enumerated(model: BayesianModel, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A program that runs over all values of the sites that the model sums out.

    Args:
        model: says which sites these are, and how deep its plates nest.
        fn: its program, with the other latent sites set.
    """
    if not model.summed_out:
        return fn
    wrapped: Callable[..., Any] = poutine.enum(fn, first_available_dim=-1 - model.plate_depth)
    return wrapped


def summed_log_lik(model: BayesianModel, trace: Any, observed: Iterable[str]) -> Tensor:
    r"""Log-likelihood of every example with discrete sites summed out, ``[n]`` in nats.

    .. math:: p(y_i | w) = \sum_k p(k_i | w) p(y_i | k_i, w)

    Args:
        model: says which sites k are summed out.
        trace: of a program from :func:`enumerated`.
        observed: names of the sites y.

    Raises:
        ValueError: where a summed site is not one of each example by itself.
    """
    dim = _dim_of_examples(model, trace, observed)
    terms = [_by_row(trace.nodes[name], dim) for name in [*sorted(model.summed_out), *observed]]
    log_joint = torch.stack(torch.broadcast_tensors(*terms)).sum(0)
    return log_joint.flatten(0, -2).logsumexp(0) if log_joint.ndim > 1 else log_joint


def summed_mean(model: BayesianModel, trace: Any, means: Tensor) -> Tensor:
    r"""Mean of y for every example with discrete sites summed out, ``[n, ...]``.

    .. math:: E[y_i | w] = \sum_k p(k_i | w) E[y_i | k_i, w]

    Args:
        model: says which sites k are summed out.
        trace: of a program from :func:`enumerated`.
        means: of y given k, ``[..., n, ...]``.

    Raises:
        ValueError: where a summed site is not one of each example by itself.
    """
    target = trace.nodes[model.target_site]
    dim = _dim_of_examples(model, trace, [model.target_site])
    terms = [_by_row(trace.nodes[name], dim) for name in sorted(model.summed_out)]
    log_prior = torch.stack(torch.broadcast_tensors(*terms)).sum(0)
    weights = log_prior.flatten(0, -2).softmax(0).reshape(log_prior.shape)
    inner = means.ndim - len(target["fn"].batch_shape) - dim - 1  # dims after that of examples
    weighted = weights.reshape(*weights.shape, *[1] * inner) * means
    return weighted.sum(tuple(range(weighted.ndim - inner - 1)))


def _dim_of_examples(model: BayesianModel, trace: Any, observed: Iterable[str]) -> int:
    """Dim of the plate of the examples, counted from the right of the batch shapes."""
    dims = set()
    for name in sorted(model.summed_out):
        site = trace.nodes[name]
        frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
        dims |= {frame.dim for frame in frames}
        if len(frames) != 1 or not model.follows_batch(site):
            _refuse(name)
    dim: int = dims.pop()
    outside = [
        frame
        for name in observed
        for frame in trace.nodes[name]["cond_indep_stack"]
        if frame.vectorized and frame.dim < dim
    ]
    if dims or outside:
        _refuse(sorted(model.summed_out)[0])
    return dim


def _refuse(name: str) -> None:
    raise ValueError(
        f"{[name]} are summed out, but not of each example by itself (they must stand in the plate "
        "of the examples and in no other): to evaluate the model write the sum into its "
        "likelihood, as pyro.distributions.MixtureSameFamily does"
    )


def _by_row(site: Any, dim: int) -> Tensor:
    """Log density of a site for all values of what is summed out, ``[..., n]``, as it is scaled."""
    log_prob: Tensor = site["fn"].log_prob(site["value"])
    if isinstance(site["mask"], Tensor):
        log_prob = log_prob.where(site["mask"], log_prob.new_zeros(()))
    log_prob = log_prob * site["scale"]
    return log_prob.flatten(dim + 1).sum(-1) if dim < -1 else log_prob
