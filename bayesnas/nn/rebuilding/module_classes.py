"""Which classes of networks a saved run may name, and the arguments that they were made with."""

from __future__ import annotations

import contextvars
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn

Class = TypeVar("Class", bound=type[nn.Module])

_NOTED = "_bayesnas_arguments"
_registered: dict[str, type[nn.Module]] = {}
_trusted: contextvars.ContextVar[tuple[Any, ...]] = contextvars.ContextVar("trusted", default=())


def register_module(cls: Class) -> Class:
    """Let saved runs rebuild networks of a class: a decorator.

    It notes the arguments that every instance is made with; numbers, words, booleans, None, lists
    of these and modules can be written to a run. Classes whose constructors keep every argument
    as an attribute of the same name need no registration, if they can be imported.

    Args:
        cls: a subclass of ``torch.nn.Module``.

    Returns:
        the class, its constructor noting its arguments.

    Raises:
        TypeError: it is no such class.

    >>> @register_module
    ... class Wide(nn.Module):
    ...     def __init__(self, width: int) -> None:
    ...         super().__init__()
    ...         self.layer = nn.Linear(width, width)
    >>> recorded_arguments(Wide(3))
    {'width': 3}
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"register_module takes a subclass of torch.nn.Module, got {cls!r}")
    made = cls.__init__
    signature = inspect.signature(made)

    @functools.wraps(made)
    def noting(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        if type(self) is cls:
            bound = dict(signature.bind(self, *args, **kwargs).arguments)
            bound.pop(next(iter(signature.parameters)))
            for name, parameter in signature.parameters.items():
                if parameter.kind is parameter.VAR_KEYWORD:
                    bound |= bound.pop(name, {})
            vars(self)[_NOTED] = bound

    cls.__init__ = noting  # type: ignore[method-assign]
    _registered[f"{cls.__module__}:{cls.__qualname__}"] = cls
    return cls


def recorded_arguments(net: nn.Module) -> dict[str, Any] | None:
    """The arguments that a registered class noted; None for another."""
    arguments: dict[str, Any] | None = vars(net).get(_NOTED)
    return arguments


@contextmanager
def trusting(modules: Sequence[Any] | str | type) -> Iterator[None]:
    """Let descriptions name more classes inside the block.

    Args:
        modules: names of Python modules, which are imported when needed, or classes.

    Raises:
        TypeError: for anything else.
    """
    given = (modules,) if isinstance(modules, (str, type)) else tuple(modules)
    for item in given:
        if not isinstance(item, str) and not (
            isinstance(item, type) and issubclass(item, nn.Module)
        ):
            raise TypeError(
                f"trust must hold names of Python modules or classes of networks, got {item!r}"
            )
    token = _trusted.set(given)
    try:
        yield
    finally:
        _trusted.reset(token)


def path_of(cls: type[nn.Module], error: Callable[[str], Exception]) -> str:
    """The import path of a class, ``package.module:Class``.

    Args:
        cls: the class.
        error: makes what is raised of a reason.
    """
    path = f"{cls.__module__}:{cls.__qualname__}"
    if path in _registered:
        return path
    if "<locals>" in path:
        raise error(
            "its class is defined inside a function and can't be imported: define it in a module, "
            "or put @bn.nn.register_module before it"
        )
    try:
        member: Any = sys.modules[cls.__module__]
        for part in cls.__qualname__.split("."):
            member = getattr(member, part)
    except (AttributeError, KeyError):
        member = None
    if member is not cls:
        raise error(f"{path} can't be imported, or is another class now")
    return path


def class_of(path: object) -> type[nn.Module]:
    """The class that an import path names, if it is one that a description may name.

    Allowed are classes registered by :func:`register_module` or given to :func:`trusting`, those
    of ``torch.nn``, and those that the program itself has defined or imported. No Python module
    is imported unless it is trusted by name.

    Raises:
        ValueError: naming the class and what to do.
    """
    if not isinstance(path, str) or path.count(":") != 1:
        raise ValueError(f"a net's class must be named as 'package.module:Class', got {path!r}")
    if path in _registered:
        return _registered[path]
    for item in _trusted.get():
        if isinstance(item, type) and f"{item.__module__}:{item.__qualname__}" == path:
            return item
    name, _, qualname = path.partition(":")
    if name.partition(".")[0] == "torch" and not name.startswith("torch.nn."):
        raise ValueError(f"a net of a run can't be a {path}: of torch only layers of torch.nn can")
    if name in _trusted.get():
        importlib.import_module(name)
    member: Any = sys.modules.get(name)
    if member is None:
        raise ValueError(
            f"the net is a {qualname} of {name}, which is not imported: import it before "
            f"bn.load, or pass trust=[{name!r}]"
        )
    for part in qualname.split("."):
        # Only what stands in a class or module itself: no attribute is computed.
        member = vars(member).get(part)
        if not isinstance(member, type):
            raise ValueError(f"the net is a {qualname} of {name}, which has no such class")
    if not issubclass(member, nn.Module) or member.__module__ != name:
        raise ValueError(f"{path} is no class of networks (torch.nn.Module) of that module")
    cls: type[nn.Module] = member
    return cls
