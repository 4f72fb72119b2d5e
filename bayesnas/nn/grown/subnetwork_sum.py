"""A weighted sum of subnetworks, each of which may read layers of the earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bayesnas.checks import size
from bayesnas.nn.rebuilding.module_classes import register_module
from bayesnas.typed import typed


class Subnetwork(nn.Module):
    """Layers of ReLU units: each reads the last one and the same of every earlier subnetwork.

    Args:
        widths: of its layers.
        inputs: d.
        earlier: widths of the layers of the earlier subnetworks.
        outputs: k.
    """

    def __init__(
        self, widths: Sequence[int], inputs: int, earlier: Sequence[Sequence[int]], outputs: int
    ) -> None:
        """Make the layers; see the class."""
        super().__init__()
        self.layers = nn.ModuleList()
        read = inputs
        for depth, width in enumerate(widths):
            self.layers.append(nn.Linear(read, width))
            read = width + sum(other[depth] for other in earlier if len(other) > depth)
        self.output = nn.Linear(widths[-1] if widths else inputs, outputs)

    def forward(
        self, x: Tensor, earlier: Sequence[Sequence[Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """Outputs ``[n, k]``, and the units of each layer."""
        units: list[Tensor] = []
        read = x
        for depth, layer in enumerate(self.layers):
            units.append(torch.relu(layer(read)))
            beside = [other[depth] for other in earlier if len(other) > depth]
            read = torch.cat([units[-1], *beside], 1)
        return self.output(units[-1] if units else x), units


@register_module
class SubnetworkSum(nn.Module):
    r"""The sum :math:`f(x) = \sum_k w_k h_k(x)` of subnetworks h_k with mixture weights w_k.

    Layer s + 1 of a subnetwork reads its own layer s and those of the earlier subnetworks that have
    one; a subnetwork without layers is linear in the inputs. Inputs ``[n, ...]`` are flattened to
    ``[n, d]``, outputs are ``[n, k]``.

    Args:
        inputs: d.
        outputs: k.
        widths: one sequence a subnetwork: the widths of its layers.

    Raises:
        TypeError: for widths that are no sequence of sequences.
        ValueError: naming a number below 1.

    References:
        Cortes, Gonzalvo, Kuznetsov, Mohri, Yang, *AdaNet: adaptive structural learning of
        artificial neural networks*, ICML 2017.

    >>> net = SubnetworkSum(4, 3, [[], [8], [8, 8]])
    >>> net(torch.zeros(2, 4)).shape, net.subnetworks[2].layers[1].in_features
    (torch.Size([2, 3]), 16)
    """

    @typed()
    def __init__(self, inputs: int, outputs: int, widths: Sequence[Sequence[int]]) -> None:
        """Make the subnetworks, all mixture weights 1; see the class."""
        super().__init__()
        self.inputs, self.outputs = size("inputs", inputs), size("outputs", outputs)
        self.widths = [[size("widths", width) for width in each] for each in widths]
        self.subnetworks = nn.ModuleList(
            Subnetwork(each, inputs, self.widths[:place], outputs)
            for place, each in enumerate(self.widths)
        )
        self.mixture = nn.Parameter(torch.ones(len(self.widths)))

    @typed()
    def parts(self, x: Tensor) -> Tensor:
        """Outputs of every subnetwork, ``[subnetworks, n, k]``.

        Raises:
            TypeError: for inputs that are no tensor.
        """
        x = x.flatten(1)
        outputs: list[Tensor] = []
        units: list[list[Tensor]] = []
        for subnetwork in self.subnetworks:
            output, hidden = subnetwork(x, units)
            outputs.append(output)
            units.append(hidden)
        return torch.stack(outputs) if outputs else x.new_zeros(0, len(x), self.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[n, k]``."""
        return torch.einsum("s,snk->nk", self.mixture, self.parts(x))
