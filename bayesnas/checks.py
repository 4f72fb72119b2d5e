"""Checks of arguments: every error names the argument, what came and what was expected.

Numbers are those of Python and NumPy, and arrays and tensors without a dimension. True and False
are no numbers; a flag is nothing else. What a check returns is plain Python, so that it can be
written to JSON. A number is refused without importing torch, for the command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from bayesnas.scalars import is_number, is_whole, item_of

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_LARGEST_SEED = 2**63 - 1  # that torch takes
_MOST_DRAWS = 1_000_000
_MOST_STEPS = 1_000_000
_LARGEST_SIZE = 2**31


def whole_number(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of at least ``least`` and at most ``most``, if that is given.

    Raises:
        ValueError: naming the argument, for anything else.

    >>> whole_number("latents", 3)
    3
    """
    if not is_whole(value) or value < least or (most is not None and value > most):
        span = f">= {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {span}, got {shown(value)}")
    return int(value)


def seed_number(name: str, value: object, most: int = _LARGEST_SEED) -> int:
    """Return a seed of random numbers, a whole number >= 0 that generators take.

    >>> seed_number("seed", 0)
    0
    """
    return whole_number(name, value, 0, most)


def size(name: str, value: object) -> int:
    """Return a whole number >= 1 of things that take memory each: at most 2^31.

    >>> size("latents", 3)
    3
    """
    number = whole_number(name, value)
    if number > _LARGEST_SIZE:
        raise ValueError(f"{name} must be at most {_LARGEST_SIZE:,}, got {shown(value)}")
    return number


def draw_count(name: str, value: object, least: int = 1) -> int:
    """Return a number of draws: at least ``least``, at most a million, which nobody waits for.

    >>> draw_count("draws", 100)
    100
    """
    draws = whole_number(name, value, least)
    if draws > _MOST_DRAWS:
        raise ValueError(f"{name} must be at most {_MOST_DRAWS:,}, got {shown(value)}")
    return draws


def step_count(name: str, value: object, least: int = 1) -> int:
    """Return a number of steps, rounds or epochs: at most a million, which nobody waits for.

    >>> step_count("epochs", 20)
    20
    """
    return whole_number(name, value, least, _MOST_STEPS)


def finite(name: str, value: object) -> float:
    """Return a finite number as a float.

    >>> finite("shift", -2)
    -2.0
    """
    return _number(name, value, "", lambda number: True)


def positive(name: str, value: object) -> float:
    """Return a finite number > 0 as a float.

    Raises:
        ValueError: naming the argument, for anything else.

    >>> import numpy as np
    >>> positive("scale", np.int64(2))
    2.0
    """
    return _number(name, value, " > 0", lambda number: number > 0)


def non_negative(name: str, value: object) -> float:
    """Return a finite number >= 0 as a float.

    >>> non_negative("scale", 2)
    2.0
    """
    return _number(name, value, " >= 0", lambda number: number >= 0)


def _number(name: str, value: object, bound: str, holds: Callable[[float], bool]) -> float:
    if is_number(value):
        number = _float(item_of(value))
        if math.isfinite(number) and holds(number):
            return number
    raise ValueError(f"{name} must be a finite number{bound}, got {shown(value)}")


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond the largest float
        return math.inf


def probability(name: str, value: object) -> float:
    """Return a probability strictly between 0 and 1, where its logit is finite.

    >>> probability("inclusion", 0.25)
    0.25
    """
    if not is_number(value) or not 0 < value < 1:
        raise ValueError(f"{name} must be a probability in (0, 1), got {shown(value)}")
    return _float(item_of(value))


def fraction_in(name: str, value: object, interval: str = "[0, 1]") -> float:
    """Return a fraction in an interval between 0 and 1, whose brackets say what belongs to it.

    >>> fraction_in("test", 0, "[0, 1)")
    0.0
    """
    inside = is_number(value) and (
        0 < value < 1
        or (value == 0 and interval.startswith("["))
        or (value == 1 and interval.endswith("]"))
    )
    if not is_number(value) or not inside:
        raise ValueError(f"{name} must be a fraction in {interval}, got {shown(value)}")
    return _float(item_of(value))


def choice(name: str, value: object, choices: Collection[str], hint: str = "") -> str:
    """Return one of the choices, as a plain string.

    >>> choice("estimator", "local", ("local", "weight"))
    'local'
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {shown(value)}{hint}")
    return str(value)


def flag(name: str, value: object) -> bool:
    """Return True or False, of Python or NumPy; numbers and strings are none.

    Raises:
        TypeError: naming the argument, for anything else.

    >>> import numpy as np
    >>> flag("bias", np.False_)
    False
    """
    import numpy as np

    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def name_of(name: str, value: object) -> str:
    """Return a name: a string that is not empty.

    >>> name_of("target", "price")
    'price'
    """
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be a name, a string that is not empty, got {shown(value)}")
    return str(value)


def names_of(name: str, value: object) -> list[str]:
    """Return a sequence of names as a list; a single string is none.

    >>> names_of("parameters", ("a", "b"))
    ['a', 'b']
    """
    import numpy as np

    is_sequence = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
    if not is_sequence or not all(isinstance(each, str) for each in value):  # type: ignore[attr-defined]
        raise TypeError(f"{name} must be a sequence of names, got {shown(value)}")
    return [str(each) for each in value]  # type: ignore[attr-defined]


def function(name: str, value: Any, what: str = "a function") -> Any:
    """Return something that can be called.

    >>> function("schedule", abs)
    <built-in function abs>
    """
    if not callable(value):
        raise TypeError(f"{name} must be {what}, got {shown(value)}")
    return value


def instance(name: str, value: T, cls: type, what: str = "") -> T:
    """Return an object of a class: where ``@typed()`` would cost too much, in every step of a fit.

    >>> instance("values", {"a": 1}, dict)
    {'a': 1}
    """
    if not isinstance(value, cls):
        raise TypeError(f"{name} must be a {what or cls.__name__}, got {shown(value)}")
    return value


def tensor(name: str, value: object) -> Tensor:
    """Return a tensor.

    >>> import torch
    >>> tensor("x", torch.zeros(2))
    tensor([0., 0.])
    """
    from torch import Tensor

    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}")
    return value


def positive_scalar(name: str, value: object) -> Tensor:
    """Return a finite number > 0 as a tensor ``[]``, with the gradient of one that came as such.

    >>> positive_scalar("mass", 2)
    tensor(2.)
    """
    import torch

    number = positive(name, value)
    return value if isinstance(value, torch.Tensor) else torch.as_tensor(number)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of an argument before errors of a check that knows it by another.

    >>> with naming("validation"):
    ...     positive("x", -1)
    Traceback (most recent call last):
    ...
    ValueError: validation: x must be a finite number > 0, got -1
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def shown(value: object) -> str:
    """What came, cut off where it is long."""
    try:
        text = repr(value)
    except Exception:  # of a class of the caller's
        text = f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}…"
