"""Passes of a model are compared: what Python decides in them keeps a step eager."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bayesnas.inference.compile.not_traceable import NotTraceableError
from bayesnas.inference.compile.python_state.contents import frozen, put_back, values_of
from bayesnas.inference.compile.python_state.places import Place, functions_of, places_of
from bayesnas.inference.compile.torch_private import TorchDispatchMode, tree_leaves
from bayesnas.inference.compile.trace import relative_difference

_PASSES = 4
_SAME = 1e-4
_READS = frozenset(
    {
        Tensor.numpy,
        Tensor.tolist,
        Tensor.__array__,
        Tensor.__dlpack__,
    }
)
"""What hands the numbers in a tensor out of torch, where no trace sees them."""

Pass = Callable[[nn.Module], Tensor]


def refuse_python_state(model: nn.Module, run: Pass, unchanged: Callable[[], Any]) -> None:
    """Raise where passes of a model depend on more than tensors and torch's random state.

    A traced step repeats the operations of one pass. Whatever Python decided in it, by its own or
    NumPy's random numbers, by a counter, by the time of day or by numbers that it read out of a
    tensor, would hold for all steps. So passes are run on a copy of the model, each under other
    random states of Python and NumPy and under the same one of torch. They must draw nothing from
    Python's and NumPy's generators, read no tensor, leave Python's values within their reach as
    they are (attributes of modules and their classes, variables outside of the functions that
    they run), call the same operations with the same arguments and give the same numbers. Those
    values are put back.

    Args:
        model: not changed.
        run: runs a pass and the gradients of a model that it is given.
        unchanged: a context that puts torch's random state and the tensors of the fit back.

    Raises:
        NotTraceableError: naming what moves.
    """
    probe = copy.deepcopy(model)
    places = places_of(probe, functions_of(probe))
    with put_back(places, probe), python_random_state_kept():
        _compare_passes(probe, places, run, unchanged)


def _compare_passes(
    probe: nn.Module, places: Sequence[Place], run: Pass, unchanged: Callable[[], Any]
) -> None:
    first: list[Any] = []
    first_result = torch.empty(0)
    earlier: dict[str, Any] = {}
    for number in range(_PASSES):
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        before = _global_states()
        log, reads = _Operations(), _Reads()
        with unchanged(), reads, log:
            result = run(probe).detach()
        for name, state in _global_states().items():
            if state != before[name]:
                raise NotTraceableError(f"a forward pass draws from {name}")
        if reads.seen:
            raise NotTraceableError(
                f"a forward pass reads numbers out of a tensor (Tensor.{reads.seen[0]})"
            )
        now = values_of(probe) | {place.name: frozen(place.read()) for place in places}
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


class _Reads(TorchFunctionMode):
    """Notes what hands the numbers in a tensor out."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS:
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Notes every operation with its arguments: shapes of tensors, all others by value."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        words = [
            tuple(leaf.shape) if isinstance(leaf, Tensor) else frozen(leaf)
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
