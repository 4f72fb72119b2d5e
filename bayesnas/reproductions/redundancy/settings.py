"""Samples, models and settings of the demonstration of redundancy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.reproductions.base import Request

FEATURES, COPIES, ROWS, NOISE = 5, 4, 400, 0.5
"""Of the regression: columns, how often each stands in x, rows, deviation of the targets."""


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        starts: seeds, of samples, initial weights and noise.
        noises: deviations of the noise that is added to test inputs of the regression.
        image_noises: likewise of the images, whose pixels lie in [0, 1].
        hidden: units of the network.
        removed: share of the network's weights that is removed.
        epochs: of its training; as many in all after each removal.
        rounds: of removal.
        l2: penalty of the third regression.
    """

    starts: int
    noises: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    image_noises: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6)
    hidden: int = 100
    removed: float = 0.9
    epochs: int = 30
    rounds: int = 5
    l2: float = 0.03

    def to_dict(self) -> dict[str, Any]:
        """All of them, as JSON values."""
        values = asdict(self)
        return {**values, **{k: list(v) for k, v in values.items() if isinstance(v, tuple)}}


def settings_of(request: Request) -> Settings:
    """Five starts; one and few epochs where quick."""
    if request.quick:
        return Settings(request.seeds or 1, epochs=5, rounds=2)
    return Settings(request.seeds or 5)


def sample(seed: int) -> tuple[Tensor, Tensor]:
    """Rows in which each of five features stands four times, and targets linear in them.

    >>> x, y = sample(0)
    >>> x.shape, bool((x[:, :5] == x[:, 5:10]).all())
    (torch.Size([400, 20]), True)
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, FEATURES, generator=generator)
    weights = torch.tensor([1.0, -1.0, 0.5, -0.5, 0.25])
    y = x @ weights + NOISE * torch.randn(ROWS, generator=generator)
    return x.repeat(1, COPIES), y


def regression(seed: int) -> nn.Linear:
    """A linear layer with weights drawn from N(0, 1)."""
    net = nn.Linear(FEATURES * COPIES, 1)
    with torch.no_grad():
        net.weight.copy_(torch.randn(1, 20, generator=torch.Generator().manual_seed(seed)))
    return net
