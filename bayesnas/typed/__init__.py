"""Types of arguments, checked at the public surface from the annotations that stand there.

pydantic looks at the values. This module turns annotations into its schemas (NumPy scalars and
arrays and tensors without a dimension are numbers, True and False are none; nothing is converted
but those to Python's) and words the error: what is named, what came, what was expected.
Arguments that are nothing but numbers are left to :mod:`bayesnas.checks`, which says their range.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import numpy as np
import pydantic
from torch import Tensor, nn

from bayesnas.checks import shown
from bayesnas.scalars import is_number, is_whole
from bayesnas.typed.annotations import Numbers, evaluated, in_words, members_of

T = TypeVar("T", bound=Callable[..., Any])

_SCALARS = (int, float, bool)
_NUMBERS = {int, float, type(None)}  # whose range a function checks, and with it what they are


class ArgumentTypeError(TypeError, ValueError):
    """An argument of the wrong type; also a ValueError, as checks of values raise it."""


def typed(*, unchecked: Sequence[str] = ()) -> Callable[[T], T]:
    """Check the types of the arguments of a function, a method or a class's constructor.

    Args:
        unchecked: arguments left alone, which the function itself checks and names better.

    Returns:
        A decorator. A class gets its ``__init__`` replaced; a function a wrapper around it.

    >>> @typed()
    ... def area(sides: Sequence[float], round_off: bool = False) -> float:
    ...     return sides[0] * sides[1]
    >>> area("34")
    Traceback (most recent call last):
    ...
    bayesnas.typed.ArgumentTypeError: sides must be a sequence of numbers, got '34'
    """

    def decorate(target: T) -> T:
        if isinstance(target, type):
            initialiser = target.__dict__["__init__"]
            # A field of a data class is annotated where the class that has it first stands.
            modules = [sys.modules[each.__module__] for each in reversed(target.__mro__)]
            names = {name: value for module in modules for name, value in vars(module).items()}
            target.__init__ = _wrapped(initialiser, unchecked, names)  # type: ignore[misc]
            return target
        return cast(T, _wrapped(target, unchecked, {}))

    return decorate


def _wrapped(fn: Any, unchecked: Sequence[str], names: Mapping[str, Any]) -> Any:
    checked = _Arguments(fn, unchecked, names)

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = checked(args, kwargs)
        return fn(*args, **kwargs)

    # With the globals of the function: by them doctest knows whose it is.
    here = types.FunctionType(
        call.__code__, fn.__globals__, fn.__name__, call.__defaults__, call.__closure__
    )
    return functools.wraps(fn)(here)


class _Arguments:
    """The rules of one function's arguments, made when it is first called."""

    def __init__(self, fn: Any, unchecked: Sequence[str], names: Mapping[str, Any]) -> None:
        self._fn, self._unchecked = fn, frozenset(unchecked)
        self._known = names
        self._rules: dict[str, _Rule] | None = None
        self._names: list[str] = []

    def __call__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        rules = self._read() if self._rules is None else self._rules
        converted = list(args)
        for index, (name, value) in enumerate(zip(self._names, args, strict=False)):
            rule = rules.get(name)
            if rule is not None and type(value) not in rule.always:
                converted[index] = rule(name, value)
        for name, value in kwargs.items():
            rule = rules.get(name)
            if rule is not None and type(value) not in rule.always:
                kwargs[name] = rule(name, value)
        return tuple(converted), kwargs

    def _read(self) -> dict[str, _Rule]:
        self._rules = {}
        for parameter in inspect.signature(self._fn).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                self._names.append(parameter.name)
            hint = self._hint(parameter)
            left = (
                parameter.name in self._unchecked
                or hint in (Any, object)
                or set(members_of(hint)) <= _NUMBERS
            )
            if not left:
                self._rules[parameter.name] = rule_of(hint)
        return self._rules

    def _hint(self, parameter: inspect.Parameter) -> Any:
        hint = parameter.annotation
        if hint is inspect.Parameter.empty or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        ):
            return Any
        if isinstance(hint, str):
            return evaluated(hint, {**self._known, **self._fn.__globals__})
        return hint


