"""Dead channels: which units and filters of a net with zeroed weights can go without a trace."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.nn.modules.stochastic_layers import TRANSPOSED
from bayesnas.pruning.channel_dependencies import (
    Dependencies,
    End,
    Inputs,
    Part,
    weight_out_in,
)

_ROUNDING = 64  # units in the last place by which two computations of a constant may differ


@dataclass
class Edit:
    """What to do to a net's layers, by layer name; it leaves the net's outputs as they are.

    Attributes:
        fold: columns that always read the same number, which becomes part of the bias.
        clear: rows that nobody reads any more, but which stay, as zeros.
        remove: rows, columns and entries to take out, by side of a layer.
    """

    fold: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    clear: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    remove: dict[End, set[int]] = field(default_factory=lambda: defaultdict(set))

    def __bool__(self) -> bool:
        return bool(self.fold or self.clear or self.remove)

    def update(self, other: Edit) -> None:
        """Do the other edit too."""
        for layer, constants in other.fold.items():
            self.fold[layer].update(constants)
        for layer, rows in other.clear.items():
            self.clear[layer] |= rows
        for end, indices in other.remove.items():
            self.remove[end] |= indices


def find_edits(net: nn.Module, probes: Sequence[Inputs]) -> list[Edit]:
    """Edits that take the dead channels out of a net, one edit a group of channels.

    A channel is dead if nothing reads it (its columns are zero), or if nothing varies it (its rows
    are zero) and each layer that reads it can take the constant into its bias. A convolution that
    pads with zeros can take no constant but 0. Where all channels of a layer are dead, one stays,
    cleared. Channels that reach the net's outputs are never dead.

    Args:
        net: a net in evaluation mode, with every parameter trainable.
        probes: inputs to run it on.

    Returns:
        Edits that index the net as it is: to be done together, or some of them.
    """
    dependencies = Dependencies(net, probes[0])
    facts = _collect_facts(net, dependencies.layers, probes)
    roots = [End(name, "out") for name in dependencies.layers]
    covered: dict[End, set[int]] = defaultdict(set)
    edits = []
    for root in roots:
        if len(covered[root]) == dependencies.size(root):
            continue
        channels = _Channels(dependencies, facts, root)
        edit = channels.edit()
        if edit is None:  # the layers that read them see coarser channels: start from these
            roots.extend(p.end for p in channels.parts if p.end.side == "in" and p.end not in roots)
            continue
        for part in channels.parts:
            covered[part.end].update(part.indices.tolist())
        if edit:
            edits.append(edit)
    return edits


@dataclass
class _Facts:
    """What there is to know of an editable layer: one entry a row, or a column."""

    varies: Tensor  # rows with a weight that is not zero
    set: Tensor  # rows with a weight or bias that is not zero
    reads: Tensor  # columns with a weight that is not zero
    constant: Tensor  # the number always read by the column, NaN where it varies
    foldable: Tensor  # columns whose constant can become part of the bias


class _Channels:
    """The channels that start at one side of a layer."""

    def __init__(self, dependencies: Dependencies, facts: dict[str, _Facts], root: End) -> None:
        self._dependencies, self._root = dependencies, root
        size = dependencies.size(root)
        self.parts, self._blocked = dependencies.group(root, range(size))
        self._rows = [(part, facts[part.end.layer]) for part in self.parts if _is(part, "out")]
        self._columns = [(part, facts[part.end.layer]) for part in self.parts if _is(part, "in")]

    def edit(self) -> Edit | None:
        """What takes the dead channels out; None if these are not separate from one another."""
        dead = self._dead()
        kept = self._kept(dead)
        gone = dead & ~kept
        if not self._are_separate(gone if gone.any() else dead):
            return None
        edit = Edit()
        for end, indices, channels in self.parts:
            if gone[channels].any():
                edit.remove[end] |= set(indices[gone[channels]].tolist())
        for (end, indices, channels), facts in self._columns:
            for index in indices[dead[channels] & facts.reads[indices]].tolist():
                edit.fold[end.layer][index] = float(facts.constant[index])
        for (end, indices, channels), facts in self._rows:
            cleared = indices[kept[channels] & facts.set[indices]]
            if len(cleared):
                edit.clear[end.layer] |= set(cleared.tolist())
        return edit

    def _dead(self) -> Tensor:
        used, varied, unfoldable = (torch.zeros_like(self._blocked) for _ in range(3))
        for (_, indices, channels), facts in self._rows:
            varied[channels[facts.varies[indices]]] = True
        for (_, indices, channels), facts in self._columns:
            used[channels[facts.reads[indices]]] = True
            unfoldable[channels[(facts.reads & ~facts.foldable)[indices]]] = True
        return ~self._blocked & (~used | ~(varied | unfoldable))

    def _kept(self, dead: Tensor) -> Tensor:
        """Dead channels that stay, so that no layer is left without rows or columns."""
        kept = torch.zeros_like(dead)
        for end, indices, channels in self.parts:
            going = (dead & ~kept)[channels]
            if int(going.sum()) == self._dependencies.size(end):
                kept[channels[indices.argmin()]] = True
        return kept

    def _are_separate(self, channels: Tensor) -> bool:
        """Whether nothing but the parts of these channels goes with them."""
        if not channels.any():
            return True
        alone = self._dependencies.group(self._root, channels.nonzero().flatten().tolist())
        here = {(p.end, i) for p in self.parts for i in p.indices[channels[p.channels]].tolist()}
        return here == {(part.end, i) for part in alone.parts for i in part.indices.tolist()}


def _is(part: Part, side: str) -> bool:
    return part.end.side == side


def _collect_facts(
    net: nn.Module, layers: dict[str, nn.Module], probes: Sequence[Inputs]
) -> dict[str, _Facts]:
    """Run the net on the probes, and note what each layer reads."""
    ranges: dict[str, tuple[Tensor, Tensor]] = {}

    def watcher(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def watch(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
            space = weight_out_in(layer).ndim - 2
            read = arguments[0].movedim(-1 - space, -1).flatten(0, -2)
            low, high = ranges.get(name, (read[0], read[0]))
            ranges[name] = read.amin(0).minimum(low), read.amax(0).maximum(high)

        return watch

    handles = [layer.register_forward_pre_hook(watcher(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            for inputs in probes:
                net(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {name: _facts(layer, *ranges[name]) for name, layer in layers.items()}


def _facts(layer: nn.Module, low: Tensor, high: Tensor) -> _Facts:
    weight = weight_out_in(layer).detach()
    nonzero = weight.reshape(*weight.shape[:2], -1).ne(0).any(2)
    bias = dict(layer.named_parameters(recurse=False)).get("bias")
    biased = torch.zeros_like(nonzero[:, 0]) if bias is None else bias.detach() != 0
    slack = _ROUNDING * torch.finfo(high.dtype).eps
    constant = high - low <= slack * high.abs().clamp(min=1)
    zero = (low == 0) & (high == 0)
    return _Facts(
        varies=nonzero.any(1),
        set=nonzero.any(1) | biased,
        reads=nonzero.any(0),
        constant=high.where(constant, math.nan),
        foldable=zero if _has_borders(layer) else constant,
    )


def _has_borders(layer: Any) -> bool:
    """Whether a constant image may come out of the layer as anything but a constant image."""
    if type(layer) in TRANSPOSED:
        return True
    if type(layer) is nn.Linear or layer.padding_mode != "zeros" or layer.padding == "valid":
        return False
    if layer.padding == "same":
        return any(side > 1 for side in layer.kernel_size)
    return any(side > 0 for side in layer.padding)
