"""The settings of a fit: checked once, stored with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np

from bayesnas.checks import (
    fraction_in,
    non_negative,
    positive,
    seed_number,
    shown,
    size,
    whole_number,
)
from bayesnas.inference.config.amortization import (
    NONE,
    Amortization,
    Values,
    make_amortization,
)
from bayesnas.inference.config.compile_mode import compile_mode
from bayesnas.inference.config.schedules import Schedule, learning_rate_factor
from bayesnas.memory import available_memory
from bayesnas.nn.hypernetworks.options import Amortize
from bayesnas.runtime.processes.share import WHOLE, Share
from bayesnas.scalars import is_number

Batched = bool | Literal["auto"]
_EPOCHS_WORTH_TRACING = 400  # of smaller last batches: tracing takes what so many of them save


@dataclass(frozen=True)
class StepKLWeight:
    """The KL weight of one step.

    Attributes:
        bound: λ in the bound; smaller than ``target`` while the KL weight warms up.
        target: λ that the parameters belong to.
        metaparameters: those besides λ that they belong to.
    """

    bound: float
    target: float
    metaparameters: Values = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What the parameters belong to, by name, for messages."""
        values = {"kl_weight": self.target, **self.metaparameters}
        return ", ".join(f"{name}={value:g}" for name, value in values.items())


@dataclass(frozen=True)
class FitSettings:
    """What decides the numbers of a fit, besides model and data.

    Attributes:
        kl_weight: λ of the bound E_q log p − λ KL; None for a range or several of them.
        kl_warmup: fraction of the steps over which λ rises linearly from 0.
        amortization: range of λ, and of other metaparameters, and map to the parameters; None for
            a fit at one λ.
        steps: optimiser steps of one chain.
        batch_size: examples in a batch.
        lr: learning rate at the start.
        schedule: name of the learning-rate schedule, ``"custom"`` for a function.
        clip: largest absolute value of a gradient entry, None for no clipping.
        restarts: independent chains.
        patience: epochs without a better validation NLL before a chain stops, or None;
            counted from the end of the KL warm-up.
        seed: of everything random.
        optimizer: class of the optimiser, and its settings where they are not the default.
        compile: how steps are taken: ``"eager"``, ``"trace"``, ``"inductor"``, ``"cudagraph"``, or
            ``"auto"``: as is fastest in a trial of the first ones.
        precision: of matrix products, ``"float32"`` or ``"bfloat16"``.
        kl_weights: several λ, each of which is fitted ``restarts`` times; None for one.
        bilevel: of a bilevel fit, ``Bilevel.config()`` of its upper level; else None.
        objective: ``GeneralisedObjective.config()`` of the objective; None for the bound alone.
    """

    kl_weight: float | None
    kl_warmup: float
    amortization: Amortization | None
    steps: int
    batch_size: int
    lr: float
    schedule: str
    clip: float | None
    restarts: int
    patience: int | None
    seed: int
    optimizer: str
    compile: str
    bilevel: dict[str, Any] | None = None
    precision: str = "float32"
    kl_weights: tuple[float, ...] | None = None
    objective: dict[str, Any] | None = None

    @property
    def tempering(self) -> str:
        """Which λ other than 1 a fit is at, in words; empty at λ = 1 and along a range or list."""
        if self.kl_weight is None or self.kl_weight == 1.0:
            return ""
        power = f", the likelihood to the power {1 / self.kl_weight:.3g}" if self.kl_weight else ""
        return f"λ = {self.kl_weight:g}{power}"

    @property
    def chains(self) -> int:
        """Number of chains: the restarts of every λ, one λ after the other."""
        return self.restarts * len(self.kl_weights or (0,))

    def of_chain(self, index: int) -> FitSettings:
        """Settings of one chain, as of a fit at its λ alone."""
        if self.kl_weights is None:
            return self
        kl_weight = self.kl_weights[index // self.restarts]
        return replace(self, kl_weight=kl_weight, kl_weights=None)

    def in_mode(self, mode: str | None) -> FitSettings:
        """Settings with a way of taking steps that a trial found, where they leave it open."""
        return replace(self, compile=mode) if mode and self.compile == "auto" else self

    @property
    def upper(self) -> tuple[str, ...]:
        """Beginnings of the names of the parameters of the upper level of a bilevel fit."""
        return () if self.bilevel is None else tuple(self.bilevel["parameters"])

    @property
    def warm_up_steps(self) -> float:
        """Steps over which the KL weight rises; that many have to be taken before it is λ."""
        return self.kl_warmup * self.steps

    def is_full(self, rows: int, examples: int, share: Share = WHOLE) -> bool:
        """Whether rows are all that a batch of a sample of N has, or all of a share of it."""
        return rows == share.count(min(self.batch_size, examples))

    def comes_often(self, rows: int, examples: int, share: Share = WHOLE) -> bool:
        """Whether so many rows are worth tracing: smaller last batches come once an epoch."""
        epochs = self.steps / -(-examples // self.batch_size)
        must = self.precision != "float32"
        return self.is_full(rows, examples, share) or must or epochs >= _EPOCHS_WORTH_TRACING

    def kl_weight_at(self, step: int, share: Share = WHOLE) -> StepKLWeight:
        """KL weight of a step, counted from 0; over a range that of process r of K."""
        target, others = self.kl_weight, NONE
        if target is None:
            assert self.amortization is not None
            target, others = self.amortization.draw(step, self.seed, share)
        warming = self.warm_up_steps
        return StepKLWeight(target * (min(step / warming, 1.0) if warming else 1.0), target, others)

    @property
    def another_kl_weight(self) -> StepKLWeight:
        """A λ that is not that of the first step, to compare two ways of taking a step at."""
        if self.kl_weight is None:
            assert self.amortization is not None
            kl_weight, others = self.amortization.all_at(0.37)
            return StepKLWeight(kl_weight, kl_weight, others)
        kl_weight = 1.5 * self.kl_weight + 0.25
        return StepKLWeight(kl_weight, kl_weight)

    def kl_weight_text(self) -> str:
        """λ, or the range of it, and those of other metaparameters, for captions."""
        if self.kl_weights is not None:
            return ", ".join(f"{kl_weight:g}" for kl_weight in self.kl_weights)
        if self.amortization is None:
            return f"{self.kl_weight:g}"
        span, *others = (f"{axis.low:g}…{axis.high:g}" for axis in self.amortization.axes)
        named = zip(self.amortization.others, others, strict=True)
        return ", ".join([span, *(f"{axis.name}={text}" for axis, text in named)])

    def to_dict(self) -> dict[str, Any]:
        """All settings, as JSON values."""
        amortization = None if self.amortization is None else self.amortization.to_dict()
        several = None if self.kl_weights is None else list(self.kl_weights)
        return {**asdict(self), "amortization": amortization, "kl_weights": several}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], amortize: Amortize | None = None) -> Self:
        """Rebuild from what :meth:`to_dict` gave; ``amortize`` is a map that JSON can't hold."""
        stored = values["amortization"]
        amortization = None if stored is None else Amortization.from_dict(stored, amortize)
        several = None if values.get("kl_weights") is None else tuple(values["kl_weights"])
        return cls(**{**values, "amortization": amortization, "kl_weights": several})


