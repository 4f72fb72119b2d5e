"""What is good for an argument by its annotation and name, told without the package's checks.

A value of another type than the annotation says is wrong. Of one that is of the type, the name
says whether it can be: a seed below 0 is none. What neither says is left alone.
"""

from __future__ import annotations

import ast
import collections.abc
import functools
import importlib
import inspect
import sys
import types
import typing
from typing import Any, get_args, get_origin

import torch
from fuzz_kinds import (
    a,
    a_path,
    callable_,
    either,
    flag,
    fraction,
    inside,
    items,
    large,
    non_negative,
    one_of,
    positive,
    real,
    seed,
    small,
    text,
    whole,
)

Good = typing.Callable[[Any], bool]

BY_NAME: dict[str, Good] = {
    "batch_size": whole(1, 2**31),
    "chain": whole(0, 10**500),
    "count": small,
    "device": either(a(torch.device), one_of("cpu", "auto")),
    "draws": whole(0, 10**6),
    "epochs": whole(0),
    "examples": small,
    "fraction": fraction,
    "kl_weight": non_negative,
    "layer": whole(0, 10**5),
    "layers": large,
    "level": inside,
    "lr": positive,
    "noise_scale": positive,
    "progress": real(0, 1, closed="[]"),
    "seed": seed,
    "steps": small,
    "tolerance": non_negative,
}


def anything(value: object) -> bool:
    return True


def good_of(hint: Any, name: str) -> Good:
    """What is good for an argument of this annotation and this name."""
    members = _members(hint)
    by_type = either(*(_by_type(member) for member in members))
    is_number = any(member in (int, float) for member in members)
    is_text = members == (str,)
    if name not in BY_NAME or not (is_number or is_text or name == "device"):
        return by_type
    rest = [_by_type(member) for member in members if member not in (int, float, str)]
    return either(BY_NAME[name], *rest)


def _members(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(each for part in get_args(hint) for each in _members(part))
    return (type(None),) if hint is None else (hint,)


_LEAVES: dict[Any, Good] = {
    int: whole(-(10**500), 10**500),
    float: real(),
    bool: flag,
    str: text,
    type(None): lambda value: value is None,
    torch.Tensor: a(torch.Tensor),
}


def is_path(value: object) -> bool:
    return a_path(value)


def _by_type(hint: Any) -> Good:
    if hint is Any or isinstance(hint, typing.TypeVar):
        return anything
    if isinstance(hint, collections.abc.Hashable) and hint in _LEAVES:
        return _LEAVES[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is typing.Literal:
        return lambda value: isinstance(value, (str, bool)) and value in parts
    if origin is tuple and not (len(parts) == 2 and parts[1] is ...):
        return lambda value: (
            items(anything)(value)
            and len(value) == len(parts)
            and all(_members_good(part, each) for part, each in zip(parts, value, strict=True))
        )
    if origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable) and parts:
        return items(lambda each: _members_good(parts[0], each), 0)
    if origin in (dict, collections.abc.Mapping) and parts:
        return lambda value: (
            isinstance(value, dict)
            and all(
                _members_good(parts[0], key) and _members_good(parts[1], each)
                for key, each in value.items()
            )
        )
    if origin is collections.abc.Callable or hint is collections.abc.Callable:
        return callable_
    cls = origin if isinstance(origin, type) else hint
    if isinstance(cls, type) and not getattr(cls, "_is_protocol", False):
        return a(cls)
    return anything


def _members_good(hint: Any, value: Any) -> bool:
    return any(_by_type(member)(value) for member in _members(hint))


def hint_of(function: Any, parameter: inspect.Parameter, owner: type | None = None) -> Any:
    """An annotation, also where its names are imported for type checkers alone."""
    hint = parameter.annotation
    if hint is inspect.Parameter.empty:
        return Any
    if isinstance(hint, str):
        # A field of a data class is annotated in the module of the class that has it first.
        homes = {function.__module__, *(each.__module__ for each in getattr(owner, "__mro__", ()))}
        names = {name: value for home in homes for name, value in _names_of(home).items()}
        return eval(hint, {**names, **_names_of(function.__module__)})
    return hint


@functools.cache
def _names_of(module: str) -> dict[str, Any]:
    """All names of a module, and what it imports or says under ``if TYPE_CHECKING``."""
    names = dict(vars(sys.modules[module]))
    if not module.startswith("bayesnas"):
        return names
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                _take(line, names)
    return names


def _take(line: ast.stmt, names: dict[str, Any]) -> None:
    if isinstance(line, ast.ImportFrom) and line.module:
        importlib.import_module(line.module)
        home = _names_of(line.module)
        names |= {each.asname or each.name: home[each.name] for each in line.names}
    else:
        exec(compile(ast.Module([line], []), "<for type checkers>", "exec"), names)
