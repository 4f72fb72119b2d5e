"""The tabulated space: 15,625 architectures on the digits, judged once with shared weights."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.inference.search.judges.enumeration import measure_all
from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.inference.search.judges.table import Table

FILE = Path(__file__).with_name("digits_15625.npz")
CHANNELS = 6
VERTICES = 4
STEPS, BATCH, LR, SEED = 8_000, 64, 1e-2, 0


def digits_halves() -> DataSet:
    """The digits: half of the training part to fit, half held out; the test part is not read."""
    return bn.data.load("digits", validation=0.4)


def digits_graph(channels: int = CHANNELS) -> bn.nn.Graph:
    """Four vertices, each joined to all earlier ones: five operations on six mixed edges.

    The cell of NAS-Bench-201 (Dong, Yang 2020) on images of 8 × 8: the identity, a mean and a
    maximum over 3 × 3 pixels, convolutions of 1 × 1 and 3 × 3. Its fifth operation, nothing, is
    left out: with it many architectures are one and the same network, and the best of this table
    would be one of 125.

    Args:
        channels: of every vertex.
    """
    stem = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, channels, 3, padding=1))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10))
    edges: dict[tuple[str | int, str | int], nn.Module | dict[str, nn.Module]] = {("x", "v0"): stem}
    for target in range(1, VERTICES):
        for source in range(target):
            edges[f"v{source}", f"v{target}"] = _operations(channels)
    edges[f"v{VERTICES - 1}", "y"] = head
    return bn.nn.Graph(edges, example=torch.zeros(1, 64))


def _operations(channels: int) -> dict[str, nn.Module]:
    return {
        "skip": nn.Identity(),
        "mean-3x3": nn.AvgPool2d(3, stride=1, padding=1),
        "max-3x3": nn.MaxPool2d(3, stride=1, padding=1),
        "conv-1x1": _convolution(channels, 1),
        "conv-3x3": _convolution(channels, 3),
    }


def _convolution(channels: int, kernel: int) -> nn.Module:
    # Normalised over the values of an example, so that no other row has a say in its output.
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False),
        nn.GroupNorm(1, channels, affine=False),
    )


def make_table(steps: int = STEPS, *, seed: int = SEED, progress: bool = False) -> Table:
    """Train the shared weights, and judge every architecture on the held-out half.

    Args:
        steps: of the shared weights.
        seed: of everything.
        progress: show bars.

    Returns:
        ``error`` and ``nll`` on the held-out half, ``parameters`` and ``multiply_adds``.
    """
    data = digits_halves()
    assert data.validation is not None
    torch.manual_seed(seed)
    supernet = Supernet(digits_graph())
    train, held_out = data.train, data.validation
    supernet.fit(
        train.x, train.y, steps=steps, batch_size=BATCH, lr=LR, seed=seed, progress=progress
    )
    count = int(supernet.space.size)
    measured = tqdm(
        measure_all(supernet, held_out.x, held_out.y),
        total=count,
        desc="architectures",
        disable=not progress,
        leave=False,
    )
    rows = [
        (
            row["error"],
            row["nll"],
            supernet.parameters_of(candidate),
            supernet.multiply_adds_of(candidate),
        )
        for candidate, row in zip(supernet.space.candidates(), measured, strict=True)
    ]
    error, nll, parameters, multiply_adds = np.array(rows).T
    columns = {
        "error": error.astype(np.float32),
        "nll": nll.astype(np.float32),
        "parameters": parameters.astype(np.uint16),
        "multiply_adds": multiply_adds.astype(np.uint32),
    }
    about = {
        "data": "digits",
        "train": len(train),
        "held_out": len(held_out),
        "channels": CHANNELS,
        "steps": steps,
        "batch_size": BATCH,
        "lr": LR,
        "seed": seed,
    }
    return Table(supernet.space, columns, about)


@functools.cache
def tabulated() -> Table:
    """The table that the library brings."""
    return Table.load(FILE)


if __name__ == "__main__":
    make_table(progress=True).save(FILE)
