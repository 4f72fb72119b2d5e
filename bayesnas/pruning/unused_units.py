"""Which weights of a net nothing depends on, once others were removed."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.nn.modules.stochastic_layers import TRANSPOSED
from bayesnas.pruning.channel_dependencies import Dependencies, End, Inputs


def read_masks(
    net: nn.Module, masks: Mapping[str, Tensor], example: Tensor | Inputs
) -> dict[str, Tensor]:
    """Take out of keep masks the units and filters that no kept weight reads.

    Where all weights of the next layer that read a unit are removed, the weights and the bias that
    write it change nothing either; and so on towards the inputs. Dependencies between layers
    are those of :class:`~bayesnas.pruning.channel_dependencies.Dependencies`; what they can't
    follow stays.

    Args:
        net: a plain module.
        masks: boolean, true where a weight stays, by parameter name of linear and convolution
            layers (``layer1.weight``, ``layer1.bias``).
        example: an input for the net.

    Returns:
        masks by the same names, true on a subset.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> masks = {name: torch.ones_like(p, dtype=torch.bool) for name, p in net.named_parameters()}
    >>> masks["2.weight"][:, 0] = False
    >>> read_masks(net, masks, torch.ones(4, 3))["0.weight"]
    tensor([[False, False, False],
            [ True,  True,  True]])
    """
    inputs = example if isinstance(example, tuple) else (example,)
    traced = copy.deepcopy(net).cpu().eval().requires_grad_(True)
    dependencies = Dependencies(traced, tuple(value.detach().cpu() for value in inputs))
    pruned = {name: mask.clone() for name, mask in masks.items()}
    layers = [name for name in dependencies.layers if dotted(name, "weight") in pruned]
    changed = True
    while changed:
        changed = False
        for name in layers:
            unread = ~_is_read(dependencies, name, pruned)
            for leaf in ("weight", "bias"):
                mask = pruned.get(dotted(name, leaf))
                if mask is None:
                    continue
                rows = _out_first(dependencies.layers[name], mask)
                where = unread.to(mask.device)
                changed = changed or bool(rows[where].any())
                rows[where] = False
    return pruned


def _is_read(dependencies: Dependencies, name: str, masks: Mapping[str, Tensor]) -> Tensor:
    """Which rows of a layer some kept weight reads, or nobody knows."""
    root = End(name, "out")
    size = dependencies.size(root)
    parts, blocked = dependencies.group(root, range(size))
    read = blocked.clone()
    readers = [part for part in parts if part.end.side == "in"]
    if not readers:
        return torch.ones(size, dtype=torch.bool)
    for end, indices, channels in readers:
        mask = masks.get(dotted(end.layer, "weight"))
        if mask is None:  # a layer that keeps all its weights
            read[channels] = True
            continue
        columns = _out_first(dependencies.layers[end.layer], mask).cpu().transpose(0, 1)
        read[channels[columns.flatten(1).any(1)[indices]]] = True
    return read


def _out_first(layer: nn.Module, mask: Tensor) -> Tensor:
    """A view of a weight's mask as ``out x in x ...``; a bias's mask itself."""
    swapped = mask.ndim > 1 and type(layer) in TRANSPOSED
    return mask.transpose(0, 1) if swapped else mask
