"""The levels of a fit: what is trained on the upper one, on what, and by which functional."""

from __future__ import annotations

import copy
import dataclasses

import torch

from bayesnas.checks import positive
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.bilevel.generalised_objective import GeneralisedObjective
from bayesnas.inference.bilevel.losses import upper_parameters
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.optim.optimizers import try_out_optimizer
from bayesnas.inference.training.chains.trainer import ChainTrainer
from bayesnas.inference.training.fit_options import FitArguments
from bayesnas.models.base import BayesianModel


def with_objective(arguments: FitArguments, model: BayesianModel, examples: int) -> FitArguments:
    """The arguments of a fit with KL weight and upper level as its objective has them.

    Args:
        arguments: of ``bayesnas.fit``; returned as they are where they name no objective.
        model: to fit.
        examples: of the training sample.

    Raises:
        ValueError, TypeError: for an objective beside what it replaces, or a model without h.
    """
    objective = arguments.objective
    if objective is None:
        return arguments
    if not isinstance(objective, GeneralisedObjective):
        raise TypeError(f"objective must be a bayesnas.GeneralisedObjective, got {objective!r}")
    if arguments.bilevel is not None:
        raise ValueError(
            "give either objective or bilevel: that of an objective is its upper=Bilevel(...)"
        )
    if arguments.kl_weight not in ("auto", 1.0):
        raise ValueError(
            "kl_weight has no place beside objective, whose kl_weight_lower it is, "
            f"got {arguments.kl_weight!r}"
        )
    if model.elbo is not None:
        raise ValueError(
            f"objective takes the bound of a fit, got a {type(model).__name__} with an elbo= of "
            "its own"
        )
    lr = model.fit_defaults(examples).lr if arguments.lr is None else positive("lr", arguments.lr)
    upper = objective.upper_level(
        model, lr, schedule=arguments.schedule, optimizer=arguments.optimizer
    )
    return dataclasses.replace(arguments, kl_weight=objective.kl_weight_lower, bilevel=upper)


def upper_level(
    model: BayesianModel, arguments: FitArguments, held_out: AnySplit | None
) -> tuple[str, ...]:
    """Names of the parameters on the upper level; none of a fit that has one level.

    Raises:
        ValueError, TypeError: for a bilevel fit without validation data, or with patience.
    """
    bilevel = arguments.bilevel
    if bilevel is None:
        return ()
    if not isinstance(bilevel, Bilevel):
        raise TypeError(f"bilevel must be a bayesnas.Bilevel, got {bilevel!r}")
    if arguments.objective is None and held_out is None:
        raise ValueError("bilevel needs validation=, data that the upper level is trained on")
    if arguments.objective is None and arguments.patience is not None:
        raise ValueError(
            "patience needs data that no level is trained on; with bilevel, validation is"
        )
    return upper_parameters(model, bilevel.parameters)


def upper_sample(
    arguments: FitArguments, train: AnySplit, held_out: AnySplit | None
) -> tuple[Bilevel, AnySplit] | None:
    """The upper level and its sample: validation data, or of an objective the training data."""
    if arguments.bilevel is None:
        return None
    sample = held_out if arguments.objective is None else train
    assert sample is not None
    return arguments.bilevel, sample


def with_levels(
    settings: FitSettings, arguments: FitArguments, upper: tuple[str, ...]
) -> FitSettings:
    """The settings with objective and upper level as JSON values."""
    objective, bilevel = arguments.objective, arguments.bilevel
    return dataclasses.replace(
        settings,
        objective=None if objective is None else objective.config(),
        bilevel=None if bilevel is None else bilevel.config(upper),
    )


def with_hyper_terms(
    model: BayesianModel, objective: GeneralisedObjective | None, device: torch.device
) -> BayesianModel:
    """The model to train, with the terms of its objective in h alone; the one given stays."""
    terms = None if objective is None else objective.hyper_terms(model, device)
    if terms is None:
        return model
    marked = copy.copy(model)
    marked.hyper_terms = terms
    return marked


def with_optimizers(
    settings: FitSettings, arguments: FitArguments, first: ChainTrainer, upper: tuple[str, ...]
) -> FitSettings:
    """The settings with their optimisers in words; each is tried out on the first chain."""
    saved = arguments.out is not None
    chosen = try_out_optimizer(arguments.optimizer, first.parameters, settings.lr, saved=saved)
    settings = dataclasses.replace(settings, optimizer=chosen)
    bilevel = arguments.bilevel
    if bilevel is None or first.upper is None:
        return settings
    leaves = first.upper.trained.leaves
    words = try_out_optimizer(bilevel.optimizer, leaves, bilevel.lr, saved=saved)
    return dataclasses.replace(settings, bilevel=bilevel.config(upper, words))
