"""The content of values of Python: to compare later, and to put back."""

from __future__ import annotations

import copy
import random
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bayesnas.inference.compile.python_state.places import (
    OF_MODULES,
    Place,
    is_of_a_library,
)
from bayesnas.nn.torch_private import times_written

_FEW = 16
_DEPTH = 3
_MOST_BYTES = 1 << 20  # of a tensor or an array that is copied to be put back
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


def frozen(value: Any, depth: int = 0) -> Any:
    """Something to compare a value by later: its content, as far as passes change such things."""
    value = _behind(value)
    if isinstance(value, _PLAIN):
        return repr(value)  # NaN equals itself
    if isinstance(value, Tensor):
        few = type(value) in (Tensor, nn.Parameter) and value.numel() <= _FEW
        version = -1 if value.is_inference() else times_written(value)
        return tuple(value.shape), version, repr(value.tolist()) if few else ""
    if isinstance(value, np.ndarray):
        return value.shape, hash(value.tobytes())
    if isinstance(value, random.Random):
        return hash(value.getstate())
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return str(value.get_state())
    if isinstance(value, torch.Generator):
        return hash(value.get_state().numpy().tobytes())
    if depth > _DEPTH or isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return type(value).__name__
    if isinstance(value, nn.Module):
        return values_of(value)
    if isinstance(value, dict):
        return {repr(key)[:80]: frozen(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [type(value).__name__, *(frozen(item, depth + 1) for item in value)]
    if hasattr(value, "__dict__"):
        return frozen(vars(value), depth + 1)
    words = repr(value)[:80]  # of an itertools.count, where it stands
    return type(value).__name__ if " at 0x" in words else words


def values_of(model: nn.Module) -> dict[str, Any]:
    """Python's values in all modules, to compare them by, by name."""
    values = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if key not in OF_MODULES or key == "training":
                values[f"{name}.{key}".lstrip(".")] = frozen(value)
    return values


@contextmanager
def put_back(places: list[Place], model: nn.Module) -> Iterator[None]:
    """Leave variables, and what they hold, as they were.

    Args:
        places: the variables.
        model: a copy whose attributes may share state with the original, such as the method of a
            generator.
    """
    before = [(place, place.read()) for place in places]
    inside: list[Any] = [value for _, value in before]
    inside += [
        value
        for module in model.modules()
        for key, value in vars(module).items()
        if key not in OF_MODULES and value is not _behind(value)
    ]
    restores = [restore for value in inside for restore in _restores(value)]
    try:
        yield
    finally:
        for place, value in before:
            if place.read() is not value:
                place.write(value)
        for restore in restores:
            restore()


def _behind(value: Any) -> Any:
    """The generator that a method of one draws from; of anything else the value."""
    owner = getattr(value, "__self__", None)
    generators = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
    return owner if callable(value) and isinstance(owner, generators) else value


def _restores(value: Any, depth: int = 0) -> Iterator[Callable[[], Any]]:
    """Functions that give something its content back."""
    value = _behind(value)
    if depth > _DEPTH or isinstance(value, (*_PLAIN, type, types.FunctionType, types.ModuleType)):
        return
    inner: Iterable[Any] = ()
    if isinstance(value, random.Random):
        yield partial(value.setstate, value.getstate())
    elif isinstance(value, np.random.Generator):
        yield partial(
            setattr, value.bit_generator, "state", copy.deepcopy(value.bit_generator.state)
        )
    elif isinstance(value, (np.random.RandomState, torch.Generator)):
        restored: Any = value.get_state()
        yield partial(value.set_state, restored)
    elif isinstance(value, Tensor):
        if not value.is_inference() and value.nbytes <= _MOST_BYTES:
            yield partial(_write, value, value.detach().clone(), times_written(value))
    elif isinstance(value, np.ndarray):
        if value.flags.writeable and value.nbytes <= _MOST_BYTES:
            yield partial(np.copyto, value, value.copy())
    elif isinstance(value, nn.Module):
        for module in value.modules():
            attributes = {
                k: v for k, v in vars(module).items() if k not in OF_MODULES or k == "training"
            }
            yield partial(vars(module).update, attributes)
    elif isinstance(value, (list, deque, set, dict)):
        yield partial(_refill, value, copy.copy(value))
        inner = value.values() if isinstance(value, dict) else value
    elif hasattr(value, "__dict__") and not is_of_a_library(type(value)):
        yield from _restores(vars(value), depth + 1)
    for item in list(inner):
        yield from _restores(item, depth + 1)


def _refill(container: Any, content: Any) -> None:
    container.clear()
    (container.extend if isinstance(container, (list, deque)) else container.update)(content)


def _write(tensor: Tensor, content: Tensor, version: int) -> None:
    if times_written(tensor) != version:
        with torch.no_grad():
            tensor.copy_(content)
