"""The loop that methods share which bring a loss and no loop of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peer_methods.task import Task

Loss = Callable[[Tensor, Tensor], Tensor]


def cosine(done: float) -> float:
    """Share of the learning rate after a share of the steps."""
    return 0.5 * (1 + math.cos(math.pi * done))


def cross_entropy(net: nn.Module) -> Loss:
    return lambda x, y: F.cross_entropy(net(x), y)


def trained(
    task: Task,
    parameters: Iterable[nn.Parameter],
    loss: Loss,
    schedule: Callable[[float], float] = cosine,
) -> Iterator[int]:
    """Train by Adam, and yield the number of every epoch after it."""
    optimizer = torch.optim.Adam(parameters, lr=task.lr, fused=True)
    steps = task.epochs * task.batches_an_epoch
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step / steps))
    for epoch in range(1, task.epochs + 1):
        for x, y in task.batches():
            optimizer.zero_grad()
            loss(x, y).backward()
            optimizer.step()
            falling.step()
        yield epoch
