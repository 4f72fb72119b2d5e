"""Going on with a fit: more steps from where a posterior stands, at its own KL weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from bayesnas.inference.config.example_weights import ClassWeight, carrying, example_weights
from bayesnas.inference.config.inputs import Data, checked_data
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.optim.optimizers import OptimizerFactory, try_out_optimizer
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.runs.description import RunDescription, state_hash
from bayesnas.inference.training.loop import Loop
from bayesnas.models.base import BayesianModel


def refined(
    run: RunDescription,
    models: Sequence[BayesianModel],
    device: torch.device,
    data: Data,
    options: dict[str, Any],
    optimizer: OptimizerFactory,
    *,
    sample_weight: object,
    class_weight: ClassWeight | None,
    progress: bool,
) -> tuple[RunDescription, list[ChainRecord]]:
    """Train fitted models on; they stay as they are.

    Args:
        run: what they were fitted on.
        models: one a chain.
        device: where they lie.
        data: training data.
        options: of the settings; those that are None are as in the fit.
        optimizer: makes the optimiser.
        sample_weight: of the examples.
        class_weight: of the classes.
        progress: show a bar.

    Returns:
        what they are fitted on now, and the chains.
    """
    before = run.settings
    as_before = {
        "batch_size": before.batch_size,
        "lr": before.lr,
        "schedule": before.schedule.replace("custom", "cosine"),
        "clip": before.clip,
        "kl_weight": before.kl_weight,
        "seed": before.seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    train = checked_data(models[0], data, "data")
    weights = example_weights(models[0], data, train, sample_weight, class_weight)
    settings = make_settings(
        examples=len(train),
        kl_warmup=0.0,
        amortize=None,
        restarts=len(models),
        patience=None,
        **{"epochs": None, "steps": None, **as_before, **given},
    )
    starts = [carrying(model, train, weights)[0] for model in models]
    sample = carrying(models[0], train, weights)[1].to(device)
    loop = Loop(
        starts[0],
        sample,
        None,
        settings,
        optimizer,
        settings.schedule,
        None,
        settings.steps,
        starts,
    )
    first = loop.chain(0)
    chosen = try_out_optimizer(optimizer, first.parameters, settings.lr, saved=False)
    described = dataclasses.replace(
        run,
        settings=dataclasses.replace(settings, optimizer=chosen),
        data=train.info,
        fingerprint=train.fingerprint,
        weights="" if weights is None else state_hash({"weights": weights}),
    )
    return described, loop.run(first, None, progress)
