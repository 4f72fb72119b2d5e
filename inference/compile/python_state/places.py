"""Where a pass can find and leave values of Python: variables of functions, classes and modules."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

OF_MODULES = frozenset(vars(nn.Module()))
"""Attributes that every module has."""

_LIBRARIES = sys.stdlib_module_names | {"torch", "torchvision", "pyro", "bayesnas", "numpy"}
_LIBRARIES -= {"__main__", "test"}


@dataclass(frozen=True)
class Place:
    """A variable that all passes share.

    Args:
        name: for messages.
        read: gives its value.
        write: gives it another one.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], None]


def functions_of(model: nn.Module) -> list[types.FunctionType]:
    """The functions of users that a pass may run: methods of modules, a pair's, what they call."""
    functions: dict[types.FunctionType, None] = {}
    waiting = [f for module in model.modules() for f in _functions_in(module)]
    while waiting:
        function = waiting.pop()
        if function in functions or is_of_a_library(function):
            continue
        functions[function] = None
        values = [_content(cell) for _, cell in _cells(function)]
        values += [getattr(owner, name) for owner, name in _globals(function)]
        waiting += [f for value in values for f in _as_functions(value)]
    return list(functions)


def places_of(model: nn.Module, functions: Sequence[types.FunctionType]) -> list[Place]:
    """Variables outside of functions, and attributes of the classes of modules.

    Args:
        model: whose modules' classes are looked at.
        functions: whose closures, globals and modules are.
    """
    places: dict[str, Place] = {}
    for function in functions:
        for name, cell in _cells(function):
            if _is_value(_content(cell)):
                place = f"{name} of {function.__qualname__}"
                places[place] = Place(place, partial(_content, cell), partial(_fill, cell))
        for owner, name in _globals(function):
            value = getattr(owner, name)
            if _is_value(value):
                place = f"{name} of {function.__qualname__}"
                places[place] = _attribute(place, owner, name)
            elif isinstance(value, type) and not is_of_a_library(value):
                places |= _of_class(value)
    for module in model.modules():
        for cls in _user_classes(type(module)):
            places |= _of_class(cls)
    return list(places.values())


def is_of_a_library(thing: Any) -> bool:
    """Whether a function or class is of Python, torch, Pyro or this package."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] in _LIBRARIES


class _Variables:
    """The global variables of a function as attributes."""

    def __init__(self, variables: dict[str, Any]) -> None:
        object.__setattr__(self, "variables", variables)

    def __getattr__(self, name: str) -> Any:
        return self.variables[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self.variables[name] = value


def _functions_in(module: nn.Module) -> Iterator[types.FunctionType]:
    for cls in _user_classes(type(module)):
        for value in vars(cls).values():
            yield from _as_functions(value)
    for key, value in vars(module).items():
        if key not in OF_MODULES or key == "forward":
            yield from _as_functions(value)


def _as_functions(value: Any) -> Iterator[types.FunctionType]:
    """The functions that a value stands for: itself, that of a method, those of an object."""
    parts = (value.fget, value.fset) if isinstance(value, property) else (value,)
    for part in parts:
        function = getattr(part, "__func__", part)
        if isinstance(function, partial):
            yield from _as_functions(function.func)
        elif isinstance(function, types.FunctionType):
            yield function
        elif not isinstance(part, (type, nn.Module)) and not is_of_a_library(type(part)):
            methods = [v for cls in _user_classes(type(part)) for v in vars(cls).values()]
            yield from (v for v in methods if isinstance(v, types.FunctionType))


def _cells(function: types.FunctionType) -> Iterator[tuple[str, types.CellType]]:
    """Names and cells of the variables of outer functions."""
    return zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)


def _globals(function: types.FunctionType) -> Iterator[tuple[Any, str]]:
    """Owner and name of the global variables that a function names, and of those of modules."""
    names = _names(function.__code__)
    variables = function.__globals__
    for name in names:
        if name not in variables:
            continue
        yield _Variables(variables), name
        module = variables[name]
        if isinstance(module, types.ModuleType) and module.__name__.partition(".")[0] not in (
            _LIBRARIES
        ):
            yield from ((module, inner) for inner in names if inner in vars(module))


def _names(code: types.CodeType) -> set[str]:
    """Names of globals and attributes in a function and in those that it defines."""
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _user_classes(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base is not object and not is_of_a_library(base)]


def _of_class(cls: type) -> dict[str, Place]:
    names = [k for k, v in vars(cls).items() if not k.startswith("__") and _is_value(v)]
    return {
        f"{cls.__name__}.{name}": _attribute(f"{cls.__name__}.{name}", cls, name) for name in names
    }


def _attribute(place: str, owner: Any, name: str) -> Place:
    return Place(place, partial(getattr, owner, name), partial(setattr, owner, name))


def _is_value(value: Any) -> bool:
    """Whether something is no class, module, function or descriptor."""
    if isinstance(value, nn.Module):
        return True
    if isinstance(value, (type, types.ModuleType, property, classmethod, staticmethod)):
        return False
    return not callable(value) or not is_of_a_library(type(value))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _fill(cell: types.CellType, value: Any) -> None:
    cell.cell_contents = value
