"""Groups of weights that stand or fall together: input units of a layer, or its filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from bayesnas.nn.modules.stochastic_layers import TRANSPOSED, Rule


@dataclass(frozen=True)
class Groups:
    """The groups of one layer.

    Attributes:
        on: ``"in"``, the input units of a linear layer, or ``"out"``, the filters of a
            convolution.
        count: how many there are.
        weight_axis: the axis of the layer's weight along which they lie.
    """

    on: Literal["in", "out"]
    count: int
    weight_axis: int

    def axis(self, leaf: str) -> int | None:
        """The groups' axis in a parameter of the layer; None where it belongs to no group.

        >>> from torch import nn
        >>> conv = groups_of(nn.Conv2d(3, 8, 5))
        >>> conv.axis("weight"), conv.axis("bias")
        (0, 0)
        >>> groups_of(nn.Linear(4, 2)).axis("bias") is None
        True
        """
        if leaf == "weight":
            return self.weight_axis
        return 0 if self.on == "out" else None


def groups_of(layer: nn.Module) -> Groups:
    """The groups of a linear or convolution layer.

    Raises:
        ValueError: for a layer of another kind.
    """
    weight = getattr(layer, "weight", None)
    if isinstance(layer, nn.Linear):
        return Groups("in", layer.in_features, 1)
    if isinstance(layer, TRANSPOSED) and layer.groups == 1:
        return Groups("out", layer.out_channels, 1)
    if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return Groups("out", layer.out_channels, 0)
    raise ValueError(
        "the rule 'stochastic' must pick linear and ungrouped convolution layers alone, "
        f"got {type(layer).__name__}" + ("" if weight is not None else " without a weight")
    )


def find_groups(net: nn.Module, rule: Rule) -> dict[str, Groups]:
    """The groups of every layer that the rule picks, by layer name."""
    return {
        name: groups_of(module)
        for name, module in net.named_modules()
        if rule(name, module) and any(True for _ in module.parameters(recurse=False))
    }
