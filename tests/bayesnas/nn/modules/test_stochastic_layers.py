"""Stochastic layers: sites, dims, redrawing and filling."""

from __future__ import annotations

import copy

import torch
from torch import nn

import bayesnas as bn
from bayesnas.nn.modules.stochastic_layers import (
    StochasticLayers,
    is_linear_or_convolution,
    reset_deterministic,
)


def test_dims_name_the_axes_of_every_kind_of_layer() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ConvTranspose1d(2, 3, 2), nn.Conv3d(1, 1, 1, bias=False)
    )
    layers = StochasticLayers(net, is_linear_or_convolution)
    assert layers.dims == {
        "0.weight": ("0.out", "0.in", "0.height", "0.width"),
        "0.bias": ("0.out",),
        "1.weight": ("1.in", "1.out", "1.length"),
        "1.bias": ("1.out",),
        "2.weight": ("2.out", "2.in", "2.depth", "2.height", "2.width"),
    }


def test_a_layer_by_itself_has_plain_names() -> None:
    layers = StochasticLayers(nn.Linear(3, 2), is_linear_or_convolution)
    assert layers.dims == {"weight": ("out", "in"), "bias": ("out",)}


def test_redrawing_is_the_layers_own_initialisation() -> None:
    """Same random state, same numbers as building the network again."""
    layers = StochasticLayers(bn.nn.mlp([4, 6, 3]), is_linear_or_convolution)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        redrawn = layers.redraw()
        torch.manual_seed(0)
        built = dict(bn.nn.mlp([4, 6, 3]).named_parameters())
    assert redrawn.keys() == built.keys()
    assert all(torch.equal(redrawn[name], built[name]) for name in built)


def test_filling_gives_back_the_network() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)).eval()
    hollow = copy.deepcopy(net)
    layers = StochasticLayers(hollow, is_linear_or_convolution)
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    filled = layers.filled(hollow, layers.initial)
    assert torch.equal(filled(x), net(x))
    assert [n for n, _ in filled.named_parameters()] != []
    assert set(dict(filled.named_parameters())) == set(dict(net.named_parameters()))
    assert set(dict(hollow.named_parameters())) == {"1.weight", "1.bias"}


def test_resetting_deterministic_layers_leaves_stochastic_ones_alone() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    layers = StochasticLayers(net, is_linear_or_convolution)
    with torch.no_grad():
        net[1].weight.fill_(5.0)
    reset_deterministic(net, layers)
    assert torch.equal(net[1].weight, torch.ones(2))
