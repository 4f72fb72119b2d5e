"""Whether a network built anew is the one that it was built after."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_OF_MODULES = frozenset({*vars(nn.Module()), "_bayesnas_arguments"})


def difference(net: nn.Module, twin: nn.Module) -> str:
    """In what a net built anew differs, in words; empty where in nothing."""
    mine, its = dict(net.named_modules()), dict(twin.named_modules())
    if mine.keys() != its.keys():
        return f"it has other modules: {sorted(mine.keys() ^ its.keys())[:3]}"
    for path, module in mine.items():
        if text := differs_in(module, its[path], path):
            return text
    if ties(net) != ties(twin):
        return "its parameters are tied otherwise"
    return ""


def differs_in(module: nn.Module, twin: nn.Module, path: str) -> str:
    """In what a module itself differs from another, its children left out."""
    where = f"in {path!r} " if path else ""
    if type(module) is not type(twin):
        return f"{where}a {type(module).__name__} would come back as a {type(twin).__name__}"
    for kind in ("_parameters", "_buffers"):
        a, b = _shapes(getattr(module, kind)), _shapes(getattr(twin, kind))
        if a != b:
            keys = [key for key in a.keys() | b.keys() if a.get(key) != b.get(key)]
            return f"{where}its {min(keys)!r} would come back of another shape"
    of_torch = type(module).__module__.startswith("torch.")
    for key, value in vars(module).items():
        if key in _OF_MODULES or _is_tensors(value) or (of_torch and key.startswith("_")):
            continue
        if not _same(value, vars(twin).get(key, ...)):
            return f"{where}its {key!r} would come back different"
    return ""


def _same(value: Any, other: Any) -> bool:
    """Whether two attributes are alike: by value, or as functions of one definition."""
    if isinstance(value, types.FunctionType) and isinstance(other, types.FunctionType):
        cells = [[cell.cell_contents for cell in f.__closure__ or ()] for f in (value, other)]
        # A lambda is made anew by every constructor, but of the same code.
        return value.__code__ is other.__code__ and _same(*cells)
    if isinstance(value, (list, tuple)) and type(value) is type(other):
        return len(value) == len(other) and all(map(_same, value, other))
    if isinstance(value, dict) and type(value) is type(other):
        return value.keys() == other.keys() and all(_same(value[k], other[k]) for k in value)
    with contextlib.suppress(Exception):  # what can't be compared is compared by its attributes
        if bool(value == other):
            return True
    if value is None or type(value) is not type(other) or not hasattr(value, "__dict__"):
        return False
    return not isinstance(value, type) and _same(vars(value), vars(other))


def hidden_tensors(net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a net that its ``state_dict`` does not hold, parameters left out, by name."""
    known = {id(t) for t in [*net.parameters(), *net.state_dict(keep_vars=True).values()]}
    hidden = {}
    for name, module in net.named_modules():
        buffers = module.named_buffers(recurse=False, remove_duplicate=False)
        for key, value in [*vars(module).items(), *buffers]:
            for index, item in enumerate(value if isinstance(value, (list, tuple)) else [value]):
                if isinstance(item, Tensor) and id(item) not in known:
                    hidden[f"{name}.{key}.{index}".lstrip(".").removesuffix(".0")] = item
    return hidden


def _is_tensors(value: Any) -> bool:
    """Whether a value is a tensor or holds some; those are compared by what they hold."""
    items = value if isinstance(value, (list, tuple)) and value else [value]
    return all(isinstance(item, Tensor) for item in items)


def tensor_kinds(net: nn.Module) -> dict[str, tuple[torch.dtype, bool]]:
    """Type and trainability of every parameter and buffer, by name."""
    everything = [*net.named_parameters(), *net.named_buffers()]
    return {name: (tensor.dtype, tensor.requires_grad) for name, tensor in everything}


def _shapes(tensors: Mapping[str, Tensor | None]) -> dict[str, torch.Size | None]:
    return {key: None if t is None else t.shape for key, t in tensors.items()}


def ties(net: nn.Module) -> list[tuple[str, ...]]:
    """The names of every parameter that has more than one."""
    names: dict[int, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return sorted(tuple(each) for each in names.values() if len(each) > 1)
