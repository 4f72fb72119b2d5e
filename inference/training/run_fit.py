"""A fit from its arguments to what it recorded."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bayesnas.checks import size
from bayesnas.data import Split
from bayesnas.data.inputs import map_inputs
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.distributions import LogUniform
from bayesnas.inference.config.distributed import Distributed, checked_distributed
from bayesnas.inference.config.example_weights import carrying, example_weights
from bayesnas.inference.config.inputs import Data, check_alike, checked_data
from bayesnas.inference.config.settings import FitSettings, make_settings
from bayesnas.inference.optim.optimizers import stated_lr
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.runs.description import RunDescription, state_hash
from bayesnas.inference.runs.run_folder import Example, warn_not_saved
from bayesnas.inference.training.convergence import unconverged
from bayesnas.inference.training.fit_options import FitArguments, KLWeight
from bayesnas.inference.training.levels import (
    upper_level,
    upper_sample,
    with_hyper_terms,
    with_levels,
    with_objective,
    with_optimizers,
)
from bayesnas.inference.training.loop import Loop
from bayesnas.inference.training.processes.agreement import (
    check_same_fit,
    ending,
    start_as_the_first,
)
from bayesnas.inference.training.processes.run_folder import SharedRunFolder
from bayesnas.inference.training.processes.sharing import Sharing
from bayesnas.models.base import FEW, BayesianModel
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.processes.group import Processes
from bayesnas.runtime.processes.lost import ProcessLostError
from bayesnas.runtime.processes.opening import device_of_process, open_processes

_LOG = logging.getLogger("bayesnas")


class FitResult(NamedTuple):
    """What a fit recorded, from which a posterior is made.

    Attributes:
        run: what was fitted on what.
        records: parameters and history, one a chain.
        example: two rows of the training data; all, where a model needs them.
        device: where the fit ran.
    """

    run: RunDescription
    records: Sequence[ChainRecord]
    example: Example
    device: torch.device


def run_fit(model: BayesianModel, data: Data, arguments: FitArguments) -> FitResult:
    """Fit a model; see :func:`bayesnas.fit` for arguments, errors and what is written.

    Args:
        model: not changed.
        data: training data.
        arguments: of ``bayesnas.fit``.
    """
    _check_model(model)
    options = checked_distributed(arguments.distributed)
    alone = options is None
    options = Distributed() if options is None else options
    device = resolve_device(arguments.device)
    device = device if alone else device_of_process(device)
    fit = _Fit(device)

    def end(lost: ProcessLostError, processes: Processes) -> BaseException:
        return ending(lost, processes, fit.where, arguments.out)

    with open_processes(device, options.timeout, end, alone=alone) as processes:
        return fit.result(copy.deepcopy(model), data, arguments, Sharing(processes, options))


class _Fit:
    """One fit of this process.

    Args:
        device: of the fit.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._loop: Loop | None = None

    @property
    def where(self) -> str:
        """How far it is, in words."""
        return "before the first step" if self._loop is None else self._loop.where

    def result(
        self, model: BayesianModel, data: Data, arguments: FitArguments, sharing: Sharing
    ) -> FitResult:
        """Fit a model, which is changed."""
        device, processes = self._device, sharing.processes
        train, held_out = _checked_parts(model, data, arguments)
        weights = _weights(model, data, train, arguments)
        arguments = with_objective(arguments, model, len(train))
        upper = upper_level(model, arguments, held_out)
        if upper and sharing.by_batch and processes.size > 1:
            raise ValueError(
                "distributed: the batches of a bilevel fit can't be shared out: give "
                "distributed=Distributed(spread='chains'), or distributed=False"
            )
        timed = not processes.together  # several would not choose alike
        settings = _checked_settings(arguments, model, len(train), device, upper, timed)
        start_as_the_first(model, processes)
        trained, sample = carrying(model, train, weights)
        trained = with_hyper_terms(trained, arguments.objective, device)
        sample, measured = sample.to(device), None if held_out is None else held_out.to(device)
        loop = self._loop = Loop(
            trained,
            sample,
            measured,
            settings,
            arguments.optimizer,
            arguments.schedule,
            arguments.on_step,
            int(arguments.checkpoint_every),
            upper=upper_sample(arguments, sample, measured),
            batched=arguments.batched,
            sharing=sharing,
        )
        first = loop.chain(0)
        run = RunDescription(
            model,
            with_optimizers(settings, arguments, first, upper),
            train.info,
            train.fingerprint,
            "" if held_out is None else held_out.fingerprint,
            f"{device.type}:{state_hash(first.model.state_dict())}",
            "" if weights is None else state_hash({"weights": weights}),
        )
        check_same_fit(run, processes)
        out, resume = arguments.out, arguments.resume
        folder = None if out is None else SharedRunFolder(out, run, processes, resume=resume)
        if folder is not None and folder.finished:
            return FitResult(*folder.read(model, arguments.amortize), device)
        records = loop.run(first, folder, arguments.progress)
        if said := unconverged(records, run.settings):
            _LOG.warning("%s: %s", model.describe(), said)
        example = _example(first.model, train)
        if folder is not None:
            _save_result(folder, records, example, processes)
        return FitResult(run, records, example, device)


