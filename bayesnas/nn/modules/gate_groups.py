"""Which weights of a network share a gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.nn.modules.stochastic_layers import StochasticLayers

KINDS = ("weights", "neurons", "filters")


@dataclass(frozen=True)
class GateGroup:
    """The gates of one layer.

    Attributes:
        site: name, ``layer1.gate``.
        dims: names of its dims, ``("layer1.in",)``.
        shape: how many gates there are.
        views: by weight site that they multiply, the shape that broadcasts against it.
    """

    site: str
    dims: tuple[str, ...]
    shape: torch.Size
    views: dict[str, tuple[int, ...]]

    def any_kept(self, masks: dict[str, Tensor]) -> Tensor:
        """Whether a gate has a weight left, given the masks of the weights."""
        kept = torch.zeros(self.shape, dtype=torch.bool)
        for site, view in self.views.items():
            mask = masks[site]
            shared = [axis for axis, size in enumerate(view) if size == 1 < mask.shape[axis]]
            reduced = mask.any(shared) if shared else mask
            kept = kept.to(mask.device) | reduced.reshape(self.shape)
        return kept


def gate_groups(layers: StochasticLayers, gates: str | Sequence[str]) -> list[GateGroup]:
    """Gates for the weights of a network.

    Args:
        layers: the stochastic layers.
        gates: ``"weights"``: one gate a weight (biases have none); ``"neurons"``: one an input of
            every linear layer, so that a hidden neuron, or a feature, goes as a whole;
            ``"filters"``: one an output channel of every convolution, bias included; or both of
            the latter in a sequence.

    Raises:
        ValueError: for an unknown kind, or one that the network has no layer for.

    >>> from bayesnas.nn import is_linear_or_convolution, mlp
    >>> layers = StochasticLayers(mlp([4, 8, 3]), is_linear_or_convolution)
    >>> [(group.site, group.dims) for group in gate_groups(layers, "neurons")]
    [('layer1.gate', ('layer1.in',)), ('layer2.gate', ('layer2.in',))]
    """
    kinds = (gates,) if isinstance(gates, str) else tuple(gates)
    if not kinds or any(kind not in KINDS for kind in kinds):
        raise ValueError(f"gates must be one of {list(KINDS)}, got {gates!r}")
    if "weights" in kinds and len(kinds) > 1:
        raise ValueError(f"gates='weights' can't be combined with others, got {gates!r}")
    all_groups: list[GateGroup] = []
    for kind in kinds:
        groups = [
            group for site in layers.shapes if (group := _group(layers, site, kind)) is not None
        ]
        if not groups:
            needed = {"neurons": "linear layer", "filters": "convolution"}.get(kind, "weight")
            raise ValueError(
                f"gates={kind!r} needs a net with a stochastic {needed}, got layers "
                f"{list(layers.names)}"
            )
        all_groups += groups
    return all_groups


def _group(layers: StochasticLayers, site: str, kind: str) -> GateGroup | None:
    dims, shape = layers.dims[site], layers.shapes[site]
    axes = [dim.rsplit(".", 1)[-1] for dim in dims]
    if "in" not in axes or "out" not in axes:
        return None
    name = f"{site.rpartition('.')[0]}.gate".removeprefix(".")
    if kind == "weights":
        return GateGroup(name, dims, shape, {site: tuple(shape)})
    if (kind == "neurons") != (len(shape) == 2):
        return None
    axis = axes.index("in" if kind == "neurons" else "out")
    view = tuple(size if index == axis else 1 for index, size in enumerate(shape))
    views = {site: view}
    bias = f"{site.rpartition('.')[0]}.bias".removeprefix(".")
    if kind == "filters" and bias in layers.shapes:
        views[bias] = (math.prod(view),)
    return GateGroup(name, (dims[axis],), torch.Size([shape[axis]]), views)
