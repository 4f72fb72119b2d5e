"""The share of rows that a network puts into the right class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of rows whose largest output is that of their class, the network in evaluation mode.

    Args:
        net: outputs ``[n, classes]``.
        x: inputs ``[n, ...]``.
        y: classes ``[n]``.

    >>> accuracy(nn.Identity(), torch.eye(2), torch.tensor([0, 0]))
    0.5
    """
    right = net.eval()(x).argmax(-1) == y
    return float(right.double().mean())