class _Rule:
    """What values an annotation takes."""

    def __init__(self, hint: Any) -> None:
        members = members_of(hint)
        self.words = in_words(hint)
        self.always = {cls for member in members for cls in _always(member)}
        self._unwraps = bool(set(members) & set(_SCALARS)) and Tensor not in members
        self._lists = any(_is_numeric_sequence(member) for member in members)
        self._adapter = pydantic.TypeAdapter(
            _schema(hint), config=pydantic.ConfigDict(arbitrary_types_allowed=True, strict=True)
        )

    def __call__(self, name: str, value: Any) -> Any:
        plain = self._plain(value)
        try:
            self._adapter.validate_python(plain)
        except (pydantic.ValidationError, RecursionError):
            raise ArgumentTypeError(f"{name} must be {self.words}, got {shown(value)}") from None
        return plain

    def _plain(self, value: Any) -> Any:
        if isinstance(value, np.generic) and self._unwraps:
            return value.item()
        if isinstance(value, (np.ndarray, Tensor)):
            if value.ndim == 1 and self._lists:
                return value.tolist()
            if value.ndim == 0 and self._unwraps and not isinstance(value.item(), bool):
                return value.item()
        return value


@functools.cache
def rule_of(hint: Any) -> _Rule:
    """The rule of an annotation."""
    return _Rule(hint)


def _is_numbers(value: object) -> bool:
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):  # of other things, of rows of unequal lengths
        return False
    return array.dtype.kind in "biuf"


def _always(hint: Any) -> tuple[type, ...]:
    """Types whose every value is right."""
    if hint is float:
        return (float, int)
    if hint is Tensor:
        return (Tensor, nn.Parameter)
    return (hint,) if isinstance(hint, type) and get_origin(hint) is None else ()


def _is_numeric_sequence(hint: Any) -> bool:
    origin = get_origin(hint)
    return origin in (list, tuple, collections.abc.Sequence) and any(
        member in (int, float) for each in get_args(hint) for member in members_of(each)
    )


def _holds(test: Callable[[Any], bool]) -> Any:
    def check(value: Any) -> Any:
        if not test(value):
            raise ValueError
        return value

    return Annotated[Any, pydantic.PlainValidator(check)]


_WHOLE, _NUMBER = _holds(is_whole), _holds(is_number)
_FLAG = _holds(lambda value: isinstance(value, (bool, np.bool_)))
_TEXT = _holds(lambda value: isinstance(value, str))
_FUNCTION = _holds(callable)


def _no_text(value: Any) -> Any:
    if isinstance(value, (str, bytes)):  # a sequence too, but of nothing that anybody means
        raise ValueError
    return value


_NOT_TEXT = pydantic.BeforeValidator(_no_text)
_LEAVES: dict[Any, Any] = {
    int: _WHOLE, float: _NUMBER, bool: _FLAG, str: _TEXT, Any: Any, None: None,
    Numbers: _holds(_is_numbers),
}  # fmt: skip


def _schema(hint: Any) -> Any:
    """An annotation for pydantic, that means by numbers and flags what we mean."""
    if len(members := members_of(hint)) == 1:
        (hint,) = members
    if isinstance(hint, (type(None), type)) and hint in _LEAVES and get_origin(hint) is None:
        return _LEAVES[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if len(members) > 1:
        return Union[tuple(_schema(part) for part in members)]  # noqa: UP007
    if origin is typing.Literal:
        flags = [_FLAG] if any(isinstance(part, bool) for part in parts) else []
        return Union[(_TEXT, *flags)]  # which of them is a matter of values
    if origin in (list, collections.abc.Sequence) and parts:
        return Annotated[Sequence[_schema(parts[0])], _NOT_TEXT]  # type: ignore[misc]
    if origin is tuple and parts:
        return _tuple_schema(parts)
    if origin in (dict, collections.abc.Mapping) and parts:
        return Mapping[_schema(parts[0]), _schema(parts[1])]  # type: ignore[misc]
    if origin is collections.abc.Callable or hint is collections.abc.Callable:
        return _FUNCTION
    cls = origin if isinstance(origin, type) else hint
    if isinstance(cls, type) and not getattr(cls, "_is_protocol", False):
        return _holds(lambda value: isinstance(value, cls))
    return Any


def _tuple_schema(parts: tuple[Any, ...]) -> Any:
    if len(parts) == 2 and parts[1] is ...:
        return Sequence[_schema(parts[0])]  # type: ignore[misc]
    inner: Any = tuple
    # A list is what JSON brings back of a tuple.
    as_tuple = pydantic.BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
    return Annotated[inner[tuple(_schema(part) for part in parts)], as_tuple]