def make_settings(
    *,
    examples: int,
    kl_weight: object,
    kl_warmup: float,
    amortize: Amortize | None,
    epochs: int | None,
    steps: int | None,
    batch_size: int,
    lr: float,
    schedule: Schedule,
    clip: float | None,
    restarts: int,
    patience: int | None,
    seed: int,
    compile: str | bool,
    precision: str = "float32",
    batched: Batched = False,
    metaparameters: Mapping[str, object] | None = None,
    known: Sequence[str] = (),
    timed: bool = False,
) -> FitSettings:
    """Check the arguments of a fit; every error names its argument. The optimiser is open yet.

    ``batched`` is no setting of the run: it changes numbers by rounding alone, and a checkpoint
    says which chains were together. ``known`` are the metaparameters that the model has; ``timed``
    says whether ``compile="auto"`` may be left to a trial of the first steps.

    Raises:
        ValueError: for a value out of range, or both or neither of ``epochs`` and ``steps``.
    """
    amortization = make_amortization(kl_weight, amortize, metaparameters, known)
    several = _several(kl_weight) if isinstance(kl_weight, (list, tuple)) else None
    if amortization is None and several is None:
        check_kl_weight(kl_weight)
    kl_warmup = fraction_in("kl_warmup", kl_warmup)
    batch_size = size("batch_size", batch_size)
    restarts = whole_number("restarts", restarts, 1)
    seed = seed_number("seed", seed)
    lr = positive("lr", lr)
    if clip is not None:
        clip = positive("clip", clip)
    if patience is not None:
        patience = whole_number("patience", patience, 1)
    if (epochs is None) == (steps is None):
        raise ValueError(
            f"give either epochs or steps, got epochs={shown(epochs)} and steps={shown(steps)}"
        )
    if steps is None:
        epochs = whole_number("epochs", epochs, 1)
        steps = int(epochs or 0) * -(-examples // min(batch_size, examples))
    steps = whole_number("steps", steps, 1)
    _check_history(steps, restarts * len(several or (0,)))
    learning_rate_factor(schedule, 0.0)
    if isinstance(batched, str) and batched == "auto":
        together = False
    elif isinstance(batched, (bool, np.bool_)):
        together = bool(batched)
    else:
        raise ValueError(f"batched must be True, False or 'auto', got {batched!r}")
    chains = restarts * len(several or (0,))
    together = together and chains > 1  # which takes traced steps
    return FitSettings(
        kl_weight=float(kl_weight) if is_number(kl_weight) else None,
        kl_warmup=kl_warmup,
        amortization=amortization,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule if isinstance(schedule, str) else "custom",
        clip=clip,
        restarts=restarts,
        patience=patience,
        seed=seed,
        optimizer="",
        compile=compile_mode(compile, steps * chains, precision, together=together, timed=timed),
        precision=precision,
        kl_weights=several,
    )


def _several(kl_weights: Sequence[object]) -> tuple[float, ...]:
    for index, kl_weight in enumerate(kl_weights):
        check_kl_weight(kl_weight, f"kl_weight[{index}]")
    numbers = tuple(float(kl_weight) for kl_weight in kl_weights if is_number(kl_weight))
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"kl_weight must hold one or more different KL weights, got {kl_weights!r}"
        )
    return numbers


def check_kl_weight(kl_weight: object, name: str = "kl_weight") -> None:
    """Raise ValueError unless λ is a finite number ≥ 0."""
    non_negative(name, kl_weight)


_STEP_BYTES = 16  # of the history: four numbers a step


def _check_history(steps: int, chains: int) -> None:
    """Raise ValueError unless memory holds what is recorded of every step."""
    needed, available = _STEP_BYTES * steps * chains, available_memory()
    if needed > available:
        raise ValueError(
            f"steps must be fewer: the history of {steps:,} steps of {chains:,} chains (restarts) "
            f"takes {needed // 2**20:,} MiB, and {available / 2**20:,.0f} MiB are free"
        )
