"""The loop of a fit: chains one after the other or together, and what happens between steps."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.schedules import Schedule
from bayesnas.inference.config.settings import Batched, FitSettings
from bayesnas.inference.evaluation.metrics import mean_nll
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.training.chains.group import ChainGroup
from bayesnas.inference.training.chains.trainer import ChainTrainer
from bayesnas.inference.training.events import StepEvent
from bayesnas.inference.training.processes.rounds import Rounds
from bayesnas.inference.training.processes.run_folder import SharedRunFolder
from bayesnas.inference.training.processes.sharing import BY_ITSELF, Sharing
from bayesnas.inference.training.progress import Progress
from bayesnas.inference.training.validation import validation_nll
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.interrupt import DeferredInterrupt, InterruptedFitWarning

INTERRUPTED = 130
"""Exit status of a process that Ctrl-C stopped."""
_LOG = logging.getLogger("bayesnas")
_SECONDS_BETWEEN_LOOKS = 0.5  # at the progress bar and at the finiteness of the losses
_MOST_STEPS_BETWEEN_LOOKS = 200


class Stops(NamedTuple):
    """Why the chains take no more steps.

    Attributes:
        asked: whether a signal asked for it.
        unfinished: whether there are steps left, of these chains or of others.
    """

    asked: bool
    unfinished: bool


class Loop:
    """All chains of a fit.

    Args:
        model: not changed; every chain trains a copy.
        train: training data, on the device of the fit.
        validation: data to measure after every epoch, or None.
        settings: of the fit.
        optimizer: makes the optimiser of a chain.
        schedule: learning-rate schedule.
        on_step: hook, called after every step.
        checkpoint_every: steps between checkpoints.
        starts: models to go on from, one a chain, instead of fresh starts.
        upper: upper level of a fit of two, and its sample; ``validation`` is not measured where it
            is that.
        batched: whether the chains take their steps together; ``"auto"`` does it on a GPU, where
            it can be done.
        sharing: of the work among several processes.

    Attributes:
        where: how far the fit is, in words.
    """

    def __init__(
        self,
        model: BayesianModel,
        train: AnySplit,
        validation: AnySplit | None,
        settings: FitSettings,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        on_step: Callable[[StepEvent], None] | None,
        checkpoint_every: int,
        starts: Sequence[BayesianModel] | None = None,
        upper: tuple[Bilevel, AnySplit] | None = None,
        batched: Batched = False,
        sharing: Sharing = BY_ITSELF,
    ) -> None:
        """Keep what the chains need; see the class."""
        self.model, self.train, self.validation = model, train, validation
        self.settings, self.optimizer, self.schedule = settings, optimizer, schedule
        self._sharing, self._processes = sharing, sharing.processes
        self.on_step = on_step if self._processes.is_first else None
        self.checkpoint_every = checkpoint_every
        self._starts, self._upper, self._batched = starts, upper, batched
        self._steps_at_once = 1
        self.where = "before the first step"
        self._mode: str | None = None  # of steps, as a trial of an earlier chain found it

    def chain(self, index: int) -> ChainTrainer:
        """Start a chain; nothing of it depends on the chains before.

        Raises:
            ValueError: where model, guide and data do not fit together.
        """
        source = self.model if self._starts is None else self._starts[index]
        model = copy.deepcopy(source).to(self.train.device)
        training = ChainTrainer(
            model,
            self.train,
            self.settings.of_chain(index).in_mode(self._mode),
            index % self.settings.restarts,
            self.optimizer,
            self.schedule,
            fresh=self._starts is None,
            upper=self._upper,
            among=self._sharing.among(),
        )
        if self.validation is not None and index == 0:  # what can't be validated fails here
            if model.whole_sample:
                raise ValueError(f"validation has no place here: {model.whole_sample}")
            some = self.validation.first(2)
            mean_nll(model, some, seed=0, draws=1, example=training.shared_rows)
        return training

    def run(
        self, first: ChainTrainer, folder: SharedRunFolder | None, progress: bool
    ) -> list[ChainRecord]:
        """Train every chain.

        Args:
            first: chain 0, not trained yet.
            folder: where checkpoints go, and come from where there is one; or None.
            progress: show a bar.

        Returns:
            the finished chains; after Ctrl-C without a folder also the one it stopped.

        Raises:
            OSError: where the folder can't be written.
            ValueError: where the chains are to be trained together and can't be.
            KeyboardInterrupt: after Ctrl-C with a folder, once the checkpoint is written.
        """
        rounds = Rounds(self.chain, self.model, self.settings, self._sharing, folder)
        current = rounds.begun(first, self._batched, self.train.device)
        if folder is not None:
            folder.begin()
        self._say_what_is_fitted()
        total = self.settings.steps * self.settings.chains
        shown = progress and self._processes.is_first
        done = self._done(current, rounds)
        bar = Progress(shown, total, self.model.describe(), done)
        try:
            with DeferredInterrupt() as interrupt:
                stops = self._train(current, rounds, bar, interrupt.received)
                while not (stops.asked and stops.unfinished):
                    self._end(current, rounds)
                    if rounds.all_are_finished:
                        return rounds.finished
                    current = rounds.next()
                    stops = self._train(current, rounds, bar, interrupt.received)
                self._stop_early(current, rounds, folder)
        finally:
            bar.close()
        return rounds.finished

    def _end(self, chains: ChainGroup, rounds: Rounds) -> None:
        step = self._processes.agree(step=chains.step)["step"]
        if rounds.some_are_left and step % self.checkpoint_every != 0:
            rounds.write_checkpoint(chains)
        rounds.end(chains)
        if chains.chains:
            self._mode = chains.chains[0].step_fn.mode

    def _say_what_is_fitted(self) -> None:
        """One line on what has a posterior and what the fit starts from."""
        anew = self.model.starting_point() if self._starts is None else ""
        what = self.model.describe()
        notes = "; ".join(note for note in (self.settings.tempering, anew) if note)
        # What has no posterior may come as a surprise; that everything has one does not.
        level = logging.WARNING if "; point estimates: " in what else logging.INFO
        _LOG.log(level, "%s", f"{what} ({notes})" if notes else what)

    def _train(
        self, chains: ChainGroup, rounds: Rounds, bar: Progress, interrupted: Callable[[], bool]
    ) -> Stops:
        alone = not self._processes.together
        while True:
            agreed = self._processes.agree(
                asked=interrupted() or self._processes.is_told_to_end(),
                running=bool(chains.running),
                step=chains.step,
                at_once=self._steps_at_once if self._processes.is_first else 0,
                hook=self.on_step is not None,
            )
            if agreed["asked"] or not agreed["running"]:
                unfinished = bool(agreed["running"]) or rounds.some_are_left
                return Stops(bool(agreed["asked"]), unfinished)
            before, began, running = agreed["step"], time.monotonic(), chains.running
            self.where = f"after step {before} of {self.settings.steps}"
            count = 1 if agreed["hook"] else self._steps_until_next_event(before, agreed["at_once"])
            chains.advance(count, interrupted if alone else lambda: False)
            step = chains.step if alone else before + count
            self._note_speed(step - before, time.monotonic() - began)
            if step == before:
                continue
            for training in running:
                self._look_at(training)
            if step % self.checkpoint_every == 0:
                rounds.write_checkpoint(chains)
            if running:
                bar.update(self._done(chains, rounds), running[0])

    def _look_at(self, training: ChainTrainer) -> None:
        if self._measures and training.step % training.batches.per_epoch == 0:
            self._validate(training)
        if self.on_step is not None:
            last = training.settings.kl_weight_at(training.step - 1)
            training.set_kl_weight(last.target, last.metaparameters)
            self.on_step(_event(training))

    def _note_speed(self, steps: int, seconds: float) -> None:
        # How many steps go at once changes when one looks, never the numbers.
        possible = int(steps * _SECONDS_BETWEEN_LOOKS / max(seconds, 1e-9))
        self._steps_at_once = min(max(possible, 1), _MOST_STEPS_BETWEEN_LOOKS)

    def _steps_until_next_event(self, step: int, at_once: int) -> int:
        periods = [self.checkpoint_every]
        if self._measures:
            periods.append(-(-len(self.train) // min(self.settings.batch_size, len(self.train))))
        left = self.settings.steps - step
        return min(at_once, left, *(period - step % period for period in periods))

    @property
    def _measures(self) -> bool:
        """Whether validation data is measured after every epoch."""
        is_upper = self._upper is not None and self._upper[1] is self.validation
        return self.validation is not None and not is_upper

    def _validate(self, training: ChainTrainer) -> None:
        validation, seed = self.validation, self.settings.seed
        assert validation is not None

        def measured() -> float:
            return validation_nll(training, validation, seed)

        # All decide by the number of the first, and stop at the same step.
        nll = self._processes.of_first(measured) if self._sharing.by_batch else measured()
        training.end_epoch(nll, self.settings.patience)

    def _done(self, chains: ChainGroup, rounds: Rounds) -> int:
        steps = self.settings.steps
        taken = (steps if chain.stopping.stopped else chain.step for chain in chains.chains)
        return steps * len(rounds.finished) + sum(taken)

    def _stop_early(
        self, chains: ChainGroup, rounds: Rounds, folder: SharedRunFolder | None
    ) -> None:
        count = rounds.side_by_side
        which = f"{count} chains" if count > 1 else f"chain {chains.chains[0].chain}"
        if count == self.settings.chains > 1:
            which = f"all {which}"
        where = f"at step {chains.step} of {self.settings.steps} of {which}"
        if folder is None:
            rounds.end(chains, checked=False)
            if self._processes.is_first:
                warnings.warn(
                    f"interrupted {where}: this is the posterior as it stood",
                    InterruptedFitWarning,
                    stacklevel=5,
                )
            return
        written = rounds.write_checkpoint(chains)
        if not self._processes.is_first:
            raise SystemExit(INTERRUPTED)  # the first one says it
        if written:
            raise KeyboardInterrupt(f"stopped {where}; resume=True goes on from {folder.path}")
        raise KeyboardInterrupt(
            f"stopped {where}, which could not be written to {folder.path}; "
            "resume=True goes on from the checkpoint before, if there is one"
        )


def _event(training: ChainTrainer) -> StepEvent:
    loss, log_lik, kl, kl_weight = training.history[training.step - 1].tolist()
    return StepEvent(training.chain, training.step, loss, log_lik, kl, kl_weight, training.model)
