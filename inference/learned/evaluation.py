"""Losses against steps of any optimiser over many tasks at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bayesnas.checks import draw_count, function, positive, seed_number, step_count
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.schedules import Schedule, learning_rate_factor
from bayesnas.inference.learned.tasks.base import Drawn, TaskFamily
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
    schedule: Schedule = "constant",
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
        schedule: factor on it, as in :func:`bayesnas.fit`.
        steps: T.
        count: how many tasks.
        seed: of the tasks and their batches.

    Returns:
        before every step and after the last, ``[steps + 1, count]``.

    >>> from bayesnas.inference.learned.tasks.quadratics import Quadratics
    >>> curves = loss_curves(torch.optim.SGD, Quadratics(10), lr=0.01, steps=5, count=3)
    >>> curves.shape, bool((curves[-1] < curves[0]).all())
    (torch.Size([6, 3]), True)
    """
    steps, count = step_count("steps", steps), draw_count("count", count)
    seed = seed_number("seed", seed)
    function("optimizer", optimizer, "a class of optimisers, or a learned one")
    lr = positive("lr", getattr(optimizer, "lr", None) if lr is None else lr)
    parts = []
    for first in range(0, count, _AT_ONCE):
        drawn = tasks.draw(min(_AT_ONCE, count - first), derived_seed(seed, first))
        values, theta = list[Tensor](), drawn.start
        for step in minimise(optimizer, drawn, lr, steps, schedule):
            values.append(step.losses)
            theta = step.theta
        with torch.no_grad():
            values.append(drawn.losses(theta, steps))
        parts.append(torch.stack(values))
    return torch.cat(parts, dim=1)


class Step(NamedTuple):
    """One step of an optimiser on some tasks.

    Attributes:
        losses: before it, ``[tasks]``.
        gradient: of them, ``[tasks, P]``.
        change: of the parameters, ``[tasks, P]``.
        theta: the parameters after it, ``[tasks, P]``; the next step overwrites them.
    """

    losses: Tensor
    gradient: Tensor
    change: Tensor
    theta: Tensor


def minimise(
    optimizer: OptimizerFactory, drawn: Drawn, lr: float, steps: int, schedule: Schedule
) -> Iterator[Step]:
    """Take the steps of an optimiser; see :func:`loss_curves`.

    >>> from bayesnas.inference.learned.tasks.quadratics import Quadratics
    >>> drawn = Quadratics(2).draw(1, seed=0)
    >>> step = next(minimise(torch.optim.SGD, drawn, 0.1, 1, "constant"))
    >>> torch.allclose(step.change, -0.1 * step.gradient)
    True
    """
    theta = nn.Parameter(drawn.start.clone())
    moving = build_optimizer(optimizer, [theta], lr)
    for step in range(steps):
        for group in moving.param_groups:
            group["lr"] = lr * learning_rate_factor(schedule, step / steps)
        before, losses = theta.detach().clone(), drawn.losses(theta, step)
        (gradient,) = torch.autograd.grad(losses.sum(), theta)
        theta.grad = gradient.clone()
        moving.step()
        after = theta.detach()
        yield Step(losses.detach(), gradient, after - before, after)