def _example(model: BayesianModel, train: AnySplit) -> Example:
    """Rows of the training data that say all of what examples share."""
    if not isinstance(train, Split):
        train = train.first(len(train) if model.needs_all_rows else FEW)
    few = model.few_rows
    x = map_inputs(lambda leaf: leaf.detach().clone(), few(train.x))
    return x, few(train.y).detach().clone()


def _check_model(model: BayesianModel) -> None:
    if not isinstance(model, BayesianModel):
        raise TypeError(
            "model must be one of bayesnas.models, such as GaussianNet(net), "
            f"got {type(model).__name__}"
        )


def _checked_parts(
    model: BayesianModel, data: Data, arguments: FitArguments
) -> tuple[AnySplit, AnySplit | None]:
    """The training part, and the validation part where there is one; the model is sized."""
    train = checked_data(model, data, "data")
    model.size_for(train.info.classes)
    if arguments.validation is not None:
        held_out = checked_data(model, arguments.validation, "validation")
        check_alike(train, held_out)
        return train, held_out
    if arguments.patience is not None:
        raise ValueError("patience needs validation=, data that is not trained on")
    return train, None


def _weights(
    model: BayesianModel, data: Data, train: AnySplit, arguments: FitArguments
) -> Tensor | None:
    """Weights of the training examples."""
    weights = example_weights(model, data, train, arguments.sample_weight, arguments.class_weight)
    if weights is not None and arguments.bilevel is not None:
        raise ValueError("bilevel has no place for sample_weight and class_weight: give either")
    return weights


def _told(kl_weight: KLWeight, default: float) -> object:
    return default if isinstance(kl_weight, str) and kl_weight == "auto" else kl_weight


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _checked_settings(
    arguments: FitArguments,
    model: BayesianModel,
    examples: int,
    device: torch.device,
    upper: tuple[str, ...],
    timed: bool,
) -> FitSettings:
    given = model.fit_defaults(examples)
    over_a_range = isinstance(arguments.kl_weight, LogUniform)
    warmup = given.range_warmup if over_a_range else given.kl_warmup
    batch_size = given.batch_size if arguments.batch_size is None else arguments.batch_size
    epochs = arguments.epochs
    if epochs is None and arguments.steps is None:
        epochs = given.passes(examples, size("batch_size", batch_size))
    settings = make_settings(
        examples=examples,
        kl_weight=_told(arguments.kl_weight, given.kl_weight),
        kl_warmup=_or(arguments.kl_warmup, warmup if arguments.bilevel is None else 0.0),
        amortize=given.amortize
        if over_a_range and arguments.amortize is None
        else arguments.amortize,
        metaparameters=arguments.metaparameters,
        known=model.metaparameters(),
        epochs=epochs,
        steps=arguments.steps,
        batch_size=batch_size,
        lr=_or(arguments.lr, _or(stated_lr(arguments.optimizer), given.lr)),
        schedule=arguments.schedule,
        clip=arguments.clip,
        restarts=arguments.restarts,
        batched=arguments.batched,
        patience=arguments.patience,
        seed=arguments.seed,
        compile=arguments.compile,
        precision=arguments.precision,
        timed=timed and device.type == "cpu" and arguments.bilevel is None,
    )
    _check_ends(model, settings)
    if settings.compile == "cudagraph" and device.type != "cuda":
        raise ValueError(f"compile='cudagraph' needs a GPU, got device={device.type!r}")
    return with_levels(settings, arguments, upper)


def _check_ends(model: BayesianModel, settings: FitSettings) -> None:
    """Raise ValueError for a range of metaparameters that holds what the model does not take."""
    others = () if settings.amortization is None else settings.amortization.others
    probe = copy.deepcopy(model) if others else model
    for axis in others:
        for end in (axis.low, axis.high):
            try:
                probe.set_metaparameter(axis.name, end)
            except ValueError as error:
                raise ValueError(f"metaparameters[{axis.name!r}]: {error}") from error


def _save_result(
    folder: SharedRunFolder,
    records: Sequence[ChainRecord],
    example: Example,
    processes: Processes,
) -> None:
    try:
        folder.finish(records, example)
    except OSError as error:
        if not processes.is_first:
            return
        warn_not_saved(error, ", and resume=True goes on from the last checkpoint")
