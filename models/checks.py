"""Whether memory holds the parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from bayesnas.memory import available_memory

_BYTES = 16  # of a parameter: its value, its gradient and Adam's two moments


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
