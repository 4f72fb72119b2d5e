"""What of a network has a posterior, what is a point estimate, and what a fit starts from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from torch import nn

from bayesnas.nn.modules.stochastic_layers import StochasticLayers, resets, trainable_of
from bayesnas.nn.rebuilding.module_spec import summary

_SHOWN = 4


def point_estimates(net: nn.Module, layers: StochasticLayers) -> dict[str, int]:
    """Numbers of trainable parameters without a posterior, by module or by raw parameter.

    Args:
        net: the network with all its parameters.
        layers: its stochastic layers.

    >>> hollow = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    >>> layers = StochasticLayers(hollow, lambda name, module: name == "0")
    >>> point_estimates(layers.filled(hollow, layers.initial), layers)
    {'1': 6}
    """
    known, counts = _ids(net, layers), dict[str, int]()
    for name, module in net.named_modules():
        for leaf, parameter in trainable_of(module):
            if id(parameter) in known:
                continue
            known.add(id(parameter))
            raw = type(module).__module__.partition(".")[0] != "torch"
            place = ".".join(part for part in (name, leaf if raw else "") if part)
            counts[place] = counts.get(place, 0) + parameter.numel()
    return counts


def frozen_numbers(net: nn.Module) -> int:
    """How many numbers of a network are frozen (``requires_grad=False``)."""
    return sum(p.numel() for p in net.parameters() if not p.requires_grad)


def summary_of(net: nn.Module, layers: StochasticLayers) -> str:
    """A network in a few words, with what of it has no posterior.

    >>> hollow = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    >>> layers = StochasticLayers(hollow, lambda name, module: name == "0")
    >>> summary_of(layers.filled(hollow, layers.initial), layers)
    'Sequential, 9 of 15 parameters have a posterior; point estimates: 1 (6)'
    """
    points, frozen = point_estimates(net, layers), frozen_numbers(net)
    if not points and not frozen:
        return summary(net)
    total = sum(p.numel() for p in net.parameters())
    random = sum(shape.numel() for shape in layers.shapes.values())
    words = [f"{type(net).__name__}, {random:,} of {total:,} parameters have a posterior"]
    if points:
        words.append(f"point estimates: {_listed(_by_kind(net, points))}")
    if frozen:
        words.append(f"frozen: {frozen:,}")
    return "; ".join(words)


def start_of(net: nn.Module, layers: StochasticLayers, *, drawn: bool) -> str:
    """What a fit draws anew, and what keeps the values that the network has.

    Args:
        net: the network with all its parameters.
        layers: its stochastic layers.
        drawn: whether initial values are drawn, by ``reset_parameters``.
    """
    anew: dict[str, int] = defaultdict(int)
    kept: dict[str, int] = defaultdict(int)
    for name, module in net.named_modules():
        anew_here = drawn and resets(module)
        for leaf, parameter in trainable_of(module):
            place = name if anew_here or not name else f"{name}.{leaf}"
            (anew if anew_here else kept)[place or leaf] += parameter.numel()
    frozen = frozen_numbers(net)
    words = []
    if anew:
        words.append(f"drawn anew: {_listed(_by_kind(net, anew))}")
    if kept:
        words.append(f"starting at the values in net: {_listed(_by_kind(net, kept))}")
    if frozen:
        words.append(f"frozen: {frozen:,} numbers")
    return "; ".join(words)


def _ids(net: nn.Module, layers: StochasticLayers) -> set[int]:
    return {id(net.get_parameter(site)) for site in layers.shapes}


def _by_kind(net: nn.Module, numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    """Numbers by name; modules of a kind of which there are many are taken together."""
    kinds: dict[str, list[str]] = defaultdict(list)
    modules = dict(net.named_modules())
    for name in numbers:
        kinds[type(modules[name]).__name__ if name in modules else name].append(name)
    lines = []
    for kind, names in kinds.items():
        if len(names) > 2:
            lines.append((f"{len(names)} {kind}", sum(numbers[name] for name in names)))
        else:
            lines += [(name or kind, numbers[name]) for name in names]
    return lines


def _listed(parts: list[tuple[str, int]]) -> str:
    shown = ", ".join(f"{name} ({count:,})" for name, count in parts[:_SHOWN])
    rest = parts[_SHOWN:]
    return f"{shown} and {len(rest)} more ({sum(n for _, n in rest):,})" if rest else shown
