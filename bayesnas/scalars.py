"""What is a number: one of Python or NumPy, or an array or tensor without a dimension."""

from __future__ import annotations

import sys
from numbers import Integral, Real
from typing import Any, TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; True and False are none.

    >>> import numpy as np, torch
    >>> is_whole(np.int8(3)), is_whole(torch.tensor(3)), is_whole(3.0), is_whole(True)
    (True, True, False, False)
    """
    value = item_of(value)
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number, finite or not; True and False are none.

    >>> import numpy as np
    >>> is_number(np.float32(0.3)), is_number(np.array(2)), is_number("2"), is_number(np.True_)
    (True, True, False, False)
    """
    if _is_of(value, "torch", "Tensor"):
        return _is_number_tensor(value)
    value = item_of(value)
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_of(value: object, module: str, kind: str) -> bool:
    """Whether a value is of a class, whose module is not imported for it."""
    cls = getattr(sys.modules.get(module), kind, None)
    return cls is not None and isinstance(value, cls)


def _is_number_tensor(value: Any) -> bool:
    import torch

    # The number is not read: it may lie on a GPU.
    return value.ndim == 0 and value.dtype is not torch.bool and not value.is_complex()


def item_of(value: Any) -> object:
    """The one element of an array or tensor without a dimension; all else as it is."""
    is_array = _is_of(value, "torch", "Tensor") or _is_of(value, "numpy", "ndarray")
    return value.item() if is_array and value.ndim == 0 else value
