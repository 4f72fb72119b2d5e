"""A posterior taken over to the physically smaller net, so that further epochs cost less."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.compression.bayesian_compression import BayesianCompressionNet
from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.pruning.compaction import compact


def shrunk(post: Posterior) -> tuple[Posterior, Tensor | None]:
    """The same posterior without the units, filters and inputs that were removed.

    ``compact`` gives the smaller net but no posterior on it. So it is run on a net whose weights
    are their own places, which says where each weight of the smaller one came from.

    Args:
        post: of a :class:`BayesianCompressionNet`; it stays as it is.

    Returns:
        the posterior, and which inputs its net reads, ``[inputs]``, None for all: a linear first
        layer loses the columns of inputs that were removed.
    """
    model, (x, y) = post.model, post.example
    assert isinstance(model, BayesianCompressionNet)
    net = compact(_places(model), x)
    inputs = _without_unread_inputs(net)
    smaller = _of(net, model)
    example = (x if inputs is None else x[:, inputs], y)
    chain = post.records()[post.best]
    run = dataclasses.replace(post.run, model=smaller)
    return Posterior(
        run, [FittedChain(smaller, chain.history, chain.validation_nll)], example
    ), inputs


def _places(model: BayesianCompressionNet) -> nn.Module:
    """The net with 1 + its flat place as every weight of a kept row and column, biases 0."""
    net, masks = model.plain_module(), model.keep_masks()
    with torch.no_grad():
        for site, parameter in net.named_parameters():
            parameter.zero_()
            if site.endswith("weight") and site in masks:
                kept = masks[site].flatten(2).any(2) if masks[site].ndim > 2 else masks[site]
                connected = kept.any(1)[:, None] & kept.any(0)
                places = torch.arange(1.0, parameter.numel() + 1).reshape(parameter.shape)
                parameter.copy_(
                    places * connected.reshape(*connected.shape, *[1] * (places.ndim - 2))
                )
    return net


def _without_unread_inputs(net: nn.Module) -> Tensor | None:
    """Take the empty columns out of a linear first layer; which stay."""
    layer = next(m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d)))
    if not isinstance(layer, nn.Linear):
        return None
    inputs = layer.weight.any(0).nonzero().squeeze(1)
    layer.weight = nn.Parameter(layer.weight.detach()[:, inputs])
    layer.in_features = len(inputs)
    return inputs


def _of(places: nn.Module, model: BayesianCompressionNet) -> BayesianCompressionNet:
    """The model of a net of places, with the parameters and masks from these places."""
    options = {k: v for k, v in model.config().items() if k not in ("net", "initial_loc")}
    smaller = BayesianCompressionNet(places, initial_loc="net", **options)
    masks, groups = model.keep_masks(), model.keep_groups.masks()
    for name in smaller.layers.names:
        origins, group_origins = _origins(name, smaller, model)
        kept = {site: (at >= 0) & masks[site].flatten()[at] for site, at in origins.items()}
        smaller.keep.assign(kept)
        smaller.keep_groups.assign({name: (group_origins >= 0) & groups[name][group_origins]})
        origins |= {
            dotted(name, variable): group_origins for variable in model.scale_prior.variables
        }
        for parameter in model.variational:
            at = origins.get(parameter.rpartition(".")[0])
            if at is not None:
                value = model.variational[parameter].detach()
                taken = value.flatten()[at] if value.ndim else value
                smaller.variational.assign(parameter, taken)
    return smaller.eval()


def _origins(
    name: str, smaller: BayesianCompressionNet, model: BayesianCompressionNet
) -> tuple[dict[str, Tensor], Tensor]:
    """Where a layer's weights and bias were, flat, by site; and its groups; -1: removed.

    A removed weight is still there where others of its row and column are, as those of an input
    that reads one place of a filter.
    """
    weight, bias = dotted(name, "weight"), dotted(name, "bias")
    at = smaller.layers.initial[weight].long() - 1
    shape = model.layers.shapes[weight]
    rows = _origin(at.flatten(1), shape[0], shape[1:].numel())
    columns = _origin(at.transpose(0, 1).flatten(1), shape[1], shape[2:].numel())
    origins = {weight: at, bias: rows} if bias in model.layers.shapes else {weight: at}
    return origins, columns if model.groups[name].on == "in" else rows


def _origin(places: Tensor, count: int, apart: int) -> Tensor:
    """Which of ``count`` rows or columns these are, from the weights of each, ``[left, ...]``."""
    if len(places) == count:
        return torch.arange(count)
    last = places.amax(1)
    return torch.where(last >= 0, last // apart % count, -1)
