"""Second derivatives of a network's loss in its weights, by torch.func."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap

from bayesnas.likelihoods import Likelihood
from bayesnas.nn.functional_call import functional_call

_LOG = logging.getLogger("bayesnas")

Curvature = Literal["ggn", "fisher"]

_MOST_NUMBERS = 2**22  # of gradients held at once


@dataclass(frozen=True)
class SampleLoss:
    r"""The loss of a network on a sample, and what is known of its curvature.

    .. math:: L(w) = -\frac1N \sum_n \ln p(y_n \mid f(x_n; w)) + \tfrac12 \sum_i a_i w_i^2

    Attributes:
        net: a plain network; it runs in evaluation mode.
        likelihood: of the targets given its outputs.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        penalty: a >= 0 by parameter name, numbers or tensors that broadcast; 0 where missing.
        precision_scale: what a curvature is multiplied with to give the precision of the Laplace
            posterior, N/λ; None for the number of rows of ``x``.
    """

    net: nn.Module
    likelihood: Likelihood
    x: Tensor
    y: Tensor
    penalty: Mapping[str, Tensor] = field(default_factory=dict)
    precision_scale: float | None = None


def curvature_diagonal(
    loss: SampleLoss, sites: Sequence[str], kind: Curvature = "ggn"
) -> dict[str, Tensor]:
    r"""Diagonal of the curvature of a loss.

    ``"ggn"`` is the generalised Gauss–Newton matrix :math:`\frac1N \sum_n J_n^\top A_n J_n`, with
    J the Jacobian of the outputs and A the Hessian of −ln p(y | f) in the outputs: it is the
    Hessian where the outputs are linear in the weights, as in linear and softmax regression, where
    its diagonal is :math:`\frac1N \sum_n x_{ni}^2\, p_{nc} (1 - p_{nc})`. ``"fisher"`` is the
    empirical Fisher matrix :math:`\frac1N \sum_n g_n g_n^\top` of the gradients of −ln p(y | f),
    cheaper by the number of outputs, and no Hessian. Both with the penalty's on top.

    Args:
        loss: the network and the sample.
        sites: names of parameters of the network.
        kind: which matrix.

    Returns:
        by site, float64, of the parameter's shape.

    References:
        LeCun, Denker, Solla, *Optimal brain damage*, NIPS 1990; Martens, *New insights and
        perspectives on the natural gradient method*, JMLR 2020.

    >>> from bayesnas.likelihoods import make_likelihood
    >>> net, x, y = nn.Linear(2, 3).double(), torch.eye(2).double(), torch.tensor([0, 2])
    >>> loss = SampleLoss(net, make_likelihood("categorical"), x, y)
    >>> p = net(x).softmax(-1)
    >>> diagonal = curvature_diagonal(loss, ["weight"])["weight"]
    >>> torch.allclose(diagonal, (p * (1 - p)).T / 2)
    True
    """
    squares = {site: loss.net.get_parameter(site).new_zeros(()).double() for site in sites}
    for rows in _gradient_rows(loss, sites, kind):
        for site, gradients in rows.items():
            norms = torch.linalg.vector_norm(gradients, dim=0)
            squares[site] = squares[site] + norms.double().square()
    return {
        site: value / len(loss.x) + torch.as_tensor(loss.penalty.get(site, 0.0)).to(value)
        for site, value in squares.items()
    }


def curvature_matrix(loss: SampleLoss, sites: Sequence[str]) -> Tensor:
    """The generalised Gauss–Newton matrix of a loss over all entries of some parameters.

    Args:
        loss: the network and the sample.
        sites: names of parameters of the network; their entries follow one another, flat.

    Returns:
        ``[weights, weights]``, float64, with the penalty on its diagonal.
    """
    values = {site: loss.net.get_parameter(site).detach() for site in sites}
    size = sum(value.numel() for value in values.values())
    matrix = torch.zeros(size, size, dtype=torch.float64, device=loss.x.device)
    for rows in _gradient_rows(loss, sites, "ggn"):
        stacked = torch.cat([rows[site].flatten(1).double() for site in sites], 1)
        matrix.addmm_(stacked.T, stacked, alpha=1 / len(loss.x))
    penalty = [
        torch.as_tensor(loss.penalty.get(site, 0.0)).to(matrix).expand(value.shape).flatten()
        for site, value in values.items()
    ]
    matrix.diagonal().add_(torch.cat(penalty))
    return matrix


def _gradient_rows(
    loss: SampleLoss, sites: Sequence[str], kind: Curvature
) -> Iterator[dict[str, Tensor]]:
    """Vectors by site, ``[rows, *shape]``, whose outer products add up to N times the matrix."""
    net = loss.net
    was_training = net.training
    numbers = sum(net.get_parameter(site).numel() for site in sites)
    most = max(1, _MOST_NUMBERS // numbers)
    pull_back = _by_vmap
    try:
        net.eval()
        for x, y in zip(loss.x.split(most), loss.y.split(most), strict=True):
            directions = _directions(loss, x, y, kind)
            at_once = max(1, most // directions.shape[1])
            for inputs, vectors in zip(x.split(at_once), directions.split(at_once), strict=True):
                try:
                    rows = pull_back(net, sites, inputs, vectors)
                except RuntimeError as error:
                    if pull_back is _one_by_one:
                        raise
                    _LOG.info("curvature row by row, since vmap fails: %s", str(error)[:80])
                    pull_back = _one_by_one
                    rows = pull_back(net, sites, inputs, vectors)
                yield rows
    finally:
        net.train(was_training)


def _by_vmap(net: nn.Module, sites: Sequence[str], x: Tensor, vectors: Tensor) -> dict[str, Tensor]:
    """Vectors ``[n, vectors, outputs]`` times each row's Jacobian, ``[n · vectors, *shape]``."""
    fixed = {name: parameter.detach() for name, parameter in net.named_parameters()}
    values = {site: fixed[site] for site in sites}

    def pulled_back(row: Tensor, directions: Tensor) -> dict[str, Tensor]:
        def outputs(weights: dict[str, Tensor]) -> Tensor:
            output: Tensor = functional_call(net, fixed | weights, (row[None],))
            return output.flatten()

        pull = vjp(outputs, values)[1]
        gradients: dict[str, Tensor] = vmap(lambda direction: pull(direction)[0])(directions)
        return gradients

    rows = vmap(pulled_back)(x, vectors)
    return {site: each.flatten(0, 1) for site, each in rows.items()}


