"""Losses against steps of any optimiser over many tasks at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bayesnas.checks import draw_count, function, positive, seed_number, step_count
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.learned.tasks.base import TaskFamily
from bayesnas.inference.optim.optimizers import build_optimizer
from bayesnas.runtime.random_state import derived_seed
from bayesnas.typed import typed

_AT_ONCE = 20


@typed(unchecked=("optimizer",))
def loss_curves(
    optimizer: OptimizerFactory,
    tasks: TaskFamily,
    *,
    lr: float | None = None,
    steps: int = 100,
    count: int = 100,
    seed: int = 0,
) -> Tensor:
    """Minimise some tasks of a family, and note their losses.

    The parameters of many tasks are one tensor, so the optimiser has to treat every coordinate by
    itself, as SGD, RMSprop, Adam and learned optimisers do. Two optimisers under one seed get the
    same tasks, starts and batches.

    Args:
        optimizer: makes the optimiser: ``optimizer(parameters, lr=lr)``.
        tasks: the family.
        lr: its learning rate; None for that of a learned optimiser.
        steps: T.
        count: how many tasks.
        seed: of the tasks and their batches.

    Returns:
        before every step and after the last, ``[steps + 1, count]``.

    >>> from bayesnas.inference.learned.tasks.quadratics import Quadratics
    >>> found = loss_curves(torch.optim.SGD, Quadratics(10), lr=0.01, steps=5, count=3)
    >>> found.shape, bool((found[-1] < found[0]).all())
    (torch.Size([6, 3]), True)
    """
    steps, count = step_count("steps", steps), draw_count("count", count)
    seed = seed_number("seed", seed)
    function("optimizer", optimizer, "a class of optimisers, or a learned one")
    lr = positive("lr", getattr(optimizer, "lr", None) if lr is None else lr)
    parts = []
    for first in range(0, count, _AT_ONCE):
        start, losses = tasks.draw(min(_AT_ONCE, count - first), derived_seed(seed, first))
        theta = nn.Parameter(start.clone())
        moving, values = build_optimizer(optimizer, [theta], lr), list[Tensor]()
        for step in range(steps):
            value = losses(theta, step)
            (theta.grad,) = torch.autograd.grad(value.sum(), theta)
            moving.step()
            values.append(value.detach())
        with torch.no_grad():
            values.append(losses(theta, steps))
        parts.append(torch.stack(values))
    return torch.cat(parts, dim=1)
