"""Every public callable of the package, found by looking: functions, classes and their methods."""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Those of docs/versioning.md, and what the pages of the reference name beside them.
MODULES = (
    "bayesnas",
    "bayesnas.coding",
    "bayesnas.data",
    "bayesnas.distributions",
    "bayesnas.export",
    "bayesnas.inference",
    "bayesnas.inference.criteria",
    "bayesnas.inference.mcmc",
    "bayesnas.inference.search",
    "bayesnas.likelihoods",
    "bayesnas.loggers",
    "bayesnas.models",
    "bayesnas.nn",
    "bayesnas.plots",
    "bayesnas.report",
    "bayesnas.reproductions",
    "bayesnas.sklearn",
)


@dataclass(frozen=True)
class Entry:
    """A public callable: by which name, of which class, and what is called."""

    name: str
    owner: type | None
    function: Callable[..., Any]

    @property
    def method(self) -> str:
        return self.name.rpartition(".")[2]


def bare(function: Any) -> Any:
    """What stands behind a bound method, a class method or a check of types."""
    if isinstance(function, type):
        return function
    function = getattr(function, "__func__", function)
    return inspect.unwrap(function)


def _names(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    for name in module.__all__:
        value = getattr(module, name)
        is_ours = getattr(value, "__module__", "").startswith("bayesnas")
        if callable(value) and is_ours and not isinstance(value, types.ModuleType):
            yield f"{module.__name__}.{name}", value


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods of a class that this package defines, also those that it inherits."""
    for name in dir(cls):
        owner = next((each for each in cls.__mro__ if name in vars(each)), object)
        value = inspect.getattr_static(cls, name)
        is_method = isinstance(value, (staticmethod, classmethod, types.FunctionType))
        if is_method and not name.startswith("_") and owner.__module__.startswith("bayesnas"):
            yield name, value


def surface() -> dict[Any, Entry]:
    """The entries, each once, under the function or the class that is called."""
    entries: dict[Any, Entry] = {}
    for module in map(importlib.import_module, MODULES):
        for name, value in _names(module):
            if bare(value) in entries:
                continue
            entries[bare(value)] = Entry(name, None, value)
            for method, function in _methods(value) if isinstance(value, type) else ():
                entry = Entry(f"{name}.{method}", value, function)
                entries.setdefault(bare(function), entry)
    return entries