def _one_by_one(
    net: nn.Module, sites: Sequence[str], x: Tensor, vectors: Tensor
) -> dict[str, Tensor]:
    """The same without vmap, for recurrent layers, branches on the data and the like."""
    fixed = {name: parameter.detach() for name, parameter in net.named_parameters()}
    values = [fixed[site].clone().requires_grad_() for site in sites]
    rows = []
    for row, directions in zip(x, vectors, strict=True):
        with torch.enable_grad():
            weights = fixed | dict(zip(sites, values, strict=True))
            output = functional_call(net, weights, (row[None],)).flatten()
        for direction in directions:
            rows.append(
                torch.autograd.grad(
                    output, values, direction, retain_graph=True, materialize_grads=True
                )
            )
    return {
        site: torch.stack(each) for site, each in zip(sites, zip(*rows, strict=True), strict=True)
    }


def _directions(loss: SampleLoss, x: Tensor, y: Tensor, kind: Curvature) -> Tensor:
    """Vectors in the outputs, ``[n, vectors, outputs]``: gradients, or a root of their Hessian."""
    with torch.no_grad():
        output = loss.net(x)
    with torch.enable_grad():
        output = output.detach().requires_grad_()
        log_lik = loss.likelihood(output).log_prob(loss.likelihood.observed(y, output))
        gradient: Tensor = torch.autograd.grad(-log_lik.sum(), output, create_graph=kind == "ggn")[
            0
        ]
        if kind == "fisher":
            return gradient.flatten(1)[:, None]
        columns = gradient.flatten(1).unbind(1)
        hessian = torch.stack([_second(column, output) for column in columns], 1)
    values, vectors = torch.linalg.eigh(hessian.double())
    roots: Tensor = vectors * values.clamp_min(0).sqrt()[:, None]
    return roots.transpose(1, 2).to(output.dtype)


def _second(column: Tensor, output: Tensor) -> Tensor:
    """Derivatives of one output's gradient in all outputs of its row, ``[n, outputs]``."""
    if not column.requires_grad:  # the loss is linear in this output
        return torch.zeros_like(output).flatten(1)
    second: Tensor = torch.autograd.grad(
        column.sum(), output, retain_graph=True, materialize_grads=True
    )[0]
    return second.flatten(1)
