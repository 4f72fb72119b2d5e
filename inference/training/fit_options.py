"""The options of a fit, for what hands them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import torch

from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.config.schedules import Schedule
from bayesnas.inference.config.settings import Batched
from bayesnas.inference.optim.optimizers import OptimizerFactory
from bayesnas.inference.training.events import StepEvent
from bayesnas.nn.hypernetworks.options import Amortize


class FitOptions(TypedDict, total=False):
    """Options of :func:`bayesnas.fit`, besides the KL weight."""

    kl_warmup: float
    amortize: Amortize | None
    epochs: int | None
    steps: int | None
    batch_size: int
    lr: float
    schedule: Schedule
    clip: float | None
    optimizer: OptimizerFactory
    restarts: int
    batched: Batched
    validation: Data | None
    patience: int | None
    bilevel: Bilevel | None
    seed: int
    device: str | torch.device
    compile: str | bool
    precision: str
    progress: bool
    on_step: Callable[[StepEvent], None] | None
    out: str | Path | None
    checkpoint_every: int
    resume: bool
