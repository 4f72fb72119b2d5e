"""The loop of a fit: chains one after the other or together, and what happens between steps."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable, Sequence

from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.amortization import NONE, Values
from bayesnas.inference.config.schedules import Schedule
from bayesnas.inference.config.settings import Batched, FitSettings
from bayesnas.inference.evaluation.metrics import mean_nll
from bayesnas.inference.optim.optimizers import OptimizerFactory
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.runs.run_folder import RunFolder
from bayesnas.inference.steps.vmap_step import NotVmappableError
from bayesnas.inference.training.chain_group import ChainGroup, check_together, pays
from bayesnas.inference.training.chain_trainer import ChainTrainer
from bayesnas.inference.training.events import StepEvent
from bayesnas.inference.training.progress import Progress
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.interrupt import DeferredInterrupt, InterruptedFitWarning

_LOG = logging.getLogger("bayesnas")
_SECONDS_BETWEEN_LOOKS = 0.5  # at the progress bar and at the finiteness of the losses
_MOST_STEPS_BETWEEN_LOOKS = 200
_VALIDATED_AT = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the range of log λ


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
    ) -> None:
        """Keep what the chains need; see the class."""
        self.model, self.train, self.validation = model, train, validation
        self.settings, self.optimizer, self.schedule = settings, optimizer, schedule
        self.on_step, self.checkpoint_every = on_step, checkpoint_every
        self._starts, self._upper, self._batched = starts, upper, batched
        self.finished: list[ChainRecord] = []
        self._folder: RunFolder | None = None
        self._steps_at_once = 1
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
        )
        if self.validation is not None and index == 0:  # what can't be validated fails here
            if model.whole_sample:
                raise ValueError(f"validation has no place here: {model.whole_sample}")
            mean_nll(model, self.validation.first(2), seed=0, draws=1)
        return training

    def run(
        self, first: ChainTrainer, folder: RunFolder | None, progress: bool
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
        self._folder = folder
        current = self._begun(first)
        if folder is not None:
            folder.begin()
        self._say_what_is_fitted()
        total = self.settings.steps * self.settings.chains
        bar = Progress(progress, total, self.model.describe(), self._done(current))
        try:
            with DeferredInterrupt() as interrupt:
                self._train(current, bar, interrupt.received)
                while not (interrupt.received() and self._is_stopped(current)):
                    self._end(current)
                    if len(self.finished) == self.settings.chains:
                        return self.finished
                    current = ChainGroup([self.chain(len(self.finished))])
                    self._train(current, bar, interrupt.received)
                self._stop_early(current)
        finally:
            bar.close()
        return self.finished

    def _say_what_is_fitted(self) -> None:
        """One line on what has a posterior and what the fit starts from."""
        anew = self.model.starting_point() if self._starts is None else ""
        what = self.model.describe()
        # What has no posterior may come as a surprise; that everything has one does not.
        level = logging.WARNING if "; point estimates: " in what else logging.INFO
        _LOG.log(level, "%s", f"{what} ({anew})" if anew else what)

    def _begun(self, first: ChainTrainer) -> ChainGroup:
        """The chains to begin with: as the checkpoint has them, where there is one."""
        checkpoint = None if self._folder is None else self._folder.checkpoint()
        if checkpoint is None:
            return self._fresh(first)
        self.finished, running = checkpoint
        chains = []
        for index, (tensors, values) in enumerate(running, start=len(self.finished)):
            chains.append(first if index == 0 else self.chain(index))
            chains[-1].load_state(tensors, values)
        return ChainGroup.together(chains, trusted=True) if len(chains) > 1 else ChainGroup(chains)

    def _fresh(self, first: ChainTrainer) -> ChainGroup:
        """All chains together where that is wanted and can be done, else the first alone."""
        auto = self._batched == "auto"
        wanted = pays(self.settings, self.train.device) if auto else self._batched
        if self.settings.chains == 1 or not wanted:
            return ChainGroup([first])
        try:
            check_together(self.settings, self.model)
            rest = [self.chain(index) for index in range(1, self.settings.chains)]
            return ChainGroup.together([first, *rest])
        except NotVmappableError as reason:
            why = str(reason)
        if not auto:
            raise ValueError(f"batched: the chains can't be trained together: {why}")
        _LOG.warning("%s trains its chains one after the other: %s", self.model.describe(), why)
        return ChainGroup([first])

    def _train(self, chains: ChainGroup, bar: Progress, interrupted: Callable[[], bool]) -> None:
        while chains.running and not interrupted():
            before, began, running = chains.step, time.monotonic(), chains.running
            chains.advance(self._steps_until_next_event(chains), interrupted)
            self._note_speed(chains.step - before, time.monotonic() - began)
            if chains.step == before:
                continue
            for training in running:
                self._look_at(training)
            if chains.step % self.checkpoint_every == 0:
                self._write_checkpoint(chains)
            bar.update(self._done(chains), running[0])

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

    def _steps_until_next_event(self, chains: ChainGroup) -> int:
        if self.on_step is not None:
            return 1
        periods = [self.checkpoint_every]
        if self._measures:
            periods.append(chains.chains[0].batches.per_epoch)
        return min(self._steps_at_once, *(period - chains.step % period for period in periods))

    @property
    def _measures(self) -> bool:
        """Whether validation data is measured after every epoch."""
        is_upper = self._upper is not None and self._upper[1] is self.validation
        return self.validation is not None and not is_upper

    def _validate(self, training: ChainTrainer) -> None:
        assert self.validation is not None
        losses = []
        for kl_weight, metaparameters in _validated_at(training.settings):
            training.set_kl_weight(kl_weight, metaparameters)
            losses.append(mean_nll(training.model, self.validation, seed=self.settings.seed))
        training.end_epoch(sum(losses) / len(losses), self.settings.patience)

    def _done(self, chains: ChainGroup) -> int:
        taken = (self.settings.steps if chain.stopped else chain.step for chain in chains.chains)
        return self.settings.steps * len(self.finished) + sum(taken)

    def _write_checkpoint(self, chains: ChainGroup) -> bool:
        if self._folder is None:
            return False
        for chain in chains.chains:
            chain.check_parameters()
        states = [chain.state() for chain in chains.chains]
        return self._folder.write_checkpoint(self.finished, states)

    def _end(self, chains: ChainGroup) -> None:
        for chain in chains.chains:
            chain.check_parameters()
        last = len(self.finished) + len(chains.chains) == self.settings.chains
        if not last and chains.step % self.checkpoint_every != 0:
            self._write_checkpoint(chains)
        self.finished += [_record(chain) for chain in chains.chains]
        self._mode = chains.chains[0].step_fn.mode

    def _is_stopped(self, chains: ChainGroup) -> bool:
        some_are_left = len(self.finished) + len(chains.chains) < self.settings.chains
        return bool(chains.running) or some_are_left

    def _stop_early(self, chains: ChainGroup) -> None:
        first, *others = chains.chains
        which = f"all {len(chains.chains)} chains" if others else f"chain {first.chain}"
        where = f"at step {chains.step} of {self.settings.steps} of {which}"
        if self._folder is None:
            self.finished += [_record(chain) for chain in chains.chains]
            warnings.warn(
                f"interrupted {where}: this is the posterior as it stood",
                InterruptedFitWarning,
                stacklevel=5,
            )
        elif self._write_checkpoint(chains):
            raise KeyboardInterrupt(
                f"stopped {where}; resume=True goes on from {self._folder.path}"
            )
        else:
            raise KeyboardInterrupt(
                f"stopped {where}, which could not be written to {self._folder.path}; "
                "resume=True goes on from the checkpoint before, if there is one"
            )


def _validated_at(settings: FitSettings) -> list[tuple[float, Values]]:
    """KL weights at which validation data is measured; the mean is what counts."""
    if settings.amortization is None:
        return [(settings.kl_weight_at(0).target, NONE)]
    amortization = settings.amortization
    count, others = len(_VALIDATED_AT), range(2, len(amortization.axes) + 1)
    # Over more metaparameters a Latin square: each takes its five values in an order of its own.
    places = (
        (t, *(_VALIDATED_AT[(index * other) % count] for other in others))
        for index, t in enumerate(_VALIDATED_AT)
    )
    return [amortization.values(*place) for place in places]


def _event(training: ChainTrainer) -> StepEvent:
    loss, log_lik, kl, kl_weight = training.history[training.step - 1].tolist()
    return StepEvent(training.chain, training.step, loss, log_lik, kl, kl_weight, training.model)


def _record(training: ChainTrainer) -> ChainRecord:
    fitted = training.best_state or training.fitted()
    return ChainRecord(
        {name: value.cpu().clone() for name, value in fitted.items()},
        training.history[: training.step].cpu(),
        training.validation_nll,
    )
