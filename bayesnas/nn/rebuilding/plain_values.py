"""What a description in JSON can hold of a module, and what it can't."""

from __future__ import annotations

from typing import Any

from torch import nn

from bayesnas.nn.torch_private import is_hooked

_SCALARS = (bool, int, float, str, type(None))


def as_plain(value: Any) -> Any:
    """A value with its tuples as lists.

    >>> as_plain((1, (2, 3)))
    [1, [2, 3]]
    """
    return [as_plain(item) for item in value] if isinstance(value, tuple | list) else value


def is_plain(value: Any) -> bool:
    """Whether JSON holds a value as it is.

    >>> is_plain([1, "a", [None]]), is_plain(nn.ReLU())
    (True, False)
    """
    if isinstance(value, list):
        return all(is_plain(item) for item in value)
    return isinstance(value, _SCALARS)


def has_hooks(module: nn.Module) -> bool:
    """Whether a module computes something that its class does not say.

    >>> has_hooks(nn.ReLU())
    False
    """
    return "forward" in vars(module) or is_hooked(module)
