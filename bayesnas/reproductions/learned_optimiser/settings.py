"""Families of tasks, hand-made optimisers with their grids, and the settings of the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.learned.tasks.base import TaskFamily
from bayesnas.inference.learned.tasks.bounds import Bounds
from bayesnas.inference.learned.tasks.perceptrons import Perceptrons
from bayesnas.inference.learned.tasks.quadratics import Quadratics
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.pruning.settings import pooled

AS_TRAINED = "as trained"

HAND_MADE: dict[str, OptimizerFactory] = {
    "SGD": torch.optim.SGD,
    "NAG": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "RMSprop": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
}
"""What a learned optimiser is compared with, each at its best learning rate of a grid."""

_HIGHEST = {"SGD": 3.0, "NAG": 1.0, "RMSprop": -2.0, "Adam": 0.0}
_HIGHEST_ON_QUADRATICS = {"SGD": -5.0, "NAG": -5.5, "RMSprop": -2.0, "Adam": 2.0}


FALLING_FROM = 0.6


def falling(progress: float) -> float:
    """Schedule of a teacher: constant, and from 60 % of the steps linearly down to 0."""
    return min(1.0, (1.0 - progress) / (1.0 - FALLING_FROM))


@dataclass(frozen=True)
class Variant:
    """What a learned optimiser is tried on without having seen it in training.

    Attributes:
        title: in a few words.
        tasks: the family.
        tuning: the family on which learning rates of hand-made optimisers are chosen.
        steps: of a task.
        count: of tasks.
        tuning_count: of tasks on which a learning rate is chosen.
    """

    title: str
    tasks: TaskFamily
    tuning: TaskFamily
    steps: int
    count: int
    tuning_count: int


@dataclass(frozen=True)
class Family:
    """A family of tasks: an optimiser is trained on it, once a seed.

    Attributes:
        key: of files.
        title: in a few words.
        training: tasks that it is trained on.
        variants: tasks that it is measured on; the first are of the family itself.
        learning: options of ``learn_optimizer``.
        after: the family from whose rule, of the same seed, the training goes on.
        imitates: whether the rule first learns the steps of the best hand-made optimiser, at a
            rate that falls at the end.
    """

    key: str
    title: str
    training: TaskFamily
    variants: tuple[Variant, ...]
    learning: dict[str, Any]
    after: Family | None = None
    imitates: bool = False

    @property
    def half(self) -> int:
        """0; 1 where a training goes on with the tasks of the one before, which then are others."""
        return int(self.after is not None and self.after.training is self.training)


@dataclass(frozen=True)
class Settings:
    """What decides the numbers, besides the families.

    Attributes:
        data: name of the data set of the perceptrons.
        seeds: trained optimisers of a family.
        steps: of a task in training.
        unroll: steps that a gradient goes back.
        rounds: of the training on quadratics, whole images, small images (of each of two halves)
            and bounds.
        updates: of an imitation.
        tasks: that an optimiser is measured on, of the same.
        other_tasks: of each variant.
        tuning_tasks: behind the choice of a learning rate; on quadratics as many as are measured.
        rates: of a grid.
        unrolls: of the trainings of a single learning rate.
        rate_rounds: of these.
        seed: of the first training.
    """

    data: str
    seeds: int
    steps: int = 100
    unroll: int = 20
    rounds: tuple[int, int, int, int] = (120, 0, 30, 10)
    updates: int = 8000
    tasks: tuple[int, int, int, int] = (100, 30, 30, 20)
    other_tasks: int = 8
    tuning_tasks: int = 5
    rates: int = 8
    unrolls: tuple[int, ...] = (1, 5, 20, 100)
    rate_rounds: int = 30
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        """All settings, as JSON values."""
        values = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def grid(self, family: Family, optimizer: str) -> list[float]:
        """Learning rates of a hand-made optimiser, the largest first.

        A factor of two apart; on quadratics, which are cheap, of its root.
        """
        if family.key == "quadratics":
            highest, step, count = _HIGHEST_ON_QUADRATICS[optimizer], 0.5, 2 * self.rates
        else:
            highest, step, count = _HIGHEST[optimizer], 1.0, self.rates
        return [2.0 ** (highest - step * index) for index in range(count)]


def prepare(request: Request) -> tuple[Settings, tuple[Family, ...]]:
    """Settings and families of a request.

    Raises:
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    if request.quick:
        settings = Settings(
            "digits",
            request.seeds or 1,
            steps=20,
            unroll=10,
            rounds=(10, 0, 3, 3),
            updates=200,
            tasks=(20, 2, 4, 4),
            other_tasks=2,
            tuning_tasks=2,
            rates=4,
            unrolls=(1, 20),
            rate_rounds=10,
        )
        return settings, families(settings, bn.data.load("digits"), side=2)
    data = bn.data.load("mnist", root=request.root)
    settings = Settings(data.name, request.seeds or 3)
    return settings, families(settings, data, side=4)


