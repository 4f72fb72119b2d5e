"""Networks of which some units do nothing, and what `compact` has to keep of them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def size(net: nn.Module) -> int:
    """How many parameters there are."""
    return sum(parameter.numel() for parameter in net.parameters())


def silence(weight: Tensor, *, rows: Iterable[int] = (), columns: Iterable[int] = ()) -> None:
    """Set rows and columns of a weight to zero."""
    with torch.no_grad():
        weight[torch.as_tensor(rows, dtype=torch.long)] = 0
        weight[:, torch.as_tensor(columns, dtype=torch.long)] = 0


def assert_same_outputs(small: nn.Module, net: nn.Module, *example: Tensor) -> None:
    """In evaluation mode, on the example and on inputs that `compact` has not seen."""
    modes = [(module, module.training) for module in (*small.modules(), *net.modules())]
    small.eval()
    net.eval()
    unseen = [tuple(3 * torch.randn_like(x) for x in example) for _ in range(3)]
    with torch.no_grad():
        for inputs in (example, *unseen):
            torch.testing.assert_close(small(*inputs), net(*inputs), rtol=1e-5, atol=1e-5)
    for module, training in modes:
        module.training = training
