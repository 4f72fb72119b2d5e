"""The likelihood as weights go, and errors under noise of the inputs, of one start."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.redundancy.settings import (
    COPIES,
    FEATURES,
    NOISE,
    Settings,
    regression,
    sample,
)

MODELS = ("redundant", "compact", "redundant, L2")
NETS = ("redundant", "compact")
_DRAWS = 20  # of the noise


@dataclass(frozen=True)
class Measured:
    """Figures of one start.

    Attributes:
        log_lik: of the regression's training rows, nats a row, by the number of weights removed.
        norms: ‖w‖² of each regression.
        rmse: of its test rows by model and noise.
        accuracy: of the network's test images, likewise.
        weights: of the networks.
    """

    log_lik: list[float]
    norms: dict[str, float]
    rmse: dict[str, list[float]]
    accuracy: dict[str, list[float]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)


def measured(seed: int, settings: Settings, device: str) -> Measured:
    """Fit, remove and add noise; both models of a pair see the same draws of it."""
    result = _regressions(seed, settings, device)
    result.accuracy.update(_networks(seed, settings, device, result.weights))
    return result


def _regressions(seed: int, settings: Settings, device: str) -> Measured:
    train, (x, y) = sample(seed), sample(10_000 + seed)
    options: dict[str, Any] = {
        "likelihood": "gaussian", "noise_scale": NOISE, "device": device, "progress": False,
        "seed": seed,
    }  # fmt: skip
    trained: dict[str, Any] = {"epochs": 200, "lr": 0.05, "batch_size": len(x)}
    net = bn.prune(regression(seed), train, fraction=0.0, **trained, **options).module
    log_lik, compact = [], net
    for removed in range(FEATURES * COPIES):
        fraction = removed / (FEATURES * COPIES)
        smaller = bn.prune(net, train, by="obs", fraction=fraction, **options).module
        log_lik.append(_log_lik(smaller, *train))
        if removed == FEATURES * (COPIES - 1):
            compact = smaller
    penalised = bn.prune(
        regression(seed),
        train,
        fraction=0.0,
        l2=settings.l2,
        **{**trained, "epochs": 1000},
        **options,
    ).module
    models = dict(zip(MODELS, (net, compact, penalised), strict=True))
    norms = {
        name: float(each.get_parameter("weight").detach().square().sum())
        for name, each in models.items()
    }
    rmse = {
        name: [_rmse(each, x, y, noise, seed) for noise in settings.noises]
        for name, each in models.items()
    }
    return Measured(log_lik, norms, rmse)


def _networks(
    seed: int, settings: Settings, device: str, weights: dict[str, int]
) -> dict[str, list[float]]:
    data = bn.data.load("digits")
    assert data.test is not None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start = bn.nn.mlp([64, settings.hidden, settings.hidden, 10])
    options: dict[str, Any] = {"lr": 5e-3, "device": device, "progress": False, "seed": seed}
    dense = bn.prune(start, data.train, fraction=0.0, epochs=settings.epochs, **options)
    smaller = bn.prune(
        dense.module,
        data.train,
        fraction=settings.removed,
        rounds=settings.rounds,
        epochs=settings.epochs // settings.rounds,
        **options,
    )
    on = bn.prune(dense.module, data.train, fraction=0.0, epochs=settings.epochs, **options)
    accuracies = {}
    for name, each in zip(NETS, (on, smaller), strict=True):
        weights[name] = each.weights
        accuracies[name] = [
            _accuracy(each.module, data.test.x, data.test.y, noise, seed)
            for noise in settings.image_noises
        ]
    return accuracies


def _noisy(x: Tensor, noise: float, seed: int) -> Sequence[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [x + noise * torch.randn(x.shape, generator=generator) for _ in range(_DRAWS)]


@torch.no_grad()
def _log_lik(net: nn.Module, x: Tensor, y: Tensor) -> float:
    squares = (net(x)[:, 0] - y).square().mean() / NOISE**2
    return float(-0.5 * squares - math.log(NOISE * math.sqrt(2 * math.pi)))


@torch.no_grad()
def _rmse(net: nn.Module, x: Tensor, y: Tensor, noise: float, seed: int) -> float:
    squares = [(net(each)[:, 0] - y).square().mean() for each in _noisy(x, noise, seed)]
    return float(torch.stack(squares).mean().sqrt())


def _accuracy(net: nn.Module, x: Tensor, y: Tensor, noise: float, seed: int) -> float:
    return statistics.fmean(accuracy(net, each, y) for each in _noisy(x, noise, seed))
