"""Families of tasks, hand-made optimisers with their grids, and the settings of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

import bayesnas as bn
from bayesnas.data import DataSet, Split
from bayesnas.inference.learned.tasks.base import TaskFamily
from bayesnas.inference.learned.tasks.bounds import Bounds
from bayesnas.inference.learned.tasks.perceptrons import Perceptrons
from bayesnas.inference.learned.tasks.quadratics import Quadratics
from bayesnas.inference.optim.optimizers import OptimizerFactory
from bayesnas.reproductions.base import Request

HAND_MADE: dict[str, OptimizerFactory] = {
    "SGD": torch.optim.SGD,
    "NAG": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "RMSprop": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
}
"""What a learned optimiser is compared with, each at its best learning rate of a grid."""

_HIGHEST = {"SGD": 3, "NAG": 1, "RMSprop": -2, "Adam": 0}
_LOWER_ON_QUADRATICS = {"SGD": 8, "NAG": 6, "RMSprop": 2, "Adam": 0}


@dataclass(frozen=True)
class Variant:
    """What a learned optimiser is tried on without having seen it in training.

    Attributes:
        title: in a few words.
        tasks: the family.
        tuning: the family on which learning rates of hand-made optimisers are chosen.
        steps: of a task.
        count: of tasks.
    """

    title: str
    tasks: TaskFamily
    tuning: TaskFamily
    steps: int
    count: int


@dataclass(frozen=True)
class Family:
    """A family of tasks: an optimiser is trained on it, once a seed.

    Attributes:
        key: of files.
        title: in a few words.
        training: tasks that it is trained on.
        variants: tasks that it is measured on; the first are of the family itself.
        learning: options of ``learn_optimizer``.
    """

    key: str
    title: str
    training: TaskFamily
    variants: tuple[Variant, ...]
    learning: dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What decides the numbers, besides the families.

    Attributes:
        data: name of the data set of the perceptrons.
        seeds: trained optimisers of a family.
        steps: of a task in training.
        unroll: steps that a gradient goes back.
        rounds: of the training on quadratics, perceptrons and bounds.
        tasks: that an optimiser is measured on, of the same.
        other_tasks: of each variant.
        tuning_tasks: behind the choice of a learning rate.
        rates: of a grid, each half of the one before.
        seed: of the first training.
    """

    data: str
    seeds: int
    steps: int = 100
    unroll: int = 20
    rounds: tuple[int, int, int] = (120, 40, 40)
    tasks: tuple[int, int, int] = (100, 40, 40)
    other_tasks: int = 6
    tuning_tasks: int = 6
    rates: int = 8
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        """All settings, as JSON values."""
        return {**asdict(self), "rounds": list(self.rounds), "tasks": list(self.tasks)}

    def grid(self, family: Family, optimizer: str) -> list[float]:
        """Learning rates of a hand-made optimiser, the largest first."""
        highest = _HIGHEST[optimizer]
        if family.key == "quadratics":
            highest -= _LOWER_ON_QUADRATICS[optimizer]
        return [2.0 ** (highest - index) for index in range(self.rates)]


def prepare(request: Request) -> tuple[Settings, tuple[Family, ...]]:
    """Settings and families of a request.

    Raises:
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    if request.quick:
        data = bn.data.load("digits")
        few = {"steps": 20, "unroll": 10, "other_tasks": 2, "tuning_tasks": 2, "rates": 4}
        counts = {"rounds": (10, 3, 3), "tasks": (20, 4, 4)}
        settings = Settings(data.name, request.seeds or 1, **few, **counts)  # type: ignore[arg-type]
        return settings, families(settings, data, sides=(2, 1))
    data = bn.data.load("mnist", root=request.root)
    settings = Settings(data.name, request.seeds or 3)
    return settings, families(settings, data, sides=(2, 1))


def families(settings: Settings, data: DataSet, sides: tuple[int, int]) -> tuple[Family, ...]:
    """Quadratics, perceptrons and bounds.

    Args:
        settings: of the reproduction.
        data: of the perceptrons.
        sides: of the squares over which their images are averaged, in training and in the variant
            of more inputs.
    """
    assert data.test is not None
    train, test = data.train, data.test

    def perceptrons(
        part: Split, side: int, *hidden: int, activation: str = "sigmoid"
    ) -> TaskFamily:
        return Perceptrons(averaged(part, side), hidden or (20,), activation)

    def variant(title: str, make: Callable[[Split], TaskFamily], steps: int, count: int) -> Variant:
        return Variant(title, make(test), make(train), steps, count)

    steps, few, (first, second, third) = settings.steps, settings.other_tasks, settings.tasks
    small, large = sides
    quadratics = Quadratics(10)
    digits = bn.data.load("digits").train
    bounds = Bounds(bn.models.GaussianNet(bn.nn.mlp([64, 20, 10])), digits)
    trained = perceptrons(train, small)
    some = {"batch": 1, "coordinates": 1000, "lr": 1e-2, "validation": 4}
    return (
        Family(
            "quadratics",
            "quadratics of 10 dimensions",
            quadratics,
            (Variant("as trained", quadratics, quadratics, steps, first),),
            {"rounds": settings.rounds[0], "batch": 32, "lr": 1e-2, "validation": 50},
        ),
        Family(
            "perceptron",
            "perceptron of 20 sigmoid units",
            trained,
            (
                variant("as trained", lambda part: perceptrons(part, small), steps, second),
                variant("four times the inputs", lambda p: perceptrons(p, large), steps, few),
                variant("twice the steps", lambda p: perceptrons(p, small), 2 * steps, few),
                variant("40 units", lambda p: perceptrons(p, small, 40), steps, few),
                variant("two layers", lambda p: perceptrons(p, small, 20, 20), steps, few),
                variant("ReLU", lambda p: perceptrons(p, small, activation="relu"), steps, few),
            ),
            {"rounds": settings.rounds[1], **some},
        ),
        Family(
            "bound",
            "bound of GaussianNet 64-20-10 on the digits",
            bounds,
            (Variant("as trained", bounds, bounds, steps, third),),
            {"rounds": settings.rounds[2], **some},
        ),
    )


def averaged(split: Split, side: int) -> Split:
    """Images averaged over squares, flat."""
    images = split.x if split.x.ndim > 2 else split.x.unflatten(1, (1, 8, 8))
    return replace(split, x=F.avg_pool2d(images, side).flatten(1))
