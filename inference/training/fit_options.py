"""The options of a fit: as keywords that are handed on, and as one value with their defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import torch

from bayesnas.checks import function, whole_number
from bayesnas.distributions import LogUniform, Uniform
from bayesnas.inference.bilevel.generalised_objective import GeneralisedObjective
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.distributed import Distributed, checked_distributed
from bayesnas.inference.config.example_weights import ClassWeight
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.schedules import Schedule
from bayesnas.inference.config.settings import Batched
from bayesnas.inference.training.events import StepEvent
from bayesnas.nn.hypernetworks.options import Amortize

KLWeight = float | Sequence[float] | LogUniform | Literal["auto", "validation"]


class FitOptions(TypedDict, total=False):
    """Options of :func:`bayesnas.fit`, besides the KL weight."""

    kl_warmup: float | None
    amortize: Amortize | None
    metaparameters: Mapping[str, LogUniform | Uniform] | None
    epochs: int | None
    steps: int | None
    batch_size: int | None
    lr: float | None
    schedule: Schedule
    clip: float | None
    optimizer: OptimizerFactory
    restarts: int
    batched: Batched
    validation: Data | None
    patience: int | None
    bilevel: Bilevel | None
    objective: GeneralisedObjective | None
    sample_weight: object
    class_weight: ClassWeight | None
    seed: int
    device: str | torch.device
    compile: str | bool
    precision: str
    distributed: Distributed | Literal["auto", False]
    progress: bool
    on_step: Callable[[StepEvent], None] | None
    out: str | Path | None
    checkpoint_every: int
    resume: bool


@dataclass(frozen=True, kw_only=True)
class FitArguments:
    """Arguments of :func:`bayesnas.fit`, which describes each; their defaults are the same."""

    kl_weight: KLWeight = "auto"
    kl_warmup: float | None = None
    amortize: Amortize | None = None
    metaparameters: Mapping[str, LogUniform | Uniform] | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    schedule: Schedule = "cosine"
    clip: float | None = None
    optimizer: OptimizerFactory = torch.optim.Adam
    restarts: int = 1
    batched: Batched = "auto"
    validation: Data | None = None
    patience: int | None = None
    bilevel: Bilevel | None = None
    objective: GeneralisedObjective | None = None
    sample_weight: object = None
    class_weight: ClassWeight | None = None
    seed: int = 0
    device: str | torch.device = "auto"
    compile: str | bool = "auto"
    precision: str = "float32"
    distributed: Distributed | Literal["auto", False] = "auto"
    progress: bool = True
    on_step: Callable[[StepEvent], None] | None = None
    out: str | Path | None = None
    checkpoint_every: int = 500
    resume: bool = False

    def __post_init__(self) -> None:
        """Check what stands by itself; the rest needs model and data."""
        if self.on_step is not None:
            function("on_step", self.on_step, "a function of a StepEvent")
        if self.resume and self.out is None:
            raise ValueError("resume needs out=, the folder of the run to go on with")
        whole_number("checkpoint_every", self.checkpoint_every, 1)
        checked_distributed(self.distributed)
