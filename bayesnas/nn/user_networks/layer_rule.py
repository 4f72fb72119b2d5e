"""Which layers are stochastic, said by a rule, by names, by types, or by several of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from bayesnas.checks import shown
from bayesnas.nn.modules.stochastic_layers import (
    Rule,
    has_weights,
    is_linear_or_convolution,
    no_layer,
    trainable_of,
)
from bayesnas.words import did_you_mean

Layers = Callable[[str, nn.Module], bool] | str | type[nn.Module] | Sequence[Any]
"""A rule ``(name, module) -> bool``, a name, a type, or names and types."""


def layer_rule(stochastic: Layers, net: nn.Module, inside: Rule = is_linear_or_convolution) -> Rule:
    """The rule that an argument ``stochastic`` stands for.

    Args:
        stochastic: a rule ``(name, module) -> bool``; the name of a layer, or of a module without
            parameters of its own, for those below it that ``inside`` picks; a type of modules;
            names and types in a sequence; or ``"none"``.
        net: the network.
        inside: which layers a block stands for: those that the model takes by default.

    Returns:
        a function of name and module.

    Raises:
        ValueError: for a name that no module has, or a type that none is of.
        TypeError: for anything else.

    >>> net = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), nn.Linear(3, 2))
    >>> rule = layer_rule(["0"], net)
    >>> [name for name, module in net.named_modules() if rule(name, module)]
    ['0.0']
    >>> rule = layer_rule(nn.Linear, net)
    >>> [name for name, module in net.named_modules() if rule(name, module)]
    ['0.0', '1']
    """
    if stochastic == "none":
        return no_layer
    if callable(stochastic) and not isinstance(stochastic, type):
        return stochastic
    given = [stochastic] if isinstance(stochastic, (str, type)) else stochastic
    if not isinstance(given, (list, tuple, set, frozenset)) or not given:
        raise TypeError(
            "stochastic must be a function (name, module) -> bool, names of layers, types of "
            f"modules, or 'none', got {shown(stochastic)}"
        )
    names: set[str] = set()
    for item in given:
        names |= _named(item, net, inside)
    return lambda name, module: name in names


def picked_layers(rule: Rule, names: Sequence[str], net: nn.Module) -> list[str] | str | None:
    """The layers that a rule picked, as JSON values to build it again from.

    None stands for the linear and convolution layers, where a default rule picks no others.

    Args:
        rule: the rule.
        names: of the layers that it picked.
        net: the network.
    """
    if rule in (is_linear_or_convolution, has_weights) and all(
        is_linear_or_convolution(name, net.get_submodule(name)) for name in names
    ):
        return None
    return "none" if rule is no_layer else list(names)


def _named(item: object, net: nn.Module, inside: Rule) -> set[str]:
    modules = dict(net.named_modules())
    if isinstance(item, type) and issubclass(item, nn.Module):
        names = {name for name, module in modules.items() if isinstance(module, item)}
        if not names:
            types = sorted({type(module).__name__ for module in modules.values()})
            raise ValueError(
                f"stochastic must name types of modules in net, got {item.__name__}; it has {types}"
            )
        return names
    if not isinstance(item, str):
        raise TypeError(
            f"stochastic must hold names of layers or types of modules, got {shown(item)}"
        )
    if item not in modules:
        hint = did_you_mean(item, modules) or f"; it has {_few(modules)}"
        raise ValueError(f"stochastic must name layers of net, got {shown(item)}{hint}")
    if any(True for _ in trainable_of(modules[item])):
        return {item}
    beginning = f"{item}." if item else ""
    return {
        name
        for name, module in modules.items()
        if name.startswith(beginning) and inside(name, module)
    }


def _few(names: Any) -> list[str]:
    shown = [name for name in names if name]
    return shown if len(shown) <= 8 else [*shown[:8], "..."]
