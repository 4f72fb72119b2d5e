"""What annotations say: the types that they are made of, and the same in words."""

from __future__ import annotations

import collections.abc
import pkgutil
import types
import typing
from typing import Any, Union, get_args, get_origin

import numpy.typing as npt
from torch import Tensor

_LATE = {
    "Array": "bayesnas.typed.annotations:Numbers",
    "Axes": "matplotlib.axes:Axes",
    "pd": "pandas",
    "xarray": "xarray",
    "xr": "xarray",
}
"""What modules import for type checkers alone, since it takes long, by its name there."""


def evaluated(hint: str, names: dict[str, Any]) -> Any:
    """What an annotation means; Any where it has a name that nobody knows at run time.

    >>> evaluated("float | None", {})
    float | None
    """
    try:
        return eval(hint, names)
    except NameError as error:
        if error.name not in _LATE or error.name in names:
            return Any
        names[error.name] = pkgutil.resolve_name(_LATE[error.name])
        return evaluated(hint, names)


def members_of(hint: Any) -> tuple[Any, ...]:
    """The types one of which a value has: those of a union, or the annotation itself.

    >>> members_of(int | None), members_of(npt.ArrayLike)
    ((<class 'int'>, <class 'NoneType'>), (<class 'bayesnas.typed.annotations.Numbers'>,))
    """
    members = _parts_of(hint)
    if set(members) >= _ARRAY_LIKE:  # of many protocols, which take strings too
        return (Numbers, *(each for each in members if each not in _ARRAY_LIKE))
    return members


def _parts_of(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(m for each in get_args(hint) for m in _parts_of(each))
    return (type(None),) if hint is None else (hint,)


class Numbers:
    """What NumPy makes an array of numbers of: an array, a tensor, nested sequences."""


_ARRAY_LIKE = frozenset(_parts_of(npt.ArrayLike))


_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a string",
    type(None): "None",
    Tensor: "a torch tensor",
    Numbers: "an array of numbers",
}


def in_words(hint: Any) -> str:
    """An annotation in words.

    >>> in_words(float | None), in_words(collections.abc.Sequence[int])
    ('a number or None', 'a sequence of whole numbers')
    >>> in_words(collections.abc.Sequence[collections.abc.Sequence[str]])
    'a sequence of sequences of strings'
    >>> in_words(tuple[float, float])
    'a sequence of 2 numbers'
    """
    members = members_of(hint)
    if len(members) > 1:
        several = list(dict.fromkeys(in_words(member) for member in members))
        return " or ".join(several)
    (hint,) = members
    if hint in _WORDS:
        return _WORDS[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is typing.Literal:
        return " or ".join(map(repr, parts))
    if origin in (list, tuple, collections.abc.Sequence):
        inner = " or ".join(dict.fromkeys(in_words(p) for p in parts if p is not ...))
        what = inner.removeprefix("a ")
        nested = what.startswith("sequence ")
        if origin is tuple and ... not in parts and not nested:
            what = f"{len(parts)} {what}"
        return f"a sequence of {what.replace('sequence', 'sequences', 1) if nested else what + 's'}"
    if origin in (dict, collections.abc.Mapping):
        return "a mapping"
    if origin is collections.abc.Callable:
        return "a function"
    cls = origin if isinstance(origin, type) else hint
    return f"a {getattr(cls, '__name__', cls)}"
