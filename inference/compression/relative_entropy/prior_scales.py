"""Prior scales of a posterior that is coded: the best ones at first, those of the file at last."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bayesnas.models.networks.gaussian import GaussianNet


@torch.no_grad()
def use_best_prior(model: GaussianNet) -> None:
    r"""Give every layer whose prior scale is learned the one that makes its KL least, at once.

    It is :math:`s^2 = \frac1n \sum_i (\mu_i^2 + \sigma_i^2)` over the kept weights of the layer.
    Adam moves ln s by no more than the learning rate a step, and from a scale of 1 it would take
    a fit of a trained network longer than all the rest: until then the KL is far above.

    >>> import bayesnas as bn
    >>> model = bn.models.GaussianNet(bn.nn.mlp([9, 4, 2]), prior_scale="learned")
    >>> use_best_prior(model)
    >>> least = model.parametric_complexity("layer")
    >>> kl = sum(model.posterior(s).divergences(model.prior(s)).sum() for s in model.layers.shapes)
    >>> bool(torch.isclose(kl, least))
    True
    """
    log_scale = model.log_prior_scale
    if not isinstance(log_scale, nn.Parameter):
        return
    squares: dict[int, list[Tensor]] = {}
    for site, layer in model.layers.layer_index.items():
        loc, scale = model.weight_posteriors()[site]
        kept = model.keep_masks()[site].to(loc.device)
        squares.setdefault(layer, []).append((loc.square() + scale.square())[kept])
    for layer, pieces in squares.items():
        every = torch.cat(pieces)
        if len(every):
            log_scale[layer] = every.mean().log() / 2


@torch.no_grad()
def round_prior(model: GaussianNet) -> None:
    """Give the prior scales the numbers of half precision that a file says, and keep them."""
    log_scale = model.log_prior_scale
    assert isinstance(log_scale, Tensor)
    log_scale.copy_(log_scale.exp().half().to(log_scale).log())
    log_scale.requires_grad_(False)
