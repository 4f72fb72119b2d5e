"""The net that a first fit starts at: maximum likelihood with dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.data import Split
from bayesnas.nn import is_linear_or_convolution
from bayesnas.reproductions.bayesian_compression.settings import Recipe


def pretrained(recipe: Recipe, train: Split, seed: int, device: torch.device) -> nn.Module:
    """Train the net of a recipe; the global random state stays as it was.

    Args:
        recipe: the net, and how it is trained.
        train: training data.
        seed: of the initial weights, the order of the data and the dropout.
        device: where to train; the net comes back on the CPU.
    """
    how = recipe.pretraining
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = recipe.net().to(device).train()
        layers = [m for name, m in net.named_modules() if is_linear_or_convolution(name, m)]
        hooks = [
            layer.register_forward_pre_hook(_dropout(rate))
            for layer, rate in zip(layers, how.dropout, strict=True)
        ]
        x, y = train.x.to(device), train.y.to(device)
        optimizer = torch.optim.Adam(net.parameters(), how.lr)
        steps = how.epochs * math.ceil(len(x) / recipe.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(how.epochs):
            for rows in torch.randperm(len(x)).to(device).split(recipe.batch_size):
                optimizer.zero_grad()
                F.cross_entropy(net(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
    for hook in hooks:
        hook.remove()
    return net.cpu().eval()


def _dropout(rate: float) -> Callable[[nn.Module, Any], Tensor]:
    return lambda _, inputs: F.dropout(inputs[0], rate)
