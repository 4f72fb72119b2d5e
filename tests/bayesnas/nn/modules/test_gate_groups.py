"""Groups of weights that share a gate."""

from __future__ import annotations

import torch
from torch import nn

from bayesnas.nn import StochasticLayers, is_linear_or_convolution
from bayesnas.nn.modules.gate_groups import gate_groups


def layers() -> StochasticLayers:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.ConvTranspose2d(3, 5, 2, bias=False), nn.Flatten(), nn.Linear(80, 2)
    )
    return StochasticLayers(net, is_linear_or_convolution)


def test_filters_are_output_channels_with_their_biases() -> None:
    plain, transposed = gate_groups(layers(), "filters")
    assert (plain.site, plain.dims, plain.shape) == ("0.gate", ("0.out",), (3,))
    assert plain.views == {"0.weight": (3, 1, 1, 1), "0.bias": (3,)}
    assert (transposed.dims, transposed.shape) == (("1.out",), (5,))
    assert transposed.views == {"1.weight": (1, 5, 1, 1)}


def test_neurons_are_inputs_of_linear_layers() -> None:
    (group,) = gate_groups(layers(), ["neurons"])
    assert (group.site, group.dims, group.shape) == ("3.gate", ("3.in",), (80,))
    assert group.views == {"3.weight": (1, 80)}


def test_weights_have_a_gate_each_and_biases_none() -> None:
    groups = gate_groups(layers(), "weights")
    assert [group.shape for group in groups] == [(3, 1, 2, 2), (3, 5, 2, 2), (2, 80)]
    assert not any(site.endswith("bias") for group in groups for site in group.views)


def test_a_bare_layer_has_names_without_a_dot() -> None:
    groups = gate_groups(StochasticLayers(nn.Linear(4, 2), is_linear_or_convolution), "neurons")
    assert (groups[0].site, groups[0].dims, list(groups[0].views)) == ("gate", ("in",), ["weight"])


def test_a_gate_is_kept_while_any_of_its_weights_is() -> None:
    group = gate_groups(layers(), "filters")[0]
    masks = {"0.weight": torch.zeros(3, 1, 2, 2).bool(), "0.bias": torch.zeros(3).bool()}
    masks["0.weight"][0, 0, 1, 1] = True
    masks["0.bias"][2] = True
    assert group.any_kept(masks).tolist() == [True, False, True]
