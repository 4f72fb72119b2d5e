"""How much memory there is, for those who refuse what does not fit before they take it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def available_memory() -> float:
    """Bytes of memory that programs can have now; infinite where the system does not say.

    >>> available_memory() > 0
    True
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return 1024.0 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


class MemoryLimit(TorchFunctionMode):
    """While it holds, tensors that memory has no room for are refused before any is taken.

    >>> with MemoryLimit():
    ...     torch.empty(10**9, 10**9)
    Traceback (most recent call last):
    ...
    ValueError: a tensor of shape [1000000000, 1000000000] takes more memory than is free
    """

    def __init__(self) -> None:
        super().__init__()
        self._left = available_memory()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Look at the sizes that a new tensor is asked for."""
        kwargs = kwargs or {}
        if func in _NEW:
            sizes = kwargs.get("size", args)
            if args and isinstance(args[0], (tuple, list)):
                sizes = args[0]
            shape = [n for n in sizes if isinstance(n, int)]
            if math.prod(shape) * 4 > self._left:
                raise ValueError(f"a tensor of shape {shape} takes more memory than is free")
        return func(*args, **kwargs)


_NEW = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
