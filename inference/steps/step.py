"""One training step of one model: schedules, the bound and its gradients, the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.compile.torch_private import has_cpp_compiler
from bayesnas.inference.compile.whole_batch_noise import WholeBatchNoise
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.elbo.bound import BoundTerms
from bayesnas.inference.optim.optimizers import (
    LearningRates,
    build_optimizer,
    is_coordinatewise,
)
from bayesnas.inference.optim.trainable_parameters import (
    ActiveLeaves,
    parameters_of,
    trainable,
)
from bayesnas.inference.steps.eager_step import EagerStep
from bayesnas.inference.steps.mode_trial import ModeTrial
from bayesnas.inference.steps.shared_gradient import SharedGradient, used_by_any
from bayesnas.inference.steps.traced_step import TracedStep
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.processes.group import ALONE, Processes
from bayesnas.runtime.random_state import RandomStream


class PartOfBatch(NamedTuple):
    """What of a batch the rows of one process are.

    Attributes:
        batch: rows of the whole batch.
        weight: of these among them.
        kl_weights: of the steps of all processes, or the one that they share.
    """

    batch: int
    weight: float
    kl_weights: Sequence[StepKLWeight]


class Step:
    """Takes the training steps of one model.

    A step is a traced one where the settings ask for it and it can be traced, else one through
    Pyro. Where they leave it open, the first steps are a trial. Of several processes each takes the
    step on its rows of a batch, up to the gradient; the optimiser gets the sum.

    Args:
        model: trained in place.
        factory: makes the optimiser.
        settings: of the fit.
        examples: size N of the sample.
        stream: random state in use while steps are taken.
        where: describes a step, for error messages.
        processes: that share out every batch.
        shared_noise: whether their noise is that of one process.

    Attributes:
        parameters: the trainable parameters.
        all: what optimisers update, and how the parameters come from it.
        trained: that of these steps: all of it, or the lower level of a bilevel fit.
        optimizer: over flat vectors for Adam, learned optimisers and amortised fits, else over the
            parameters.
        adam: whether that is torch's Adam.
        eager: takes a step through Pyro.
        traced: takes traced steps.
        trial: of the modes, while it goes on; None where the mode is settled.
        log_lik_sites, kl_sites: what the entries of a step's result are.
    """

    def __init__(
        self,
        model: BayesianModel,
        factory: OptimizerFactory,
        settings: FitSettings,
        examples: int,
        stream: RandomStream,
        where: Callable[[], str],
        processes: Processes = ALONE,
        shared_noise: bool = False,
    ) -> None:
        """Make the maps and the optimiser; see the class."""
        named = trainable(model)
        if not named:
            raise ValueError("model must have parameters to train, got none")
        self._model, self._examples = model, examples
        self.settings, self.stream = settings, stream
        self.all = parameters_of(model, settings.amortization, settings.upper)
        self.trained = self.all.level(upper=False)
        self._upper = self.all.level(upper=True)
        lower = set(self.trained.names)
        self.parameters = [value for name, value in named.items() if name in lower]
        share, clip = processes.share, settings.clip
        self._sum = SharedGradient(self.trained, processes, clip) if share.size > 1 else None
        noise = WholeBatchNoise(share) if shared_noise and share.size > 1 else None
        clip = clip if share.size == 1 else None  # the sum is clipped
        self.eager = EagerStep(model, self.all, self.trained, examples, clip, stream, where, noise)
        self.adam = factory is torch.optim.Adam
        flat = is_coordinatewise(factory) or settings.amortization is not None
        self.optimizer = build_optimizer(
            factory, self.trained.leaves if flat else self.parameters, settings.lr
        )
        self.rates = LearningRates(self.optimizer)
        self.traced = TracedStep(
            model, self.trained, self.optimizer, self.adam, settings, examples, self.eager, share
        )
        auto = settings.compile == "auto"
        self.trial = ModeTrial(settings.steps, has_cpp_compiler) if auto else None
        self._was_traced = False
        self.log_lik_sites, self.kl_sites = list[str](), list[str]()

    def __call__(
        self,
        x: AnyInputs,
        y: Tensor,
        kl_weight: StepKLWeight,
        factor: float,
        part: PartOfBatch | None = None,
    ) -> Tensor:
        """Take a step on a batch.

        Args:
            x: inputs ``[b, ...]``.
            y: targets ``[b, ...]``.
            kl_weight: of the bound, and of the parameters.
            factor: of the learning-rate schedule.
            part: of several processes, what of the batch these rows are.

        Returns:
            the terms of the bound, ``[sites]``: full-sample estimates in nats, from these rows.
        """
        if self.trial is None or not self.settings.is_full(len(y), self._examples):
            return self._take(x, y, kl_weight, factor, part)
        began = self.trial.clock()
        row = self._take(x, y, kl_weight, factor, part)
        seconds = self.trial.clock() - began
        self.trial.note(seconds, possible=self._was_traced or self.traced.mode == "eager")
        self.traced.mode = self.trial.mode
        if self.trial.settled:
            self.trial = None
        return row

    def _take(
        self,
        x: AnyInputs,
        y: Tensor,
        kl_weight: StepKLWeight,
        factor: float,
        part: PartOfBatch | None,
    ) -> Tensor:
        self.rates.scale(factor)
        if self._sum is not None and part is not None:
            self.eager.see_draws(x, y, part.batch)
            if len(part.kl_weights) > 1:
                self._sum.clear()
        use = self.trained.use(kl_weight.target, kl_weight.metaparameters)
        self._upper.write(kl_weight.target, kl_weight.metaparameters)
        self.eager.write_metaparameters(kl_weight.metaparameters)
        traced = self.traced
        row = None if traced.mode == "eager" else traced(x, y, kl_weight.bound, use)
        self._was_traced = row is not None
        if row is not None:
            self.log_lik_sites, self.kl_sites = traced.log_lik_sites, traced.kl_sites
            if traced.updates:
                return row
        else:
            terms = self.eager(x, y, kl_weight, use)
            self.log_lik_sites, self.kl_sites = list(terms.log_lik), list(terms.kl)
            row = terms.stacked()
        if self._sum is not None and part is not None:
            uses = [self.trained.use(at.target, at.metaparameters) for at in part.kl_weights]
            use = used_by_any(uses, use) if len(uses) > 1 else use
            self._sum.add(part.weight, use)
        self.update(use)
        return row

    @property
    def mode(self) -> str | None:
        """How steps are taken; None while a trial goes on."""
        return self.traced.mode if self.trial is None else None

    def decisions(self) -> dict[str, Any]:
        """Return how steps are taken, as JSON values for a checkpoint."""
        return {**self.traced.decisions(), "mode": self.mode}

    def decide_as(self, decisions: Mapping[str, Any]) -> None:
        """Take steps as the fit that :meth:`decisions` is of; a trial under way begins anew."""
        self.traced.decide_as(decisions)
        if decisions.get("mode") is not None:
            self.traced.mode, self.trial = decisions["mode"], None

    def refine(self, progress: float) -> bool:
        """Let maps over λ become finer; return whether any did."""
        if finer := self.trained.refine(progress, self.optimizer):
            self.traced.recount()
        return finer

    def update(self, use: ActiveLeaves) -> None:
        """Let the optimiser take a step by the gradients as they are."""
        self.trained.offer(use)
        self.optimizer.step()
        self.traced.recount()  # an optimiser of torch counts by itself

    def named(self, row: Tensor) -> BoundTerms:
        """Return the result of a step by site."""
        split = len(self.log_lik_sites)
        return BoundTerms(
            dict(zip(self.log_lik_sites, row[:split], strict=True)),
            dict(zip(self.kl_sites, row[split:], strict=True)),
        )
