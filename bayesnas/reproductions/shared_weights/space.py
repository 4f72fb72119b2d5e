"""The slice of Fashion-MNIST, its space of architectures, and training of one of them."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import bayesnas as bn
from bayesnas.inference.search.strategies.shared_weights.samples import Batches, Sample
from bayesnas.nn.graphs.darts_operations import Zero
from bayesnas.nn.graphs.graph import Graph
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.base import Request
from bayesnas.runtime.random_state import RandomStream

VERTICES = 4


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        train: images of the weights, in searches and in training again.
        validation: images of the distributions, and by which the random front is chosen.
        test: images of the figures.
        channels: of every vertex.
        epochs: of a search; a third of them before the distribution moves.
        retraining_epochs: of every architecture, from fresh weights.
        retrainings: seeds of training again.
        searches: seeds of each method.
        random: architectures, spread over all sizes.
        budgets: of the budgeted networks, shares of the way from the smallest to the largest.
    """

    train: int = 2400
    validation: int = 1200
    test: int = 4000
    channels: int = 8
    epochs: int = 20
    retraining_epochs: int = 12
    retrainings: int = 2
    searches: int = 3
    random: int = 12
    budgets: tuple[float, ...] = (0.4,)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "budgets": list(self.budgets)}


QUICK = Settings(
    train=640, validation=320, test=500, channels=4, epochs=3, retraining_epochs=2, retrainings=2,
    searches=1, random=3, budgets=(0.5,),
)  # fmt: skip


def settings_of(request: Request) -> Settings:
    """Full or quick; ``--seeds`` says how many searches each method has."""
    settings = QUICK if request.quick else Settings()
    return settings if request.seeds is None else replace(settings, searches=request.seeds)


@dataclass(frozen=True)
class Parts:
    """The images: rows of training and test part in the order of the data set."""

    train: Sample
    validation: Sample
    test: Sample


def fashion_graph(channels: int) -> Graph:
    """Four vertices, five operations on six mixed edges, on images of 14 × 14."""
    stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.GroupNorm(1, channels))
    head = nn.Sequential(
        nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * channels, 10)
    )
    edges: dict[tuple[str | int, str | int], nn.Module | dict[str, nn.Module]] = {("x", "v0"): stem}
    for target in range(1, VERTICES):
        for source in range(target):
            edges[f"v{source}", f"v{target}"] = _operations(channels)
    edges[f"v{VERTICES - 1}", "y"] = head
    return Graph(edges, example=torch.zeros(1, 1, 14, 14))


def _operations(channels: int) -> dict[str, nn.Module]:
    return {
        "none": Zero(),
        "skip": nn.Identity(),
        "mean-3x3": nn.AvgPool2d(3, stride=1, padding=1),
        "conv-1x1": _convolution(channels, 1),
        "conv-3x3": _convolution(channels, 3),
    }


def _convolution(channels: int, kernel: int) -> nn.Module:
    # Normalised over an example, so that shared weights need no averages over architectures.
    convolution = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.GroupNorm(1, channels, affine=False))


def images(settings: Settings, root: str | None) -> Parts:
    """Load, average over 2 × 2 pixels, and cut."""
    data = bn.data.load("fashion-mnist", root=root)
    assert data.test is not None
    x, y = F.avg_pool2d(data.train.x.view(-1, 1, 28, 28), 2), data.train.y
    last = settings.train + settings.validation
    test_x = F.avg_pool2d(data.test.x[: settings.test].view(-1, 1, 28, 28), 2)
    return Parts(
        Sample(x[: settings.train], y[: settings.train]),
        Sample(x[settings.train : last], y[settings.train : last]),
        Sample(test_x, data.test.y[: settings.test]),
    )


def retrained(graph: Graph, parts: Parts, settings: Settings, seed: int) -> tuple[float, float]:
    """Accuracy on validation and test images after training from fresh weights.

    SGD with a momentum of 0.9, batches of 64, a cosine from 0.05 to 0; the last weights count.
    """
    net = copy.deepcopy(graph)
    with RandomStream(seed, torch.device("cpu")).active():
        for module in net.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        batches = Batches(parts.train, 64)
        steps = settings.retraining_epochs * (len(parts.train) // 64)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            batch = batches.next()
            optimizer.zero_grad()
            F.cross_entropy(net(batch.x), batch.y).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    x, y = parts.validation.x, parts.validation.y
    return accuracy(net, x, y), accuracy(net, parts.test.x, parts.test.y)
