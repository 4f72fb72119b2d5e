"""The exact evidence of a network that is one linear layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributions import LowRankMultivariateNormal

from bayesnas.likelihoods import Gaussian, Likelihood


@torch.no_grad()
def linear_log_evidence(
    net: nn.Module, likelihood: Likelihood, scales: Mapping[str, Tensor], x: Tensor, y: Tensor
) -> Tensor | None:
    r"""Ln p(y | x) where :math:`y \sim N(Xw, \sigma^2)` and :math:`w \sim N(0, S^2)`, in nats.

    Args:
        net: the network.
        likelihood: of its outputs.
        scales: prior standard deviation of every parameter that has a prior, by site, in the
            shape of the parameter.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.

    Returns:
        a scalar; None for more than one linear layer of one output with Gaussian noise, or where
        not all of its parameters have a prior.
    """
    layer = _only_layer(net)
    if layer is None or layer.out_features != 1 or not isinstance(likelihood, Gaussian):
        return None
    if len(scales) != 1 + (layer.bias is not None):
        return None
    inputs = x.double().flatten(1)
    columns = {"weight": inputs, "bias": torch.ones_like(inputs[:, :1])}
    design = torch.cat([columns[site.rpartition(".")[2]] for site in scales], 1)
    deviations = torch.cat([scale.double().flatten() for scale in scales.values()])
    noise = likelihood.noise_scale.double().square().expand(len(x))
    evidence = LowRankMultivariateNormal(torch.zeros_like(noise), design * deviations, noise)
    log_prob: Tensor = evidence.log_prob(likelihood.target(y).double().reshape(len(x)))
    return log_prob


def _only_layer(net: nn.Module) -> nn.Linear | None:
    """The linear layer of a net that is nothing else, but for flattening; None of others."""
    modules = list(net) if type(net) is nn.Sequential else [net]
    rest = [m for m in modules if type(m) not in (nn.Flatten, nn.Identity)]
    return rest[0] if len(rest) == 1 and type(rest[0]) is nn.Linear else None
