"""Training of one chain: steps of stochastic gradient ascent on the λ-weighted bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.amortization import NONE, Values
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.schedules import Schedule, learning_rate_factor
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.elbo.nonfinite import check_parameters, check_terms
from bayesnas.inference.evaluation.metrics import Rows
from bayesnas.inference.optim.optimizer_state import optimizer_state, restore_optimizer
from bayesnas.inference.runs.chain_record import HISTORY
from bayesnas.inference.steps.bilevel_step import UpperStep
from bayesnas.inference.steps.step import PartOfBatch, Step
from bayesnas.inference.steps.streamed_batches import batches_of
from bayesnas.inference.training.chains.early_stopping import EarlyStopping
from bayesnas.inference.training.chains.first_batch import check_batches, prepare, try_out
from bayesnas.inference.training.chains.moves import try_due_moves
from bayesnas.inference.training.processes.agreement import start_as_the_first
from bayesnas.inference.training.processes.among import AmongProcesses
from bayesnas.models.base import BayesianModel
from bayesnas.nn.modules.parameter_names import below
from bayesnas.runtime.matmul_precision import fast_products
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream, derived_seed


class ChainTrainer:
    """The state of one chain's training, advanced a number of steps at a time.

    Args:
        model: trained in place; on the device of the data.
        sample: the training data.
        settings: of the fit.
        chain: index of the chain; with the seed it decides all that is random.
        optimizer: builds the optimiser from parameters and ``lr=``.
        schedule: learning-rate schedule.
        fresh: draw the initial parameters; False goes on from those of ``model``.
        upper: options of the upper level of a bilevel fit, and its sample.
        among: the processes that take its steps together.
    """

    def __init__(
        self,
        model: BayesianModel,
        sample: AnySplit,
        settings: FitSettings,
        chain: int,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        *,
        fresh: bool = True,
        upper: tuple[Bilevel, AnySplit] | None = None,
        among: AmongProcesses | None = None,
    ) -> None:
        """Draw the initial parameters and set up the optimiser; see the class."""
        seeds = np.random.SeedSequence([settings.seed, chain]).generate_state(2)
        self.model = model
        self.settings = settings
        self.chain = chain
        self.step = 0
        self._anneals = fresh  # a fit that goes on from another stays at the end of its schedules
        self.among = AmongProcesses() if among is None else among
        processes = self.among.processes
        # What changes the model between steps sees whole batches, and is alike in all processes.
        self._whole = batches_of(sample, settings.batch_size, int(seeds[0]))
        self.batches = self._whole
        if processes.size > 1:
            share = processes.share
            self.batches = batches_of(sample, settings.batch_size, int(seeds[0]), share)
        self._seed = int(seeds[1])
        self.stream = RandomStream(self._seed, sample.device)
        self._schedule = schedule
        with pyro_session(self.stream, validate=True):
            model.train()
            if fresh:
                prepare(model, self._whole, settings.batch_size)
            self.among.check(model)
            check_batches(model, settings.batch_size, len(sample))
            try_out(model, *self._whole.at(0))
            start_as_the_first(model, processes)
            fit = model, optimizer, settings, len(sample), self.stream
            shared_noise = self.among.shared_noise
            self.step_fn = Step(*fit, lambda: self._where(self.step), processes, shared_noise)
        self.upper = None
        if upper is not None:
            bilevel, held_out = upper
            self.upper = UpperStep(
                model,
                bilevel,
                settings,
                self.step_fn.all,
                len(sample),
                held_out,
                int(seeds[0]),
                self.stream,
            )
        self.among.begin(self.stream, self._seed)
        self.history = torch.full(
            (settings.steps, len(HISTORY)), torch.nan, device=sample.device, dtype=model.dtype
        )
        rising = settings.warm_up_steps // self.batches.per_epoch
        self.stopping = EarlyStopping(skipped=int(rising))

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The trainable parameters."""
        return self.step_fn.parameters

    @property
    def shared_rows(self) -> Rows | None:
        """All training rows, where they alone say what examples share; else None."""
        return self._whole.at(0) if self.model.shared_by_rows else None

    @property
    def finished(self) -> bool:
        """Whether no step is left, by count or by early stopping."""
        return self.stopping.stopped or self.step >= self.settings.steps

    def advance(self, count: int, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Take up to ``count`` steps; fewer at the end, or once ``interrupted()``.

        Raises:
            NonFiniteLossError: at the first step whose bound is NaN or infinite.
        """
        stop = min(self.step + count, self.settings.steps)
        recorded: list[Tensor] = []
        weights: list[float] = []
        first = self.step
        self.model.train()
        with pyro_session(self.stream), fast_products(self.history.device):
            while self.step < stop and not interrupted():
                kl_weight, part = self._at(self.step)
                recorded.append(self._take_step(kl_weight, part))
                weights.append(kl_weight.bound)
                self.step += 1
        if recorded:
            self._record(first, torch.stack(recorded), weights)
            self.among.even_out(self.model)

    def _at(self, step: int) -> tuple[StepKLWeight, PartOfBatch | None]:
        """KL weight of a step, and of several processes what of its batch this one takes."""
        if self.batches is self._whole or self.among.processes.size == 1:
            return self.settings.kl_weight_at(step), None
        return self.among.at(self.settings, self.batches, step)

    def record_steps(self, terms: Tensor, kl_weights: list[float]) -> None:
        """Note steps that were taken together with those of other chains.

        Args:
            terms: of the bound, ``[steps, sites]``.
            kl_weights: λ in the bound of every step.

        Raises:
            NonFiniteLossError: at the first step whose bound is NaN or infinite.
        """
        first = self.step
        self.step += len(terms)
        self._record(first, terms, kl_weights)

    def _take_step(self, kl_weight: StepKLWeight, part: PartOfBatch | None = None) -> Tensor:
        x, y = self.batches.at(self.step)
        self.follow_schedules(self.step)
        factor = self.rate_at(self.step)
        if self.upper is not None:
            self.upper(self.step, x, y, kl_weight, self.settings.lr * factor)
        return self.step_fn(x, y, kl_weight, factor, part)

    def follow_schedules(self, step: int) -> bool:
        """Do what is due before a step; return whether the maps over λ became finer."""
        progress = step / self.settings.steps
        if self._anneals:
            self.model.anneal(progress)
            try_due_moves(self.model, self._whole, self.settings, step)
        return self.step_fn.refine(progress)

    def rate_at(self, step: int) -> float:
        """Factor on the learning rate of a step."""
        return learning_rate_factor(self._schedule, step / self.settings.steps)

    def _record(self, first: int, terms: Tensor, kl_weights: list[float]) -> None:
        split = len(self.step_fn.log_lik_sites)
        weights = terms.new_tensor(kl_weights)[:, None]
        weighted = weights * terms[:, split:].sum(1, keepdim=True)
        columns = torch.cat([terms, weights, weighted], dim=1)
        terms = self.among.summed(columns, self.batches, first)
        log_lik, kl = terms[:, :split].sum(1), terms[:, split:-2].sum(1)
        rows = torch.stack([terms[:, -1] - log_lik, log_lik, kl, terms[:, -2]], dim=1)
        finite = torch.isfinite(rows).all(dim=1)
        if not bool(finite.all()):
            index = int((~finite).nonzero()[0])
            check_terms(self.step_fn.named(terms[index, :-2]), self._where(first + index))
        self.history[first : first + len(rows)] = rows

    def _where(self, index: int) -> str:
        kl_weight = self.settings.kl_weight_at(index)
        return f"at step {index + 1} of chain {self.chain} with {kl_weight.text}"

    def set_kl_weight(self, kl_weight: float, metaparameters: Values = NONE) -> None:
        """Give the model the parameters at a KL weight; in a fit at one λ it has them."""
        self.step_fn.eager.write(kl_weight, metaparameters)

    def check_parameters(self) -> None:
        """Raise NonFiniteLossError where the last step left a parameter NaN or infinite.

        The loss of the step before it says nothing of that. Of several processes all have the same
        parameters after it.
        """
        where = self._where(self.step - 1)
        check_parameters(self.model.named_parameters(), where)
        maps = [(f"leaf {i} of the map", leaf) for i, leaf in enumerate(self.step_fn.all.leaves)]
        check_parameters(maps, where)
        self.among.keep_together(self.step_fn.all.leaves)

    def end_epoch(self, validation_nll: float, patience: int | None) -> None:
        """Note the loss on validation data after an epoch, which may be the last one by it."""
        self.stopping.end_epoch(validation_nll, patience, self.fitted)

    def fitted(self) -> dict[str, Tensor]:
        """What was fitted, as it stands: the model as ``model/...``, maps as ``maps/...``.

        In an amortised fit the model has its parameters in the middle of the range, or ranges.
        """
        if self.settings.amortization is not None:
            self.set_kl_weight(*self.settings.amortization.all_at(0.5))
        model, maps = self.model.state_dict(), self.step_fn.all.state()
        return {f"model/{name}": value.detach() for name, value in model.items()} | {
            f"maps/{name}": value.detach() for name, value in maps.items()
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the next steps depend on: tensors by name, and JSON values."""
        tensors = self.fitted()
        values = {}
        for name, each in self._optimizers().items():
            optimizer, values[name] = optimizer_state(each)
            tensors |= {f"{name}/{key}": value for key, value in optimizer.items()}
        random = self.among.random_states(self.stream)
        tensors |= {f"random/{name}": value for name, value in random.items()}
        tensors["history"] = self.history[: self.step]
        for name, value in (self.stopping.best_state or {}).items():
            tensors[f"best/{name}"] = value
        return tensors, {
            "step": self.step,
            "stopped": self.stopping.stopped,
            "validation_nll": self.stopping.losses,
            **values,
            "steps": self.step_fn.decisions(),
            "upper_steps": None if self.upper is None else self.upper.decisions(),
        }

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimiser of every level."""
        lower = {"optimizer": self.step_fn.optimizer}
        return lower if self.upper is None else {**lower, "upper_optimizer": self.upper.optimizer}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            ValueError: where the state is not of this model.
        """
        try:
            self.model.load_state_dict(below("model/", tensors))
            self.step_fn.all.load_state(below("maps/", tensors))
        except RuntimeError as error:
            raise ValueError(f"the checkpoint is of another model: {error}") from error
        for name, optimizer in self._optimizers().items():
            restore_optimizer(optimizer, below(f"{name}/", tensors), values[name])
        self.step_fn.decide_as(values["steps"])
        if self.upper is not None:
            self.upper.decide_as(values["upper_steps"])
        self.step = int(values["step"])
        seed = derived_seed(self._seed, self.step)
        self.among.take_up(self.stream, below("random/", tensors), seed)
        self.stopping.stopped = bool(values["stopped"])
        self.stopping.losses = list(values["validation_nll"])
        self.history[: self.step] = tensors["history"].to(self.history.device)
        self.stopping.best_state = below("best/", tensors) or None
