"""A training step through Pyro: the reference of every traced step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs, leaves_of
from bayesnas.inference.compile.whole_batch_noise import WholeBatchNoise
from bayesnas.inference.config.amortization import NONE, Values
from bayesnas.inference.config.settings import StepKLWeight
from bayesnas.inference.elbo.bound import BoundTerms, batch_terms
from bayesnas.inference.elbo.messengers import kl_weighted
from bayesnas.inference.elbo.nonfinite import check_sites
from bayesnas.inference.optim.trainable_parameters import (
    ActiveLeaves,
    TrainableParameters,
    running_buffers,
)
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import RandomStream


class EagerStep:
    """Runs guide, model and bound through Pyro and writes the gradients; updates nothing.

    Args:
        model: model and guide.
        parameters: all that optimisers update, and how the model's parameters come from it.
        trained: that of these steps.
        examples: size N of the sample.
        clip: largest absolute value of a gradient entry, or None.
        stream: random state in use while steps are taken.
        where: describes a step, for error messages.
        noise: of whole batches, where the rows of a step are those of one of several processes
            and their noise is to be that of one process; else None.

    Attributes:
        batch: rows of the whole batch of a step, where ``noise`` is given.
    """

    def __init__(
        self,
        model: BayesianModel,
        parameters: TrainableParameters,
        trained: TrainableParameters,
        examples: int,
        clip: float | None,
        stream: RandomStream,
        where: Callable[[], str],
        noise: WholeBatchNoise | None = None,
    ) -> None:
        """Keep what a step needs; see the class."""
        self._noise, self.batch = noise, 0
        self._model, self._all, self._trained = model, parameters, trained
        self._examples, self._clip = examples, clip
        self._stream, self._where = stream, where

    def __call__(
        self, x: AnyInputs, y: Tensor, kl_weight: StepKLWeight, use: ActiveLeaves
    ) -> BoundTerms:
        """Write the gradients of the leaves in use; return the terms of the bound."""
        self.write(kl_weight.target, kl_weight.metaparameters)
        for group in self._all.groups:
            group.flat.gradient.zero_()
        terms, bound = self._bound(x, y, kl_weight.bound)
        # Per example, so that learning rate and clipping mean the same for any sample size.
        (-bound / self._examples).backward()
        self._trained.pull_back(use)
        if self._clip is not None:
            for gradient in use.gradients:
                gradient.clamp_(-self._clip, self._clip)
        return terms

    def numbers(
        self, x: AnyInputs, y: Tensor, kl_weight: float, metaparameters: Values = NONE
    ) -> list[Tensor]:
        """Terms of the bound ``[sites]`` and the gradient of every leaf in use; changes nothing."""
        use = self._trained.use(kl_weight, metaparameters)
        with self.unchanged():
            terms = self(x, y, StepKLWeight(kl_weight, kl_weight, metaparameters), use)
            return [terms.stacked(), *(gradient.clone() for gradient in use.gradients)]

    def write(self, kl_weight: float, metaparameters: Values = NONE) -> None:
        """Set the parameters of all levels, and the metaparameters, to those at a KL weight."""
        self._all.write(kl_weight, metaparameters)
        self.write_metaparameters(metaparameters)

    def write_metaparameters(self, metaparameters: Values) -> None:
        """Set the metaparameters of the model besides λ, which are buffers of it."""
        for name, value in metaparameters.items():
            self._model.set_metaparameter(name, value)

    def kind(self, x: AnyInputs, y: Tensor) -> tuple[torch.Size, ...]:
        """What tells apart the steps that need a trace of their own: the shapes of a batch."""
        shapes = (*(leaf.shape for leaf in leaves_of(x)), y.shape)
        return shapes if self._noise is None else (*shapes, torch.Size([self.batch]))

    def drawing(self, rows: int) -> AbstractContextManager[None]:
        """Draw what a step on so many rows draws inside the block."""
        return nullcontext() if self._noise is None else self._noise.drawing(rows, self.batch)

    def see_draws(self, x: AnyInputs, y: Tensor, batch: int) -> None:
        """Get ready for steps on these rows of batches of a size; nothing is changed by it.

        Raises:
            ValueError: where the noise of a whole batch can't be had.
        """
        self.batch = batch
        if self._noise is None or self._noise.knows(len(y), batch):
            return

        def run(count: int) -> None:
            places = torch.arange(count, device=y.device) % len(y)
            self._bound(x[places], y[places], 1.0)

        noise, self._noise = self._noise, None
        try:
            with self.unchanged():
                noise.learn(len(y), batch, run)
        finally:
            self._noise = noise

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Run something; random state, parameters, gradients and buffers are put back after."""
        before = self._stream.now()
        tensors = [gradient for group in self._all.groups for gradient in group.gradients]
        tensors += [group.flat.values.data for group in self._all.groups]
        tensors += running_buffers(self._model).values()
        copies = [tensor.clone() for tensor in tensors]
        with self._stream.rewound(before):
            yield
        for tensor, copy in zip(tensors, copies, strict=True):
            tensor.copy_(copy)

    def _bound(self, x: AnyInputs, y: Tensor, kl_weight: float) -> tuple[BoundTerms, Tensor]:
        scale = self._examples / len(x)
        elbo: Any = self._model.elbo
        if elbo is None:
            with self.drawing(len(x)):
                terms = batch_terms(self._model, x, y, scale)
            return terms, terms.bound(kl_weight)
        handled = (kl_weight, scale, self._model.follows_batch, self._model.summed_out)
        model = kl_weighted(self._model.model, *handled)
        guide = kl_weighted(self._model.guide, *handled)
        before = self._stream.now()
        with self.drawing(len(x)):
            bound: Tensor = -elbo.differentiable_loss(model, guide, x, y)
        if not torch.isfinite(bound):
            with torch.no_grad(), self._stream.rewound(before):
                check_sites(model, guide, x, y, self._where())
        return BoundTerms({"elbo": bound}, {}), bound
