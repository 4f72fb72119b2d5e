"""Fitting a model: the λ-weighted bound maximised by stochastic gradients."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bayesnas.data import Split
from bayesnas.inference.checkpoint import ChainRecord
from bayesnas.inference.evaluation import mean_nll
from bayesnas.inference.interrupt import DeferredInterrupt, InterruptedFitWarning
from bayesnas.inference.posterior import Posterior, load
from bayesnas.inference.progress import Progress
from bayesnas.inference.runs import RunDescription, RunFolder
from bayesnas.inference.session import resolve_device
from bayesnas.inference.settings import FitSettings, Schedule, make_settings, whole
from bayesnas.inference.training import OptimizerFactory, Training
from bayesnas.models.base import BayesianModel

Data = Split | tuple[Tensor, Tensor]

_STEPS_BETWEEN_LOOKS = 50  # at the progress bar, Ctrl-C and finiteness


@dataclass(frozen=True)
class StepEvent:
    """What an ``on_step`` hook is told after a step.

    Attributes:
        chain: index of the chain.
        step: steps taken by this chain.
        loss: −𝓛 of the step, a full-sample estimate in nats.
        expected_log_lik: its log-likelihood term.
        kl: its KL term, not weighted.
        kl_weight: λ.
        model: the model being trained; looking is free, changing it is not.
    """

    chain: int
    step: int
    loss: float
    expected_log_lik: float
    kl: float
    kl_weight: float
    model: BayesianModel


def fit(
    model: BayesianModel,
    data: Data,
    *,
    kl_weight: float = 1.0,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 256,
    lr: float = 1e-3,
    schedule: Schedule = "cosine",
    clip: float | None = None,
    optimizer: OptimizerFactory = torch.optim.Adam,
    restarts: int = 1,
    validation: Data | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
    on_step: Callable[[StepEvent], None] | None = None,
    out: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: bool = False,
) -> Posterior:
    r"""Maximise :math:`E_{q(w)} \log p(y|x,w) - \lambda\, KL(q(w) \| p(w))`.

    Both terms are sums: the likelihood over the whole sample (a minibatch of B of N examples
    is scaled by N/B), the KL over all weights. Libraries that average the likelihood have
    λ/N where we have λ. λ = 1 is the evidence lower bound, λ = 0 maximum likelihood.

    The model given is copied and stays as it is, as do Pyro's parameter store and torch's
    random state. One seed gives the same numbers on the same machine, and chain c of a fit
    with many restarts is the same whatever their number.

    Args:
        model: a model of the zoo, or a :class:`~bayesnas.models.PyroPair`.
        data: ``data.train`` of a data set, or a pair ``(x, y)`` of tensors.
        kl_weight: λ ≥ 0.
        epochs: passes over the sample; or
        steps: optimiser steps (one of the two).
        batch_size: examples a step.
        lr: learning rate at the start.
        schedule: ``"cosine"`` (down to 0), ``"constant"``, or a function of the fraction of
            steps done, in [0, 1), that gives a factor on ``lr``.
        clip: clip every gradient entry, of the loss per example, to [−clip, clip].
        optimizer: makes the optimiser: ``optimizer(parameters, lr=lr)``.
        restarts: independent fits from different starts; the chains of the export.
        validation: data to measure the mean negative log-likelihood on after every epoch.
        patience: stop a chain after so many epochs without a better one, and return its best
            epoch; needs ``validation``.
        seed: of everything random.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``.
        progress: show a bar, where stderr is a terminal.
        on_step: called after every step with a :class:`StepEvent`.
        out: folder of the run, for checkpoints and the result; it must not hold another run.
        checkpoint_every: steps between checkpoints in ``out``.
        resume: go on from the checkpoint in ``out``; the numbers are those of an unbroken fit.

    Returns:
        the fitted :class:`Posterior`. After Ctrl-C without ``out``, the posterior as it
        stands, with a warning.

    Raises:
        ValueError: before any training, naming an argument that does not fit.
        FileExistsError: if ``out`` holds a run and ``resume`` is false.
        NonFiniteLossError: at the first step whose bound is NaN or infinite.
        KeyboardInterrupt: after Ctrl-C with ``out``, once the checkpoint is written.

    References:
        Graves, *Practical variational inference for neural networks*, 2011; Grebenkova,
        Bakhteev, Strijov, *Variational deep learning model optimization with complexity
        control*, 2021.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]))
    >>> post = bn.fit(model, data.train, epochs=2, lr=1e-2, seed=0)
    >>> post.evaluate(data.test)["accuracy"] > 0.5
    True
    """
    where = resolve_device(device)
    train, held_out = _checked(model, data, "data"), None
    if validation is not None:
        held_out = _checked(model, validation, "validation").to(where)
    elif patience is not None:
        raise ValueError("patience needs validation=, data that is not trained on")
    whole("checkpoint_every", checkpoint_every, 1)
    settings = make_settings(
        examples=len(train),
        kl_weight=kl_weight,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        clip=clip,
        restarts=restarts,
        patience=patience,
        seed=seed,
        optimizer=getattr(optimizer, "__name__", type(optimizer).__name__),
    )
    run = RunDescription(model, settings, train.info, train.fingerprint if out else "")
    folder = None if out is None else RunFolder.claim(out, run, resume=resume)
    if folder is not None and folder.finished:
        return load(folder.path, model=model, device=where)
    loop = _Loop(model, train.to(where), held_out, settings, optimizer, schedule, folder)
    loop.on_step, loop.checkpoint_every = on_step, checkpoint_every
    records = loop.run(progress)
    posterior = Posterior.restore(run, records, (train.x[:2], train.y[:2]), where)
    if folder is not None:
        _save_result(folder, posterior)
    return posterior


def _save_result(folder: RunFolder, posterior: Posterior) -> None:
    try:
        folder.finish(posterior.records(), posterior.example)
    except OSError as error:
        warnings.warn(
            f"the fit is done but not saved: {error}. The posterior is returned all the same "
            "(post.save(folder) writes it), and resume=True goes on from the last checkpoint",
            RuntimeWarning,
            stacklevel=3,
        )


def _checked(model: BayesianModel, data: Data, name: str) -> Split:
    try:
        split = Split.of(data, task=None if isinstance(data, Split) else model.task)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    if model.task is not None and split.info.task != model.task:
        raise ValueError(
            f"{name}: the model's likelihood is for {model.task}, got data for {split.info.task}"
        )
    # Of a bare pair the number of classes is only known from below.
    classes = split.info.classes if isinstance(data, Split) else None
    example = copy.deepcopy(model).cpu()
    example.check(split.x.cpu(), split.y.cpu(), classes)
    return split


class _Loop:
    """The chains of a fit, one after the other, with all that happens between steps."""

    on_step: Callable[[StepEvent], None] | None = None
    checkpoint_every = 500

    def __init__(
        self,
        model: BayesianModel,
        train: Split,
        validation: Split | None,
        settings: FitSettings,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        folder: RunFolder | None,
    ) -> None:
        self.model, self.train, self.validation = model, train, validation
        self.settings, self.optimizer, self.schedule = settings, optimizer, schedule
        self.folder = folder
        self.finished: list[ChainRecord] = []

    def run(self, progress: bool) -> list[ChainRecord]:
        current = self._start()
        total = self.settings.steps * self.settings.restarts
        bar = Progress(progress, total, self.model.describe(), self._done(current))
        try:
            with DeferredInterrupt() as interrupt:
                while len(self.finished) < self.settings.restarts:
                    current = current or self._chain(len(self.finished))
                    self._train(current, bar, interrupt.received)
                    self.finished.append(_record(current))
                    if interrupt.received():
                        self._stop_early(current)
                        break
                    current = None
        finally:
            bar.close()
        return self.finished

    def _start(self) -> Training | None:
        """Take up a checkpoint where there is one."""
        checkpoint = self.folder.checkpoint() if self.folder is not None else None
        if checkpoint is None:
            return None
        self.finished, tensors, values = checkpoint
        training = self._chain(int(values["chain"]))
        training.load_state(tensors, values)
        return training

    def _chain(self, index: int) -> Training:
        model = copy.deepcopy(self.model).to(self.train.x.device)
        return Training(model, *self.train, self.settings, index, self.optimizer, self.schedule)

    def _train(self, training: Training, bar: Progress, interrupted: Callable[[], bool]) -> None:
        while not training.finished and not interrupted():
            before = training.step
            training.advance(self._steps_until_next_event(training), interrupted)
            if training.step == before:
                continue
            if self.validation is not None and training.step % training.batches.per_epoch == 0:
                self._validate(training)
            if self.on_step is not None:
                self.on_step(_event(training))
            if self.folder is not None and training.step % self.checkpoint_every == 0:
                self.folder.write_checkpoint(self.finished, training)
            bar.update(self._done(training), training)

    def _steps_until_next_event(self, training: Training) -> int:
        if self.on_step is not None:
            return 1
        periods = [_STEPS_BETWEEN_LOOKS, self.checkpoint_every]
        if self.validation is not None:
            periods.append(training.batches.per_epoch)
        return min(period - training.step % period for period in periods)

    def _validate(self, training: Training) -> None:
        assert self.validation is not None
        nll = mean_nll(training.model, *self.validation, seed=self.settings.seed)
        training.end_epoch(nll, self.settings.patience)

    def _done(self, training: Training | None) -> int:
        chain_steps = 0 if training is None else training.step
        return self.settings.steps * len(self.finished) + chain_steps

    def _stop_early(self, training: Training) -> None:
        if training.finished and len(self.finished) == self.settings.restarts:
            return
        if self.folder is not None:
            self.folder.write_checkpoint(self.finished[:-1], training)
            raise KeyboardInterrupt(
                f"stopped at step {training.step} of chain {training.chain}; "
                f"resume=True goes on from {self.folder.path}"
            )
        warnings.warn(
            f"interrupted at step {training.step} of {self.settings.steps} of chain "
            f"{training.chain}: this is the posterior as it stood",
            InterruptedFitWarning,
            stacklevel=4,
        )


def _event(training: Training) -> StepEvent:
    loss, log_lik, kl, kl_weight = training.history[training.step - 1].tolist()
    return StepEvent(training.chain, training.step, loss, log_lik, kl, kl_weight, training.model)


def _record(training: Training) -> ChainRecord:
    state = training.best_state or training.model.state_dict()
    return ChainRecord(
        {name: value.detach().cpu().clone() for name, value in state.items()},
        training.history[: training.step].cpu(),
        training.validation_nll,
    )