def families(settings: Settings, data: DataSet, side: int) -> tuple[Family, ...]:
    """Quadratics, perceptrons of whole and of small images, and bounds.

    Args:
        settings: of the reproduction.
        data: of the perceptrons.
        side: of the squares over which their images are averaged in training.
    """
    quadratics = Quadratics(10)
    count = settings.tasks[0]
    first = Variant(AS_TRAINED, quadratics, quadratics, settings.steps, count, count)
    learning = {"rounds": settings.rounds[0], "batch": 32, "lr": 1e-2, "validation": 50}
    before = Family("quadratics", "quadratics of 10 dimensions", quadratics, (first,), learning)
    return (
        before,
        _whole_images(settings, data),
        _perceptrons(settings, data, side, before),
        _bounds(settings),
    )


def _whole_images(settings: Settings, data: DataSet) -> Family:
    assert data.test is not None
    tasks, training = Perceptrons(data.test), Perceptrons(data.train)
    steps, count = settings.steps, settings.tasks[1]
    known = Variant(AS_TRAINED, tasks, training, steps, count, settings.tuning_tasks)
    learning = {"rounds": settings.rounds[1], "validation": 2}
    title = "perceptron on whole images"
    return Family("whole", title, training, (known,), learning, imitates=True)


def _perceptrons(settings: Settings, data: DataSet, side: int, before: Family) -> Family:
    assert data.test is not None
    parts = data.test, data.train  # measured on one, learning rates chosen on the other

    def variant(
        title: str,
        hidden: tuple[int, ...] = (20,),
        activation: str = "sigmoid",
        side: int = side,
        steps: int = settings.steps,
        count: int = settings.other_tasks,
    ) -> Variant:
        tasks = [Perceptrons(pooled(part, side), hidden, activation) for part in parts]
        return Variant(title, tasks[0], tasks[1], steps, count, settings.tuning_tasks)

    known = variant(AS_TRAINED, count=settings.tasks[2])
    others = (
        variant("whole images", side=1),
        variant("twice the steps", steps=2 * settings.steps),
        variant("40 units", hidden=(40,)),
        variant("two layers", hidden=(20, 20)),
        variant("ReLU", activation="relu"),
    )
    learning = {"rounds": settings.rounds[2], "batch": 1, "lr": 1e-2, "validation": 4}
    title = "perceptron on small images"
    first = Family("perceptron-first", f"{title}, first half", known.tuning, (), learning, before)
    return Family("perceptron", title, known.tuning, (known, *others), learning, first)


def _bounds(settings: Settings) -> Family:
    digits = bn.data.load("digits").train

    def bounds(side: int, *widths: int) -> TaskFamily:
        return Bounds(bn.models.GaussianNet(bn.nn.mlp(widths)), pooled(digits, side))

    small, whole = bounds(2, 16, 10, 10), bounds(1, 64, 20, 10)
    steps, tuning = settings.steps, settings.tuning_tasks
    variants = (
        Variant(AS_TRAINED, small, small, steps, settings.tasks[3], tuning),
        Variant("GaussianNet 64-20-10", whole, whole, steps, settings.other_tasks, tuning),
    )
    learning = {"rounds": settings.rounds[3], "batch": 2, "lr": 1e-3, "validation": 10}
    title = "bound of GaussianNet 16-10-10, digits"
    return Family("bound", title, small, variants, learning, imitates=True)
