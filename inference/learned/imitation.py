"""A rule learns the steps of a hand-made optimiser, before its own losses train it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bayesnas.checks import draw_count, function, positive, size, step_count
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.schedules import Schedule, learning_rate_factor
from bayesnas.inference.learned.evaluation import minimise
from bayesnas.inference.learned.rules import UpdateRule
from bayesnas.inference.learned.tasks.base import TaskFamily
from bayesnas.runtime.random_state import derived_seed
from bayesnas.typed import typed

_EVERYWHERE = 0.2  # share of the coordinates that is drawn uniformly
_FLOOR = 0.2  # of the size of a step, in the mean size: steps near 0 would count without bound


@typed(unchecked=("optimizer",))
@dataclass(frozen=True)
class Imitation:
    r"""A hand-made optimiser as a teacher: what ``imitate=`` of ``learn_optimizer`` takes.

    The optimiser takes the T steps of some tasks. Its changes :math:`\Delta_{ti}` of the
    coordinates are a function of the gradients up to then, as those of a rule are. φ minimises

    .. math:: E(\phi) = \frac1T \sum_t \frac{\sum_i (\hat\Delta_{ti}(\phi) - \Delta_{ti})^2}
        {P\,s_t^2}, \qquad s_t^2 = \tfrac1P \sum_i \Delta_{ti}^2 + (0.2\, \bar\Delta)^2,
        \qquad \bar\Delta = \tfrac1T \sum_t \bigl(\tfrac1P \sum_i \Delta_{ti}^2\bigr)^{1/2}

    by Adam, on coordinates drawn by the size of their changes and weighted by its inverse, so that
    the estimate of E has no bias; φ moves after every ``window`` steps, along the gradient through
    these. A recurrent rule can learn a ``schedule`` too: its state can count the steps. The paths
    are kept in memory, 8 T P bytes a task.

    Args:
        optimizer: of every coordinate by itself, as SGD and Adam are.
        lr: its learning rate.
        schedule: factor on it, as in :func:`bayesnas.fit`.
        updates: of φ.
        rate: learning rate of φ, cosine down to 0.
        window: steps that a gradient goes back.
        coordinates: in a batch.
        tasks: whose paths are shown.

    Raises:
        TypeError, ValueError: naming the argument.

    References:
        Lv, Jiang, Li, *Learning gradient descent: better generalization and longer horizons*,
        2017; Chen et al., *Training stronger baselines for learning to optimize*, 2020.

    >>> from bayesnas.inference.learned.rules import MomentumRule
    >>> from bayesnas.inference.learned.tasks.quadratics import Quadratics
    >>> teacher = Imitation(torch.optim.SGD, lr=0.004, updates=200, rate=0.05)
    >>> rule = MomentumRule(rate=0.001)
    >>> errors = teacher.teach(rule, Quadratics(4), steps=10)
    >>> round(rule.config()["rate"], 4)
    0.004
    """

    optimizer: OptimizerFactory
    lr: float
    schedule: Schedule = "constant"
    updates: int = 8000
    rate: float = 1e-2
    window: int = 20
    coordinates: int = 128
    tasks: int = 6

    def __post_init__(self) -> None:
        """Check the options."""
        function("optimizer", self.optimizer, "a class of optimisers")
        learning_rate_factor(self.schedule, 0.0)
        checked = {
            "lr": positive("lr", self.lr),
            "updates": step_count("updates", self.updates),
            "rate": positive("rate", self.rate),
            "window": step_count("window", self.window),
            "coordinates": size("coordinates", self.coordinates),
            "tasks": draw_count("tasks", self.tasks),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def config(self) -> dict[str, Any]:
        """What decides the numbers, as JSON values."""
        return {
            "optimizer": getattr(self.optimizer, "__name__", str(self.optimizer)),
            "lr": self.lr,
            "schedule": self.schedule if isinstance(self.schedule, str) else "custom",
            "updates": self.updates,
            "rate": self.rate,
            "window": self.window,
            "coordinates": self.coordinates,
            "tasks": self.tasks,
        }

    def teach(self, rule: UpdateRule, tasks: TaskFamily, steps: int, seed: int = 0) -> list[float]:
        """Train a rule, in place.

        Args:
            rule: to train.
            tasks: the family.
            steps: T.
            seed: of the tasks and the choice of coordinates.

        Returns:
            estimates of E, the mean over each tenth of the updates.

        Raises:
            ValueError: where the optimiser diverges on a task, or moves nothing.
        """
        lesson = self._lesson(tasks, steps, derived_seed(seed, 0))
        trained = [value for value in rule.parameters() if value.requires_grad]
        adam = torch.optim.Adam(trained, self.rate, fused=True)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.updates)
        generator = torch.Generator().manual_seed(derived_seed(seed, 1))
        errors = list[float]()
        for error in self._errors(rule, lesson, generator):
            adam.zero_grad()
            error.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            adam.step()
            rates.step()
            errors.append(float(error.detach()))
        parts = torch.tensor(errors).tensor_split(min(10, len(errors)))
        return [float(part.mean()) for part in parts]

    def _lesson(self, tasks: TaskFamily, steps: int, seed: int) -> Lesson:
        """Take the steps of the teacher."""
        drawn = tasks.draw(self.tasks, seed)
        path = list(minimise(self.optimizer, drawn, self.lr, steps, self.schedule))
        gradients = torch.stack([step.gradient.flatten() for step in path])
        changes = torch.stack([step.change.flatten() for step in path])
        if not bool(changes.isfinite().all()) or not bool(changes.any()):
            raise ValueError(
                f"imitate must take finite steps on the tasks, and move, got {self.config()}"
            )
        return lesson_of(gradients, changes)

    def _errors(
        self, rule: UpdateRule, lesson: Lesson, generator: torch.Generator
    ) -> Iterator[Tensor]:
        """E over one window after another, as often as φ is to move."""
        steps, done = len(lesson.gradients), 0
        ends = lesson.chances.double().cumsum(0)
        while True:
            at = torch.rand(self.coordinates, generator=generator, dtype=torch.float64)
            some = torch.searchsorted(ends, at * ends[-1], right=True).clamp(max=len(ends) - 1)
            gradients, changes = lesson.gradients[:, some], lesson.changes[:, some]
            weights = 1 / (len(ends) * lesson.chances[some] * lesson.squares)
            state = rule.start(gradients[0])
            for first in range(0, steps, self.window):
                state = tuple(part.detach() for part in state)
                part = slice(first, first + self.window)
                moved, state = rule.path(gradients[part], state)
                wrong = rule.lr * moved - changes[part]
                yield (wrong.square() * weights[part]).mean()
                done += 1
                if done == self.updates:
                    return


class Lesson(NamedTuple):
    """Steps of an optimiser, coordinate by coordinate.

    Attributes:
        gradients: of all coordinates of all tasks, ``[T, P]``.
        changes: Δ, likewise.
        squares: s², ``[T, 1]``.
        chances: of a coordinate to be drawn, ``[P]``.
    """

    gradients: Tensor
    changes: Tensor
    squares: Tensor
    chances: Tensor


def lesson_of(gradients: Tensor, changes: Tensor) -> Lesson:
    """Sizes and chances for the steps of an optimiser; see :class:`Imitation`.

    >>> lesson = lesson_of(torch.ones(1, 2), torch.tensor([[3.0, 1.0]]))
    >>> lesson.chances  # 0.8 by size, 0.2 for all alike
    tensor([0.7000, 0.3000])
    """
    sizes = changes.square().mean(1, keepdim=True)
    squared = sizes + (_FLOOR * sizes.sqrt().mean()).square()
    relative = (changes.square() / squared).mean(0).sqrt()
    width = len(relative)
    chances = (1 - _EVERYWHERE) * relative / relative.sum() + _EVERYWHERE / width
    return Lesson(gradients, changes, squared, chances)
