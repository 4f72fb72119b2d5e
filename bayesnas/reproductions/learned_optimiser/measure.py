"""Trained optimisers and loss curves, kept for a second call."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from bayesnas.inference import LearnedOptimizer, learn_optimizer
from bayesnas.inference.config.schedules import Schedule
from bayesnas.inference.learned.evaluation import loss_curves
from bayesnas.inference.learned.imitation import Imitation
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.learned_optimiser.settings import (
    HAND_MADE,
    Family,
    Settings,
    Variant,
    falling,
)
from bayesnas.tensor_files import read_json, write_json

LEARNED, TEACHER = "LSTM", "teacher"
DIVERGED = 1e30
"""In the place of a loss that is not finite."""

_TUNING_SEED, _TEST_SEED = 1001, 2002
_NEXT_TASKS = 10_000  # between the seeds of trainings that go on from one another


@dataclass(frozen=True)
class Curve:
    """Losses of one optimiser on one variant.

    Attributes:
        optimizer: its name; of a learned one ``"LSTM"``, of the one it imitates ``"teacher"``.
        seed: of its training; 0 for a hand-made one.
        lr: learning rate; of a hand-made one the best of the grid.
        at_end: whether that is an end of the grid.
        mean: loss before every step and after the last, over the tasks.
        final: loss of every task after the last step.
    """

    optimizer: str
    seed: int
    lr: float
    at_end: bool
    mean: list[float]
    final: list[float]


def trained(family: Family, seed: int, settings: Settings, request: Request) -> LearnedOptimizer:
    """Train an optimiser, or read the one trained before."""
    path = request.out / "learned" / f"{family.key}-{seed}.safetensors"
    if path.exists():
        return LearnedOptimizer.load(path)
    before = None if family.after is None else trained(family.after, seed, settings, request)
    request.say(f"learning an optimiser: {family.title}, seed {seed}")
    learned = learn_optimizer(
        family.training,
        imitate=_teacher(family, settings, request) if family.imitates else None,
        rule=None if before is None else before.rule,
        steps=settings.steps,
        unroll=settings.unroll,
        seed=seed + _NEXT_TASKS * family.half,
        progress=request.progress,
        **family.learning,
    )
    path.parent.mkdir(exist_ok=True)
    learned.save(path)
    return learned


def measured(family: Family, settings: Settings, request: Request) -> dict[str, list[Curve]]:
    """The curves of every optimiser by the title of a variant, hand-made ones first."""
    curves: dict[str, list[Curve]] = {variant.title: [] for variant in family.variants}
    for name in HAND_MADE:
        for variant in family.variants:
            curves[variant.title].append(_of_hand_made(family, variant, name, settings, request))
    if family.imitates:
        teacher = _teacher(family, settings, request)
        for variant in family.variants:
            curves[variant.title].append(_of_teacher(family, variant, teacher, request))
    for seed in range(settings.seed, settings.seed + settings.seeds):
        learned = trained(family, seed, settings, request)
        for variant in family.variants:
            curves[variant.title].append(_of_learned(family, variant, learned, seed, request))
    return curves


def _of_hand_made(
    family: Family, variant: Variant, name: str, settings: Settings, request: Request
) -> Curve:
    """At the best learning rate of the grid on tasks of the same kind."""
    path = _place(request, family, variant, name)
    if path.exists():
        return Curve(**read_json(path))
    request.say(f"{family.title}, {variant.title}: {name}")
    rate, at_end, _ = _best_rate(family, variant, name, settings, request)
    options = {"lr": rate, "steps": variant.steps, "count": variant.count, "seed": _TEST_SEED}
    curves = loss_curves(HAND_MADE[name], variant.tasks, **options)  # type: ignore[arg-type]
    return _keep(path, Curve(name, 0, rate, at_end, *_summary(curves)))


def _of_learned(
    family: Family, variant: Variant, learned: LearnedOptimizer, seed: int, request: Request
) -> Curve:
    path = _place(request, family, variant, f"{LEARNED}-{seed}")
    if path.exists():
        return Curve(**read_json(path))
    request.say(f"{family.title}, {variant.title}: {LEARNED}, seed {seed}")
    curves = loss_curves(
        learned, variant.tasks, steps=variant.steps, count=variant.count, seed=_TEST_SEED
    )
    return _keep(path, Curve(LEARNED, seed, learned.lr, False, *_summary(curves)))


def _teacher(family: Family, settings: Settings, request: Request) -> Imitation:
    """The hand-made optimiser that does best at a falling rate, on tuning tasks."""
    tried = {}
    for name in HAND_MADE:
        rate, _, loss = _best_rate(
            family, family.variants[0], name, settings, request, schedule=falling
        )
        tried[name] = loss, rate
    best = min(tried, key=lambda name: tried[name][0])
    return Imitation(HAND_MADE[best], lr=tried[best][1], schedule=falling, updates=settings.updates)


def _of_teacher(family: Family, variant: Variant, teacher: Imitation, request: Request) -> Curve:
    path = _place(request, family, variant, TEACHER)
    if path.exists():
        return Curve(**read_json(path))
    curves = loss_curves(
        teacher.optimizer,
        variant.tasks,
        lr=teacher.lr,
        schedule=falling,
        steps=variant.steps,
        count=variant.count,
        seed=_TEST_SEED,
    )
    return _keep(path, Curve(TEACHER, 0, teacher.lr, False, *_summary(curves)))


def _best_rate(
    family: Family,
    variant: Variant,
    name: str,
    settings: Settings,
    request: Request,
    schedule: Schedule = "constant",
) -> tuple[float, bool, float]:
    """The learning rate of the lowest mean loss on tuning tasks, whether it ends the grid, it."""
    who = f"rates-{name}" if schedule == "constant" else f"falling-rates-{name}"
    path = _place(request, family, variant, who)
    grid = settings.grid(family, name)
    if path.exists():
        losses = read_json(path)["losses"]
    else:
        if schedule != "constant":
            request.say(f"{family.title}, {variant.title}: {name} at a falling rate")
        losses = [
            _finite(
                loss_curves(
                    HAND_MADE[name],
                    variant.tuning,
                    lr=rate,
                    schedule=schedule,
                    steps=variant.steps,
                    count=variant.tuning_count,
                    seed=_TUNING_SEED,
                )[-1].mean()
            )
            for rate in grid
        ]
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"grid": grid, "losses": losses})
    best = losses.index(min(losses))
    return grid[best], best in (0, len(grid) - 1), losses[best]


def _place(request: Request, family: Family, variant: Variant, who: str) -> Path:
    what = variant.title.replace(" ", "-")
    return request.out / "measured" / f"{family.key}-{what}-{who}.json"


def _keep(path: Path, curve: Curve) -> Curve:
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(curve))
    return curve


def _summary(curves: Tensor) -> tuple[list[float], list[float]]:
    return [_finite(value) for value in curves.mean(1)], [_finite(value) for value in curves[-1]]


def _finite(value: Tensor) -> float:
    """A number for JSON: a loss that is not finite is a very large one."""
    number = float(value)
    return min(number, DIVERGED) if math.isfinite(number) else DIVERGED
