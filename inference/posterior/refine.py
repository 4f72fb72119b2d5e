"""Going on with a fit: more steps from where a posterior stands, at its own KL weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bayesnas.data import Split
from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.optim.optimizers import OptimizerFactory, try_out_optimizer
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.training.loop import Loop
from bayesnas.models.base import BayesianModel


def refined(
    models: Sequence[BayesianModel],
    train: Split,
    settings: FitSettings,
    optimizer: OptimizerFactory,
    *,
    progress: bool,
) -> tuple[FitSettings, list[ChainRecord]]:
    """Train fitted models on; they stay as they are.

    Args:
        models: one a chain.
        train: training data, on the device of the models.
        settings: of the steps to come, with as many restarts as there are models.
        optimizer: makes the optimiser.
        progress: show a bar.

    Returns:
        the settings with their optimiser, and the chains.
    """
    loop = Loop(
        models[0], train, None, settings, optimizer, settings.schedule, None, settings.steps, models
    )
    first = loop.chain(0)
    chosen = try_out_optimizer(optimizer, first.parameters, settings.lr, saved=False)
    return dataclasses.replace(settings, optimizer=chosen), loop.run(first, None, progress)
