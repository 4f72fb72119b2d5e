"""A user's network as a model takes it: copied, unwrapped, or refused with what to do instead."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from bayesnas.nn.modules.stochastic_layers import Rule, no_layer
from bayesnas.nn.torch_private import (
    forget_compiled,
    forward_pre_hooks,
    inside_compiled,
    pruned_name,
)

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_TRAINED = (torch.float32, torch.float64)
_SCRIPTED = (torch.jit.ScriptModule, torch.jit.ScriptFunction)


def copied_net(net: nn.Module) -> nn.Module:
    """A deep copy of a network, for a model to change.

    ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel`` are taken off: a fit runs
    on one device and compiles its steps by itself. Embeddings give dense gradients
    (``sparse=False``): draws of their weights have those.

    Args:
        net: the network; it is not changed.

    Raises:
        TypeError: it is no module.
        ValueError: it can't be copied or its layers can't be reached (lazy, scripted, or with
            weights that a hook of torch computes), or its parameters have no values, or are of
            half precision or complex; the message says what to do.

    >>> copied_net(nn.DataParallel(nn.Linear(2, 1)))
    Linear(in_features=2, out_features=1, bias=True)
    """
    if not isinstance(net, nn.Module):
        raise TypeError(f"net must be a torch.nn.Module, got {type(net).__name__}")
    for name, module in net.named_modules():
        if reason := _unreachable(name, module):
            raise ValueError(reason)
    try:
        copied = copy.deepcopy(net)
    except Exception as error:  # whatever a module of the user's holds
        raise ValueError(
            f"net must be a module that copy.deepcopy can copy, got {type(net).__name__}: {error}"
        ) from error
    return _unwrapped(copied)


def check_weights(net: nn.Module, rule: Rule) -> None:
    """Raise ValueError where a layer that the rule picks computes its weight from parameters.

    Args:
        net: the network.
        rule: ``(name, module) -> bool``, true for a layer that becomes stochastic.
    """
    for name, module in net.named_modules():
        if parametrize.is_parametrized(module) and rule is not no_layer and rule(name, module):
            tensor = next(iter(module.parametrizations))
            kinds = ", ".join(type(p).__name__.lstrip("_") for p in module.parametrizations[tensor])
            raise ValueError(
                f"net: {_where(name)} computes its {tensor!r} by a parametrization ({kinds}), so "
                "there is no weight to put a distribution on. Take it off before, by "
                f"torch.nn.utils.parametrize.remove_parametrizations(layer, {tensor!r}), or leave "
                "the layer out by stochastic="
            )


def _tensors_of(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def _unreachable(name: str, module: nn.Module) -> str | None:
    """Why a module can't be given other weights and trained, with what to do; None if it can."""
    if isinstance(module, _SCRIPTED):
        return (
            f"net: {_where(name)} is scripted ({type(module).__name__}), and its layers can't be "
            "reached: give the module that torch.jit.script was called with"
        )
    if any(is_lazy(p) for p in _tensors_of(module)):
        return (
            f"net: {_where(name)} is lazy ({type(module).__name__}) and has no weights yet: run "
            "the net once on a batch, net(x[:2]), before giving it to a model"
        )
    if any(tensor.is_meta for tensor in _tensors_of(module)):
        return (
            f"net: {_where(name)} is on the device 'meta' and has no values: give it some, by "
            "net.to_empty(device='cpu') and net.load_state_dict(...)"
        )
    for parameter in module.parameters(recurse=False):
        if parameter.requires_grad and parameter.dtype not in _TRAINED:
            return (
                f"net: {_where(name)} has trainable parameters of {parameter.dtype}, in which "
                "a fit can't take its sums: give net.float() or net.double() (bn.fit(..., "
                "precision='bfloat16') rounds products alone); frozen ones may be of any type"
            )
    for hook in forward_pre_hooks(module):
        if remedy := _remedy(hook):
            return f"net: {_where(name)} computes a weight in a hook of {remedy}"
    return None


def _remedy(hook: Any) -> str | None:
    if isinstance(hook, WeightNorm):
        return (
            f"weight_norm: take it off before, by torch.nn.utils.remove_weight_norm(layer, "
            f"{hook.name!r})"
        )
    if isinstance(hook, SpectralNorm):
        return (
            f"spectral_norm: take it off before, by torch.nn.utils.remove_spectral_norm(layer, "
            f"{hook.name!r})"
        )
    if isinstance(hook, prune.BasePruningMethod):
        name = pruned_name(hook)
        return (
            f"torch.nn.utils.prune: make it permanent before, by prune.remove(layer, {name!r}); "
            "model.set_keep_masks({site: weight != 0}) keeps what it removed at zero"
        )
    return None


def _unwrapped(net: nn.Module) -> nn.Module:
    """The module inside wrappers, at the top and anywhere below."""
    while (inside := _inside(net)) is not None:
        net = inside
    for module in list(net.modules()):
        forget_compiled(module)
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            module.sparse = False
        for name, child in list(module.named_children()):
            if _inside(child) is not None:
                setattr(module, name, _unwrapped(child))
    return net


def _inside(module: nn.Module) -> nn.Module | None:
    """What a wrapper wraps; None of a module that is none."""
    return module.module if isinstance(module, _WRAPPERS) else inside_compiled(module)


def _where(name: str) -> str:
    return f"layer {name!r}" if name else "it"
