"""Checks of constructor arguments: errors name the argument, what came, what was expected."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

_BYTES = 16  # of a parameter: its value, its gradient and Adam's two moments


def check_positive(name: str, value: object) -> float:
    """Return a finite number > 0 as a float.

    >>> check_positive("scale", 2)
    2.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)


def check_probability(name: str, value: object) -> float:
    """Return a probability strictly between 0 and 1, where its logit is finite.

    >>> check_probability("inclusion", 0.25)
    0.25
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{name} must be a probability in (0, 1), got {value!r}")
    return float(value)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Return one of the choices.

    >>> check_choice("estimator", "local", ("local", "weight"))
    'local'
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")
    return value


def check_memory(name: str, value: int, build: Callable[[int], Sequence[nn.Module]]) -> None:
    """Raise ValueError, with an estimate, unless memory holds what Adam trains.

    Args:
        name: of the argument, for the message.
        value: how many latents, say; the number of parameters must be linear in it.
        build: modules with as many parameters; nothing is allocated for them.

    >>> check_memory("latents", 3, lambda latents: [nn.Linear(latents, 2)])
    """
    with torch.device("meta"):
        one, two = (sum(p.numel() for m in build(n) for p in m.parameters()) for n in (1, 2))
    needed, available = _BYTES * (one + (two - one) * (value - 1)), available_memory()
    if needed > available:
        raise ValueError(
            f"{name}={value} takes about {needed / 2**20:,.0f} MiB for parameters, gradients and "
            f"Adam's moments, and {available / 2**20:,.0f} MiB are free"
        )


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
