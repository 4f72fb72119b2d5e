"""Bytes and errors of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.reproductions.bayesian_compression.measure import error


@dataclass(frozen=True)
class Point:
    """A file on the frontier.

    Attributes:
        net, prior, seed: which.
        done: what has been done to it.
        architecture: outputs of each layer, the inputs that are read before them.
        weights: numbers in its matrices and kernels.
        size: bytes of the file.
        error: of the net that is read from it, on the test images, in per cent.
    """

    net: str
    prior: str
    seed: int
    done: str
    architecture: str
    weights: int
    size: int
    error: float

    def to_dict(self) -> dict[str, Any]:
        """All figures, as JSON values."""
        return asdict(self)


def point(path: Path, net: str, prior: str, seed: int, done: str, test: Split) -> Point:
    """Read a file and count the errors of its net."""
    module = bn.decode(path)
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    weights = sum(layer.weight.numel() for layer in layers)
    wrong = error(module, test.x, test.y)
    size = path.stat().st_size
    return Point(net, prior, seed, done, architecture(layers), weights, size, wrong)


def architecture(layers: Sequence[nn.Conv2d | nn.Linear]) -> str:
    """Inputs of each layer, or filters of a convolution, as in ``784-300-100``.

    >>> architecture([nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, 10)])
    '784-300-100'
    """
    return "-".join(
        str(layer.out_channels if isinstance(layer, nn.Conv2d) else layer.in_features)
        for layer in layers
    )
