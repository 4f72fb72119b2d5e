"""Layers whose width is a mixture: options share one square weight, and Γ says which is there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import whole_number
from bayesnas.distributions import GaussianWeights
from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.models.base import BayesianModel
from bayesnas.nn import Graph, SelectInputs
from bayesnas.nn.graphs.edge_groups import Gamma
from bayesnas.nn.graphs.topology import Edge, Primitives, Vertex

IDENTITY = "identity"
"""The option that hands the layer's input on."""


def mixed_width_graph(inputs: int, layers: int, widths: Sequence[int], classes: int) -> Graph:
    r"""A network of ``layers`` tanh layers of mixed width, and a linear layer on top.

    .. math::
        h_l = \gamma^l_0 h_{l-1} + \sum_{k \ge 1} \gamma^l_k\, m_k \odot \tanh(W_l h_{l-1} + b_l),
        \qquad h_0 = x, \quad m_k = 1_{i < w_k}

    All options of a layer but the identity are the first :math:`w_k` units of one square weight.

    Args:
        inputs: d, the side of every weight.
        layers: how many have a Γ.
        widths: w, of the options beside the identity, rising, at most d.
        classes: outputs.

    Raises:
        ValueError: for widths that do not rise from 1 to at most ``inputs``, or no layer.

    >>> graph = mixed_width_graph(8, 2, [2, 8], 3)
    >>> graph.mixed, graph.names["z1", "h1"]
    ((('z1', 'h1'), ('z2', 'h2')), ('identity', '2', '8'))
    """
    layers = whole_number("layers", layers, 1)
    widths = [whole_number("widths", width, 1) for width in widths]
    if not widths or widths != sorted(set(widths)) or widths[-1] > inputs:
        raise ValueError(f"widths must rise from 1 to at most {inputs}, got {widths}")
    edges: dict[tuple[Vertex, Vertex], Primitives] = {}
    for i in range(1, layers + 1):
        before, units, both, after = f"h{i - 1}", f"t{i}", f"z{i}", f"h{i}"
        edges[before, units] = nn.Sequential(nn.Linear(inputs, inputs), nn.Tanh())
        edges[before, both] = nn.Identity()
        edges[units, both] = nn.Identity()
        edges[both, after] = {
            IDENTITY: SelectInputs(list(range(inputs))),
            **{str(width): _first_units(width, inputs) for width in widths},
        }
    edges[f"h{layers}", "y"] = nn.Linear(inputs, classes)
    together: dict[Vertex, str] = {f"z{i}": "concat" for i in range(1, layers + 1)}
    return Graph(edges, example=torch.zeros(2, inputs), aggregation=together)


def _first_units(width: int, inputs: int) -> nn.Module:
    """Of the layer's input and its units, the first units, then zeros."""
    kept = SelectInputs(list(range(inputs, inputs + width)))
    return nn.Sequential(kept, nn.ZeroPad1d((0, inputs - width)))


class MixedWidthNet(LatentStructureNet):
    r"""Γ and weights of :func:`mixed_width_graph`; the prior of a weight follows its unit's γ.

    .. math::
        w^l_{ij} \mid \gamma \sim N(0, \max(c^l_i, \epsilon)^2 s^2), \qquad
        c^l_i = \sum_{k:\, w_k > i} \gamma^l_k

    c is the γ of all options that unit i is part of: with options that share nothing it would be
    the γ of one, as in the source. Arguments are those of ``LatentStructureNet``.
    """

    def reset(self) -> None:
        """As of the class above, with the guide of Γ at its prior."""
        super().reset()
        for group in self.groups:
            logits = getattr(self, f"prior_{group.site}").detach()
            self.structural.assign(f"{group.site}.logits", logits)

    def prior_given(self, site: str, gamma: Gamma) -> GaussianWeights:
        """Prior of one weight tensor given γ; that of the last layer does not depend on it."""
        layer = _layer_of(site)
        if layer is None:
            return super().prior_given(site, gamma)
        edge = f"z{layer}", f"h{layer}"
        prior = self.prior(site)
        there = unit_shares(self.graph, edge, gamma[edge]).clamp_min(self.gamma_floor)
        ones = (1,) * (len(prior.event_shape) - 1)
        scale = prior.scale * there.reshape(-1, *ones)
        return GaussianWeights(prior.loc, scale, shape=prior.event_shape, keep=prior.keep)

    def config(self) -> dict[str, Any]:
        """TypeError: it is no model of the zoo, so a saved run is loaded with ``model=``."""
        return BayesianModel.config(self)


def option_costs(graph: Graph) -> dict[tuple[Vertex, Vertex], list[float]]:
    """Weights and biases of every option of a layer, its inputs all there.

    >>> option_costs(mixed_width_graph(4, 1, [1, 2], 3))
    {('z1', 'h1'): [0.0, 5.0, 10.0]}
    """
    inputs = graph.shapes[graph.input][0]
    return {
        edge: [float(_width(name) * (inputs + 1)) for name in graph.names[edge]]
        for edge in graph.mixed
    }


def unit_shares(graph: Graph, edge: Edge, gamma: Tensor) -> Tensor:
    """By unit of a layer, γ of all options that it is part of, ``[inputs]``.

    Args:
        graph: of :func:`mixed_width_graph`.
        edge: of the options.
        gamma: ``[K]``.

    >>> graph = mixed_width_graph(4, 1, [1, 2], 3)
    >>> unit_shares(graph, ("z1", "h1"), torch.tensor([0.5, 0.3, 0.2]))
    tensor([0.5000, 0.2000, 0.0000, 0.0000])
    """
    units = torch.arange(graph.shapes[edge[1]][0], device=gamma.device)
    widths = torch.tensor([_width(name) for name in graph.names[edge]], device=gamma.device)
    return gamma @ (units < widths[:, None]).to(gamma)


def _width(option: str) -> int:
    return 0 if option == IDENTITY else int(option)


def _layer_of(site: str) -> str | None:
    """The layer that a weight of the graph is of, ``"1"`` and so on; None for the last one."""
    _, edge, *_ = site.split(".")
    target = edge.split("->")[1]
    return target[1:] if target.startswith("t") else None


def narrow_widths(options: Sequence[str], inputs: int, classes: int) -> list[int]:
    """Inputs, units of every layer that is there, and outputs of the network of chosen options.

    Args:
        options: one a layer, names of :func:`mixed_width_graph`.
        inputs: d.
        classes: outputs.

    >>> narrow_widths(["identity", "64", "identity", "16"], 256, 10)
    [256, 64, 16, 10]
    """
    return [inputs, *(_width(option) for option in options if option != IDENTITY), classes]


def parameter_count(options: Sequence[str], inputs: int, classes: int) -> int:
    """Weights and biases of that network.

    >>> parameter_count(["identity", "2"], 4, 3)  # 4 · 2 + 2, 2 · 3 + 3
    19
    """
    sizes = narrow_widths(options, inputs, classes)
    return sum((before + 1) * after for before, after in pairwise(sizes))
