"""One training step of one model: schedules, the bound and its gradients, the optimiser."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.elbo.bound import BoundTerms
from bayesnas.inference.optim.optimizers import (
    LearningRates,
    OptimizerFactory,
    build_optimizer,
    is_coordinatewise,
)
from bayesnas.inference.optim.trainable_parameters import (
    ActiveLeaves,
    parameters_of,
    trainable,
)
from bayesnas.inference.steps.eager_step import EagerStep
from bayesnas.inference.steps.traced_step import TracedStep
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import RandomStream


class Step:
    """Takes the training steps of one model.

    A step is a traced one where the settings ask for it and it can be traced, else one through
    Pyro.

    Args:
        model: trained in place.
        factory: makes the optimiser.
        settings: of the fit.
        examples: size N of the sample.
        stream: random state in use while steps are taken.
        where: describes a step, for error messages.

    Attributes:
        parameters: the trainable parameters.
        all: what optimisers update, and how the parameters come from it.
        trained: that of these steps: all of it, or the lower level of a bilevel fit.
        optimizer: over flat vectors for Adam, learned optimisers and amortised fits, else over the
            parameters.
        adam: whether that is torch's Adam.
        eager: takes a step through Pyro.
        traced: takes traced steps.
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
        self.eager = EagerStep(
            model, self.all, self.trained, examples, settings.clip, stream, where
        )
        self.adam = factory is torch.optim.Adam
        flat = is_coordinatewise(factory) or settings.amortization is not None
        self.optimizer = build_optimizer(
            factory, self.trained.leaves if flat else self.parameters, settings.lr
        )
        self.rates = LearningRates(self.optimizer)
        self.traced = TracedStep(
            model, self.trained, self.optimizer, self.adam, settings, examples, self.eager
        )
        self.log_lik_sites, self.kl_sites = list[str](), list[str]()

    def __call__(self, x: AnyInputs, y: Tensor, kl_weight: StepKLWeight, factor: float) -> Tensor:
        """Take a step on a batch.

        Args:
            x: inputs ``[b, ...]``.
            y: targets ``[b, ...]``.
            kl_weight: of the bound, and of the parameters.
            factor: of the learning-rate schedule.

        Returns:
            the terms of the bound, ``[sites]``: full-sample estimates in nats.
        """
        self.rates.scale(factor)
        use = self.trained.use(kl_weight.target, kl_weight.metaparameters)
        self._upper.write(kl_weight.target, kl_weight.metaparameters)
        self.eager.write_metaparameters(kl_weight.metaparameters)
        traced = self.traced
        row = traced(x, y, kl_weight.bound, use) if traced.possible else None
        if row is not None:
            self.log_lik_sites, self.kl_sites = traced.log_lik_sites, traced.kl_sites
            if traced.updates:
                return row
        else:
            terms = self.eager(x, y, kl_weight, use)
            self.log_lik_sites, self.kl_sites = list(terms.log_lik), list(terms.kl)
            row = terms.stacked()
        self.update(use)
        return row

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
