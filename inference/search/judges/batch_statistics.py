"""Batch normalisation in a network that stands for many: whose averages it uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


@contextmanager
def batch_statistics(net: nn.Module) -> Iterator[nn.ModuleList]:
    """Let batch normalisation use the means and variances of what passes, and forget them after.

    The running averages of a supernet are those of all its architectures together, which none of
    them has: measured with these, an architecture looks worse the further it is from the mixture.

    Args:
        net: in any mode; nothing but its batch normalisation changes inside the block.

    Yields:
        the layers of batch normalisation. Put into evaluation mode inside the block they go on
        with the averages of what has passed in it.

    References:
        Guo, Zhang, Mu, Heng, Liu, Wei, Sun, *Single path one-shot neural architecture search with
        uniform sampling*, 2020; Yu et al., *BigNAS: scaling up neural architecture search with big
        single-stage models*, 2020: both average anew for every architecture.

    >>> import torch
    >>> norm = nn.BatchNorm1d(1, affine=False).eval()
    >>> with batch_statistics(norm):
    ...     print(norm(torch.tensor([[1.0], [3.0]])).round().tolist())
    [[-1.0], [1.0]]
    >>> norm.training, norm.running_mean.tolist()
    (False, [0.0])
    """
    norms = [
        layer
        for layer in net.modules()
        if isinstance(layer, _NORMS) and layer.running_mean is not None
    ]
    before = [
        ({name: value.clone() for name, value in layer.state_dict().items()}, layer.momentum)
        for layer in norms
    ]
    modes = [layer.training for layer in norms]
    try:
        for layer in norms:
            layer.reset_running_stats()
            layer.momentum = None  # equal shares of all batches
            layer.train()
        yield nn.ModuleList(norms)
    finally:
        for layer, (state, momentum), mode in zip(norms, before, modes, strict=True):
            layer.load_state_dict(state)
            layer.momentum = momentum
            layer.train(mode)
