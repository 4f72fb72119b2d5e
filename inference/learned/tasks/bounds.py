"""The λ-weighted bound of a Bayesian model as a task: an optimiser learned for its fits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import vmap

from bayesnas.checks import shown, size
from bayesnas.distributions import LogUniform
from bayesnas.inference.bilevel.losses import LevelLoss
from bayesnas.inference.compile.random_ops import StackedNoise
from bayesnas.inference.compile.trace import StepGraph, trace_step
from bayesnas.inference.config.inputs import Data, checked_tensors
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.learned.tasks.base import (
    Drawn,
    TaskFamily,
    generator_of,
    generator_of_step,
)
from bayesnas.inference.optim.trainable_parameters import running_buffers, trainable
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed

_CPU = torch.device("cpu")


class _Inputs(NamedTuple):
    """Arguments of the loss of one task, as it is traced."""

    theta: Tensor
    x: Tensor
    y: Tensor
    kl_weight: Tensor


class DrawnWeighted(NamedTuple):
    """Some bounds to maximise, at any λ.

    Attributes:
        start: where each begins, ``[tasks, P]``.
        losses: of parameters ``[tasks, P]``, the index of a step and λ ``[tasks]``, the loss of
            every task ``[tasks]``.
    """

    start: Tensor
    losses: Callable[[Tensor, int, Tensor], Tensor]


class Bounds(TaskFamily):
    r"""The loss of a fit, :math:`-\mathcal L(\lambda) / N` on minibatches, in nats an example.

    .. math:: \mathcal L(\lambda) = E_{q_\theta} \log p(y | x, w) - \lambda\, KL(q_\theta \| p)

    θ is all that a fit trains: means and log scales of the guide, and what else the model learns.
    Every task has its own initial values, as a fit draws them, and its own λ where a range is
    given. One draw of the guide stands for the expectation, anew at every step.

    Args:
        model: not changed. What follows a schedule in a fit, such as a temperature, stays, and so
            do running statistics.
        data: training data.
        kl_weight: λ, or a range of which every task draws one.
        batch_size: examples in a minibatch, drawn with replacement.

    Raises:
        TypeError, ValueError: naming the argument; also for a model whose bound can't be traced.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> tasks = Bounds(bn.models.GaussianNet(bn.nn.mlp([64, 10])), data.train, batch_size=16)
    >>> start, losses = tasks.draw(2, seed=0)
    >>> start.shape, losses(start, 0).shape  # means and log scales
    (torch.Size([2, 1300]), torch.Size([2]))
    """

    @typed(unchecked=("model", "data", "kl_weight"))
    def __init__(
        self,
        model: BayesianModel,
        data: Data,
        kl_weight: float | LogUniform = 1.0,
        batch_size: int = 128,
    ) -> None:
        """Record the loss of one task; see the class."""
        if not isinstance(model, BayesianModel):
            raise TypeError(f"model must be one of bayesnas.models, got {type(model).__name__}")
        if model.elbo is not None:
            raise TypeError(f"model must have no elbo= of its own, got {model.describe()}")
        if not isinstance(kl_weight, LogUniform):
            check_kl_weight(kl_weight)
        sample = checked_tensors(model, data, "data")
        if not isinstance(sample.x, Tensor):
            raise TypeError("data must have one tensor of inputs, got several")
        self._x, self._y, self._kl_weight = sample.x, sample.y, kl_weight
        self._fingerprint = sample.fingerprint
        self._batch_size = min(size("batch_size", batch_size), len(self._x))
        self._model = copy.deepcopy(model)
        self._model.size_for(sample.info.classes)
        self._loss = self._recorded()

    def _recorded(self) -> StepGraph:
        """The loss of one task as a graph of tensors, its noise among them."""
        x, y = self._x[: self._batch_size], self._y[: self._batch_size]
        with pyro_session(RandomStream(0, _CPU)):
            self._model.prepare(x, y)
            named = trainable(self._model)
            if len({value.dtype for value in named.values()}) > 1:
                raise ValueError("model must have parameters of one type")
            self._shapes = {name: value.shape for name, value in named.items()}
            loss, examples = LevelLoss(self._model), len(self._x)
            buffers = running_buffers(self._model)

            def function(inputs: _Inputs) -> Tensor:
                state = {**buffers, **self._named(inputs.theta)}
                return loss(state, inputs.x, inputs.y, inputs.kl_weight, examples)

            theta = torch.cat([value.detach().flatten() for value in named.values()])
            try:
                return trace_step(function, _Inputs(theta, x, y, theta.new_ones(())))
            except Exception as error:  # whatever a user's model does that tracing can't follow
                raise ValueError(
                    f"model must have a bound that can be traced, got {self._model.describe()}: "
                    f"{shown(error)}"
                ) from error

    def _named(self, theta: Tensor) -> Mapping[str, Tensor]:
        pieces = theta.split([math.prod(shape) for shape in self._shapes.values()])
        items = zip(self._shapes.items(), pieces, strict=True)
        return {name: piece.view(shape) for (name, shape), piece in items}

    @property
    def log_scales(self) -> Tensor:
        """Which of the P parameters are log scales of the guide, booleans ``[P]``."""
        named = self._shapes.items()
        return torch.cat(
            [torch.full((math.prod(shape),), name.endswith(".log_scale")) for name, shape in named]
        )

    def draw(self, count: int, seed: int) -> Drawn:
        """Draw initial parameters, and a λ where there is a range."""
        start, losses = self.draw_weighted(count, seed)
        weights = start.new_tensor(self._kl_weights(count, seed))
        return Drawn(start, lambda theta, step: losses(theta, step, weights))

    def draw_weighted(self, count: int, seed: int) -> DrawnWeighted:
        """Draw initial parameters; λ is an argument of the losses, in the place of ``kl_weight``.

        Args:
            count: how many tasks.
            seed: decides all that is random, in the starts and in the steps.
        """
        start_seed = derived_seed(seed, 0)
        start = torch.stack([self._start(derived_seed(start_seed, i + 1)) for i in range(count)])
        many = vmap(lambda *tensors: self._loss.graph(*tensors))

        def losses(theta: Tensor, step: int, kl_weights: Tensor) -> Tensor:
            generator = generator_of_step(seed, step)
            rows = torch.randint(len(self._x), (count, self._batch_size), generator=generator)
            noise = StackedNoise(self._loss.noise.draws, [generator] * count)()
            values: Tensor = many(theta, self._x[rows], self._y[rows], kl_weights, *noise)
            return values

        return DrawnWeighted(start, losses)

    def _start(self, seed: int) -> Tensor:
        with pyro_session(RandomStream(seed, _CPU)):
            self._model.reset()
        return torch.cat([value.detach().flatten() for value in trainable(self._model).values()])

    def _kl_weights(self, count: int, seed: int) -> list[float]:
        if not isinstance(self._kl_weight, LogUniform):
            return [float(self._kl_weight)] * count
        low, high = (float(self._kl_weight.low), float(self._kl_weight.high))
        shares = torch.rand(count, generator=generator_of(seed, 0), dtype=torch.float64)
        return (math.log(low) + shares * math.log(high / low)).exp().tolist()

    def config(self) -> dict[str, Any]:
        """Model, λ, size of the batches and fingerprint of the data."""
        weight = self._kl_weight
        ends = [weight.low, weight.high] if isinstance(weight, LogUniform) else [weight]
        return {
            "tasks": "bounds",
            "model": self._model.describe(),
            "kl_weight": [float(end) for end in ends],
            "batch_size": self._batch_size,
            "data": self._fingerprint,
        }
