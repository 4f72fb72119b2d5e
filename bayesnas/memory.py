"""How much memory there is, for those who refuse what does not fit before they take it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def available_memory() -> float:
    """Bytes of memory that this process can have now; infinite where the system does not say.

    What is free, and no more than what ``ulimit -v`` and ``ulimit -d`` leave to the process.

    >>> available_memory() > 0
    True
    """
    return max(min(_free(), _left_by_limits()), 0.0)


def _left_by_limits() -> float:
    """Bytes of address space and of data that the limits of the process leave."""
    try:
        import resource

        pages = [int(n) for n in Path("/proc/self/statm").read_text(encoding="ascii").split()]
    except (ImportError, OSError, ValueError):
        return math.inf
    left = math.inf
    for limit, used in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            left = min(left, float(most) - used * resource.getpagesize())
    return left


def _free() -> float:
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
            needed = math.prod(shape) * 4
            if needed > _SMALL and needed > available_memory():
                raise ValueError(f"a tensor of shape {shape} takes more memory than is free")
        return func(*args, **kwargs)


_SMALL = 2**20  # bytes, for which nobody need look
_NEW = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
