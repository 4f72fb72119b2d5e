"""The settings of the search and of the retraining, full and quick, and their data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.random_architectures import architecture_sizes
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.darts_cc import published

Part = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        data: names of the data sets.
        starts: searches on each.
        random: random architectures on each.
        kinds, channels, nodes: of the cells.
        pooling: images are averaged over squares of this side.
        train: most images to search and retrain with.
        test: most images to test with.
        low, high: range of λ̃, nats an example and parameter, in units of :meth:`cost_unit`.
        knots: of α and the classifier over log λ̃.
        search_steps: of a search, in batches of 64.
        search_lr: learning rate of the weights at the start of a search.
        structure_lr: learning rate of α.
        start: fraction of a search before α moves.
        epochs: of retraining, in batches of 96.
        cutout: side of the square that is cut out; 0 for none.
        drop_path: its probability at the last epoch.
    """

    data: tuple[str, ...]
    starts: int
    random: int
    kinds: tuple[str, ...]
    channels: int
    nodes: int
    pooling: int
    train: int
    test: int
    low: float
    high: float
    knots: int
    search_steps: int
    search_lr: float
    structure_lr: float
    start: float
    epochs: int
    cutout: int
    drop_path: float

    def to_dict(self) -> dict[str, Any]:
        """All settings, as JSON values."""
        values = asdict(self)
        return values | {"data": list(self.data), "kinds": list(self.kinds)}

    def cost_weight(self, place: float, graph: Graph) -> float:
        """λ̃ at a place in [0, 1] of the range of its logarithm."""
        return float(self.low * (self.high / self.low) ** place) * cost_unit(graph)

    def random_size(self, index: int, graph: Graph) -> float:
        """Parameters expected of a random architecture: evenly in their logarithm over all."""
        least, most = architecture_sizes(graph)
        return float(least * (most / least) ** ((index + 0.5) / self.random))

    def graph(self, image: int) -> Graph:
        """The space that is searched."""
        return bn.nn.cells(self.kinds, channels=self.channels, nodes=self.nodes, image=image)


_DATA = ("fashion-mnist", "mnist")
_CLASSES = 10


def cost_unit(graph: Graph) -> float:
    """λ̃ at which the largest architecture costs as much as knowing nothing of the classes.

    That is ln 10 nats an example over its parameters beyond those of the smallest; ranges in
    this unit are the same for cells of any width.
    """
    least, most = architecture_sizes(graph)
    return math.log(_CLASSES) / (most - least)


def settings_of(request: Request) -> Settings:
    """Full settings, those of the source where they fit into hours on two cores; or quick ones."""
    starts = request.seeds or (1 if request.quick else published.STARTS)
    if request.quick:
        return Settings(
            data=_DATA, starts=starts, random=8 if starts < published.STARTS else published.RANDOM,
            kinds=("reduction", "reduction"), channels=4, nodes=2, pooling=2, train=3600,
            test=4000, low=0.004, high=4.0, knots=3, search_steps=240, search_lr=0.1,
            structure_lr=0.3, start=0.4, epochs=15, cutout=0, drop_path=0.0,
        )  # fmt: skip
    return Settings(
        data=_DATA, starts=starts, random=published.RANDOM,
        kinds=("normal", "reduction", "reduction"), channels=16, nodes=4, pooling=1, train=6000,
        test=10_000, low=0.004, high=4.0, knots=3, search_steps=200, search_lr=0.1,
        structure_lr=0.3, start=0.4, epochs=15, cutout=8, drop_path=0.1,
    )  # fmt: skip


@dataclass(frozen=True)
class Images:
    """One data set, cut up.

    Attributes:
        name: of the data set.
        weights: half of the training images, for the weights of a search.
        structure: the other half, for α.
        train: five sixths of the training images, for retraining.
        validation: the rest, by which an epoch is chosen.
        test: for the figures.
    """

    name: str
    weights: Part
    structure: Part
    train: Part
    validation: Part
    test: Part


def images(name: str, settings: Settings, root: str | None) -> Images:
    """Load and cut; images in the order of the data set."""
    data = bn.data.load(name, root=root)
    x, y = _part(data, "train", settings.train, settings.pooling)
    half, most = len(x) // 2, 5 * len(x) // 6
    return Images(
        name,
        (x[:half], y[:half]),
        (x[half : 2 * half], y[half : 2 * half]),
        (x[:most], y[:most]),
        (x[most:], y[most:]),
        _part(data, "test", settings.test, settings.pooling),
    )


def _part(data: DataSet, part: str, most: int, pooling: int) -> Part:
    split = getattr(data, part)
    return F.avg_pool2d(split.x[:most], pooling), split.y[:most]
