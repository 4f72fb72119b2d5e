"""Regressions one after another, as a task for networks that learn while they run."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from bayesnas.checks import positive, seed_number, size, step_count
from bayesnas.inference.learned.meta_levels.net import MetaLevelNet
from bayesnas.runtime.random_state import derived_seed
from bayesnas.typed import typed


class Sequences(NamedTuple):
    """Examples in the order in which they are shown.

    Attributes:
        x: inputs ``[n, steps, 1]``.
        y: targets ``[n, steps, 1]``.
    """

    x: Tensor
    y: Tensor


@typed()
def regressions(count: int, tasks: int = 2, examples: int = 10, seed: int = 0) -> Sequences:
    r"""Sequences of regressions :math:`y = a x + b`, a new one after every so many examples.

    a, b and x are standard normal numbers. Nothing says where a task begins.

    Args:
        count: n, sequences.
        tasks: in a sequence.
        examples: of a task.
        seed: of all of it.

    >>> regressions(3, tasks=2, examples=5).x.shape
    torch.Size([3, 10, 1])
    """
    count, tasks = size("count", count), size("tasks", tasks)
    examples, seed = size("examples", examples), seed_number("seed", seed)
    generator = torch.Generator().manual_seed(derived_seed(seed, 0))
    slope, offset = torch.randn(2, count, tasks, 1, generator=generator)
    x = torch.randn(count, tasks, examples, generator=generator)
    y = slope * x + offset
    return Sequences(x.flatten(1).unsqueeze(-1), y.flatten(1).unsqueeze(-1))


@typed()
def train_on_regressions(
    net: MetaLevelNet,
    *,
    steps: int = 1000,
    batch: int = 64,
    lr: float = 5e-3,
    tasks: int = 2,
    examples: int = 10,
    clip: float = 1.0,
    seed: int = 0,
) -> MetaLevelNet:
    """Train the initial weights on fresh sequences at every step, by the mean squared error.

    Args:
        net: not changed.
        steps: of Adam.
        batch: sequences a step.
        lr: learning rate, cosine down to 0.
        tasks: in a sequence.
        examples: of a task.
        clip: largest norm of a gradient.
        seed: of the sequences.

    >>> net = train_on_regressions(MetaLevelNet(1, 1, hidden=2), steps=2, batch=4, examples=3)
    >>> bool(net.weights.isfinite().all())
    True
    """
    net, steps = copy.deepcopy(net), step_count("steps", steps)
    batch, seed, clip = size("batch", batch), seed_number("seed", seed), positive("clip", clip)
    adam = torch.optim.Adam(net.parameters(), positive("lr", lr))
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for step in range(steps):
        x, y = regressions(batch, tasks, examples, derived_seed(seed, step))
        loss = (net(x, y) - y).square().mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        adam.step()
        rates.step()
    return net


@torch.no_grad()
def errors(net: MetaLevelNet, sequences: Sequences) -> Tensor:
    """Squared errors, ``[n, steps]``."""
    squares: Tensor = (net(*sequences) - sequences.y).square().squeeze(-1)
    return squares
