"""What a forward pass takes from, or leaves in, Python: a traced step would freeze it."""

from __future__ import annotations

import copy
import random
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bayesnas.inference.compile.torch_private import TorchDispatchMode, tree_leaves
from bayesnas.inference.compile.trace import relative_difference

_PASSES = 4
_SAME = 1e-4
_FEW = 16
_OF_MODULES = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)

Pass = Callable[[nn.Module], Tensor]


class NotTraceableError(Exception):
    """Why a step of a model must not be traced: it would be trained otherwise."""


def refuse_python_state(model: nn.Module, run: Pass, unchanged: Callable[[], Any]) -> None:
    """Raise where passes of a model depend on more than tensors and torch's random state.

    A traced step repeats the operations of one pass. Whatever Python decided in it, by its own or
    NumPy's random numbers, by a counter, by the time of day, would hold for all steps. So passes
    are run on a copy of the model, each under other random states of Python and NumPy and under
    the same one of torch. They must draw nothing from Python's and NumPy's generators, leave
    Python's values in the modules as they are, call the same operations with the same arguments
    and give the same numbers.

    Args:
        model: not changed.
        run: runs a pass and the gradients of a model that it is given.
        unchanged: a context that puts torch's random state and the tensors of the fit back.

    Raises:
        NotTraceableError: naming what moves.
    """
    probe = copy.deepcopy(model)
    functions = _functions(probe)
    outside = [(f, dict(_outside(f))) for f in functions]
    others = _plain_attributes(v for _, values in outside for v in values.values())
    try:
        with python_random_state_kept():
            _compare_passes(probe, functions, run, unchanged)
    finally:
        for function, values in outside:
            _put_back(function, values)
        for module, values in others:
            vars(module).update(values)


def _compare_passes(
    probe: nn.Module, functions: Sequence[Any], run: Pass, unchanged: Callable[[], Any]
) -> None:
    first: list[Any] = []
    first_result = torch.empty(0)
    earlier: dict[str, Any] = {}
    for number in range(_PASSES):
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        before = _global_states()
        log = _Operations()
        with unchanged(), log:
            result = run(probe).detach()
        for name, state in _global_states().items():
            if state != before[name]:
                raise NotTraceableError(f"a forward pass draws from {name}")
        now = _values(probe, functions)
        if number == 0:
            first, first_result, earlier = log.calls, result, now
            continue
        # The first pass may set up what later ones find; from then on nothing may move.
        changed = [
            name for name in earlier.keys() | now.keys() if earlier.get(name) != now.get(name)
        ]
        if changed:
            raise NotTraceableError(f"a forward pass changes {min(changed)}, a value of Python")
        if log.calls != first:
            raise NotTraceableError(
                "two passes under one random state of torch run different operations "
                f"({_first_difference(first, log.calls)}): something else than tensors decides"
            )
        if result.isfinite().all() and relative_difference(result, first_result) > _SAME:
            raise NotTraceableError(
                "two passes under one random state of torch give different numbers: something "
                "else than tensors enters"
            )
        earlier = now


class _Operations(TorchDispatchMode):
    """Notes every operation with its arguments: shapes of tensors, all others by value."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        words = [
            tuple(leaf.shape) if isinstance(leaf, Tensor) else _frozen(leaf)
            for leaf in tree_leaves((args, kwargs or {}))
        ]
        self.calls.append((str(func), *words))
        return func(*args, **(kwargs or {}))


def _first_difference(first: Sequence[Any], second: Sequence[Any]) -> str:
    for one, other in zip(first, second, strict=False):
        if one != other:
            return f"{one[0]} and {other[0]}" if one[0] != other[0] else f"arguments of {one[0]}"
    return f"{len(first)} and {len(second)} of them"


# Random states of the process ----------------------------------------------------------------


@contextmanager
def python_random_state_kept() -> Iterator[None]:
    """Leave Python's and NumPy's global random states as they were."""
    before, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpys)  # noqa: NPY002


def _global_states() -> dict[str, Any]:
    return {
        "Python's random generator": random.getstate(),
        "NumPy's random generator": str(np.random.get_state()),  # noqa: NPY002
    }


# Values of Python that a pass can reach -------------------------------------------------------


def _values(model: nn.Module, functions: Sequence[Any]) -> dict[str, Any]:
    """Python's values in all modules, and outside the functions that a pass runs, by name."""
    values = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if key not in _OF_MODULES or key == "training":
                values[f"{name}.{key}".lstrip(".")] = _frozen(value)
    for function in functions:
        for key, value in _outside(function):
            values[f"{key} of {function.__qualname__}"] = _frozen(value)
    return values


def _functions(model: nn.Module) -> list[Any]:
    """The functions of users that a pass runs: ``forward`` of modules, and a pair's."""
    functions_run: dict[Any, None] = {}
    for module in model.modules():
        candidates = [getattr(module, "forward", None)]
        candidates += [value for key, value in vars(module).items() if key not in _OF_MODULES]
        for candidate in candidates:
            function = getattr(candidate, "__func__", candidate)
            if hasattr(function, "__code__") and not _is_of_a_library(function):
                functions_run[function] = None
    return list(functions_run)


def _is_of_a_library(function: Any) -> bool:
    return str(function.__module__).partition(".")[0] in ("torch", "pyro", "bayesnas")


def _outside(function: Any) -> Iterator[tuple[str, Any]]:
    """Variables that a function finds outside of itself, its own module's and its closure's."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not set yet
            continue
    for name in function.__code__.co_names:  # of attributes and builtins too
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        if (not isinstance(value, (type, types.ModuleType)) and not callable(value)) or isinstance(
            value, nn.Module
        ):
            yield name, value


def _plain_attributes(values: Iterable[Any]) -> list[tuple[nn.Module, dict[str, Any]]]:
    """Numbers and words in the modules among some values, which no copy was made of."""
    return [
        (module, {k: v for k, v in vars(module).items() if isinstance(v, _PLAIN)})
        for value in values
        if isinstance(value, nn.Module)
        for module in value.modules()
    ]


def _put_back(function: Any, values: dict[str, Any]) -> None:
    """Set numbers and words outside a function back to what they were."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for name, value in values.items():
        if not isinstance(value, _PLAIN):
            continue
        if name in cells:
            cells[name].cell_contents = value
        else:
            function.__globals__[name] = value


def _frozen(value: Any, depth: int = 0) -> Any:
    """Something to compare a value by later: its content, as far as passes change such things."""
    if isinstance(value, _PLAIN):
        return repr(value)  # NaN equals itself
    if isinstance(value, Tensor):
        few = type(value) in (Tensor, nn.Parameter) and value.numel() <= _FEW
        return tuple(value.shape), value._version, repr(value.tolist()) if few else ""
    if isinstance(value, np.ndarray):
        return value.shape, hash(value.tobytes())
    if isinstance(value, random.Random):
        return hash(value.getstate())
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    if isinstance(value, torch.Generator):
        return hash(value.get_state().numpy().tobytes())
    if depth > 3 or isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return type(value).__name__
    if isinstance(value, nn.Module):
        return _values(value, ())
    if isinstance(value, dict):
        return {repr(key)[:80]: _frozen(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [type(value).__name__, *(_frozen(item, depth + 1) for item in value)]
    return _frozen(vars(value), depth + 1) if hasattr(value, "__dict__") else type(value).__name__
