"""Going on with a fit: more steps from where a posterior stands, at its own KL weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from bayesnas.inference.bilevel.generalised_objective import GeneralisedObjective
from bayesnas.inference.config.example_weights import ClassWeight, carrying, example_weights
from bayesnas.inference.config.inputs import Data, checked_data
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.optim.optimizers import stated_lr
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.runs.description import RunDescription, state_hash
from bayesnas.inference.training.fit_options import FitArguments
from bayesnas.inference.training.levels import (
    upper_level,
    upper_sample,
    with_hyper_terms,
    with_levels,
    with_objective,
    with_optimizers,
)
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
    objective: GeneralisedObjective | None,
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
        objective: to train on; None for the bound.
        sample_weight: of the examples.
        class_weight: of the classes.
        progress: show a bar.

    Returns:
        what they are fitted on now, and the chains.
    """
    before = run.settings
    if before.objective is not None and objective is None and options["kl_weight"] is None:
        raise ValueError(
            "objective must be given again, since the fit had one (post.run.settings.objective), "
            "or kl_weight, to go on with the bound alone; got neither"
        )
    if objective is not None and not isinstance(objective, GeneralisedObjective):
        raise TypeError(f"objective must be a bayesnas.GeneralisedObjective, got {objective!r}")
    if objective is not None and options["kl_weight"] is not None:
        raise ValueError(
            "kl_weight has no place beside objective, whose kl_weight_lower it is, "
            f"got {options['kl_weight']!r}"
        )
    as_before = {
        "batch_size": before.batch_size,
        "lr": stated_lr(optimizer) or before.lr,
        "schedule": before.schedule.replace("custom", "cosine"),
        "clip": before.clip,
        "kl_weight": before.kl_weight,
        "seed": before.seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    train = checked_data(models[0], data, "data")
    weights = example_weights(models[0], data, train, sample_weight, class_weight)
    lower = {} if objective is None else {"kl_weight": objective.kl_weight_lower}
    settings = make_settings(
        examples=len(train),
        kl_warmup=0.0,
        amortize=None,
        restarts=len(models),
        patience=None,
        **{"epochs": None, "steps": None, **as_before, **given, **lower},
    )
    arguments = FitArguments(
        objective=objective, lr=settings.lr, schedule=settings.schedule, optimizer=optimizer
    )
    arguments = with_objective(arguments, models[0], len(train))
    upper = upper_level(models[0], arguments, None)
    settings = with_levels(settings, arguments, upper)
    starts = [
        with_hyper_terms(carrying(model, train, weights)[0], objective, device) for model in models
    ]
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
        upper_sample(arguments, sample, None),
    )
    first = loop.chain(0)
    described = dataclasses.replace(
        run,
        settings=with_optimizers(settings, arguments, first, upper),
        data=train.info,
        fingerprint=train.fingerprint,
        weights="" if weights is None else state_hash({"weights": weights}),
    )
    return described, loop.run(first, None, progress)
