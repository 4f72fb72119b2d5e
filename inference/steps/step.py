"""One training step: eager, traced once to plain tensor operations, or compiled."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bayesnas.inference.compile.cuda_graph import CapturedStep
from bayesnas.inference.compile.trace import RecordedStep, StepFunction, record, relative_difference
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.elbo.bound import BoundTerms
from bayesnas.inference.optim.adam import UNMOVED, StepCounts, adam_scalars, adam_state
from bayesnas.inference.optim.optimizers import LearningRates, OptimizerFactory, build_optimizer
from bayesnas.inference.optim.step_tensors import StepTensors
from bayesnas.inference.optim.trainable_parameters import (
    ActiveLeaves,
    TrainableParameters,
    constant_parameters,
    running_buffers,
    trainable,
)
from bayesnas.inference.runtime.device import sent
from bayesnas.inference.runtime.random_state import RandomStream
from bayesnas.inference.steps.eager_step import EagerStep
from bayesnas.models.base import BayesianModel

_LOG = logging.getLogger("bayesnas")
Graph = RecordedStep | CapturedStep
TOLERANCE = 1e-4
"""Of recorded against eager gradients, relative in norm."""
EPOCHS_WORTH_RECORDING = 400
"""Of smaller last batches: recording takes as long as so many of its steps save."""


class Step:
    """Takes the training steps of one model.

    In the modes ``"trace"``, ``"inductor"`` and ``"cudagraph"`` model, guide and bound are run
    through Pyro once for every shape of batch that comes often, and recorded as a function of
    tensors, which then takes the steps; ``"inductor"`` compiles the one for full batches,
    ``"cudagraph"`` replays each as one CUDA graph. The recorded step is compared with the eager
    one, loss and every gradient, at a λ it was not recorded at; where they differ, or a model
    can't be recorded, the steps stay eager and a line in the log of ``bayesnas`` says so.

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
        optimizer: over flat vectors for Adam and for amortised fits, else over the parameters.
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
        self.all = TrainableParameters(named, settings.amortization, settings.upper)
        self.trained = self.all.level(upper=False)
        self._upper = self.all.level(upper=True)
        lower = set(self.trained.names)
        self.parameters = [value for name, value in named.items() if name in lower]
        self.eager = EagerStep(
            model, self.all, self.trained, examples, settings.clip, stream, where
        )
        self.adam = factory is torch.optim.Adam
        # Uncompiled, torch's fused Adam is faster than the operations of a record.
        self._updates = self.adam and settings.compile in ("inductor", "cudagraph")
        flat = self.adam or settings.amortization is not None
        self.optimizer = build_optimizer(
            factory, self.trained.leaves if flat else self.parameters, settings.lr
        )
        self.rates = LearningRates(self.optimizer)
        self._graphs: dict[tuple[torch.Size, ...], Graph | None] = {}
        self._traceable = settings.compile != "eager"
        self._trusted: set[tuple[torch.Size, ...]] = set()
        # A fit at one λ uses the same leaves at every step.
        self._fixed = self.trained.use(0.0) if settings.amortization is None else None
        self._held: StepTensors | None = None
        self._counts: StepCounts = {}
        self.log_lik_sites, self.kl_sites = list[str](), list[str]()

    def __call__(self, x: Tensor, y: Tensor, kl_weight: StepKLWeight, factor: float) -> Tensor:
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
        use = self.use(kl_weight.target)
        self._upper.write(kl_weight.target)
        graph = self._graph(x, y, use) if self._comes_often(len(x)) else None
        if graph is None:
            terms = self.eager(x, y, kl_weight, use)
            self.log_lik_sites, self.kl_sites = list(terms.log_lik), list(terms.kl)
            row = terms.stacked()
        else:
            lr = self.optimizer.param_groups[0]["lr"]
            counts = self.tensors().step
            adam = adam_scalars(counts, use, lr, self._counts) if self._updates else None
            row = graph(*self._tensors(x, y, kl_weight.bound, use, adam))
        if graph is None or not self._updates:
            self._counts.clear()  # an optimiser of torch counts by itself
            self.update(use)
        return row

    def use(self, kl_weight: float) -> ActiveLeaves:
        """What a step at a KL weight reads and updates."""
        return self._fixed or self.trained.use(kl_weight)

    def refine(self, progress: float) -> bool:
        """Let maps over λ become finer; return whether any did."""
        if finer := self.trained.refine(progress, self.optimizer):
            self._counts.clear()
        return finer

    def update(self, use: ActiveLeaves) -> None:
        """Let the optimiser take a step by the gradients as they are."""
        self.trained.offer(use)
        self.optimizer.step()

    def named(self, row: Tensor) -> BoundTerms:
        """Return the result of a step by site."""
        split = len(self.log_lik_sites)
        return BoundTerms(
            dict(zip(self.log_lik_sites, row[:split], strict=True)),
            dict(zip(self.kl_sites, row[split:], strict=True)),
        )

    def decisions(self) -> dict[str, Any]:
        """Return which steps are recorded ones, as JSON values for a checkpoint."""
        recorded = [[list(shape) for shape in key] for key, graph in self._graphs.items() if graph]
        return {"traceable": self._traceable, "recorded": recorded}

    def decide_as(self, decisions: dict[str, Any]) -> None:
        """Take the same steps as the fit that :meth:`decisions` is of; none is compared anew.

        A comparison at another step could come out otherwise, and change the numbers.
        """
        self._traceable = bool(decisions["traceable"])
        self._held = None
        self._trusted = {tuple(torch.Size(shape) for shape in key) for key in decisions["recorded"]}

    # Traced -------------------------------------------------------------------------------

    def _comes_often(self, batch: int) -> bool:
        """Whether recording is worth it: smaller last batches come once an epoch."""
        epochs = self.settings.steps / math.ceil(self._examples / self.settings.batch_size)
        must = self.settings.precision != "float32"
        return self._is_full(batch) or must or epochs >= EPOCHS_WORTH_RECORDING

    def _is_full(self, batch: int) -> bool:
        return batch == min(self.settings.batch_size, self._examples)

    def _graph(self, x: Tensor, y: Tensor, use: ActiveLeaves) -> Graph | None:
        key = (x.shape, y.shape)
        if key not in self._graphs and self._traceable:
            try:
                self._graphs[key] = self._traced(x, y, use)
            except Exception as error:  # whatever a user's model does that tracing can't follow
                self._stay_eager(f"it can't be traced ({type(error).__name__}: {error})")
        return self._graphs.get(key) if self._traceable else None

    def _traced(self, x: Tensor, y: Tensor, use: ActiveLeaves) -> Graph | None:
        recorded = self.recorded(x, y, use, adam=self._updates)
        rounded = self.settings.precision == "bfloat16"
        if rounded:  # compared while it still gives the eager numbers
            if not self._agrees(recorded, x, y):
                return None
            recorded.round_products()
        if self.compiles(len(x)):
            with self.eager.unchanged():
                recorded.compile(self._tensors(x, y, 1.0, use))
        if not rounded and not self._agrees(recorded, x, y):
            return None
        return CapturedStep(recorded) if self.settings.compile == "cudagraph" else recorded

    def recorded(self, x: Tensor, y: Tensor, use: ActiveLeaves, *, adam: bool) -> RecordedStep:
        """Record the step of one shape of batch; nothing is changed by it.

        Args:
            x: inputs of a batch.
            y: its targets.
            use: of any step.
            adam: whether the update is part of it; else only the gradient is written.
        """
        function = StepFunction(
            self._model, self.trained, use, self._examples, self.settings.clip, adam
        )
        with self.eager.unchanged():
            recorded = record(function, self._tensors(x, y, 1.0, use))
        self.log_lik_sites, self.kl_sites = function.log_lik_sites, function.kl_sites
        return recorded

    def compiles(self, batch: int) -> bool:
        """Whether the step of batches of a size is compiled: only the full ones come often."""
        return self._is_full(batch) and self.settings.compile == "inductor"

    def _agrees(self, recorded: RecordedStep, x: Tensor, y: Tensor) -> bool:
        """Whether a recorded step gives the eager numbers; else the steps stay eager."""
        if (x.shape, y.shape) in self._trusted:
            return True
        difference = self._difference(recorded, x, y, self.settings.another_kl_weight)
        if difference > TOLERANCE:
            self._stay_eager(f"the traced step differs from the eager one by {difference:.1e}")
        return difference <= TOLERANCE

    def difference(self, x: Tensor, y: Tensor, kl_weight: float) -> float:
        """Largest relative difference between the recorded step and the eager one at a λ.

        It is max ‖traced − eager‖ / ‖eager‖ over the terms of the bound and the gradients, under
        one random state, for a batch ``x, y``; nothing is changed by asking.

        Raises:
            ValueError: if the step of such a batch can't be recorded.
        """
        graph = self._graph(x, y, self.trained.use(kl_weight))
        if graph is None:
            raise ValueError("compile must be 'trace' or 'inductor' to compare with eager steps")
        recorded = graph.step if isinstance(graph, CapturedStep) else graph
        return self._difference(recorded, x, y, kl_weight)

    def _difference(self, graph: RecordedStep, x: Tensor, y: Tensor, kl_weight: float) -> float:
        use = self.trained.use(kl_weight)
        eager = self.eager.numbers(x, y, kl_weight)
        tensors = [tensor.clone() for tensor in self._tensors(x, y, kl_weight, use)]
        with self.eager.unchanged():
            terms = graph(*tensors)
        count = len(use.leaves)
        traced = [terms, *tensors[count : 2 * count]]
        return max(relative_difference(a, b) for a, b in zip(traced, eager, strict=True))

    def _tensors(
        self,
        x: Tensor,
        y: Tensor,
        kl_weight: float,
        use: ActiveLeaves,
        adam: list[float] | None = None,
    ) -> list[Tensor]:
        """Arguments of a recorded step; without ``adam`` one that leaves every leaf as it is."""
        adam = UNMOVED * len(use.leaves) if adam is None else adam
        scalars = sent(torch.tensor([kl_weight, *adam, *use.inputs]), x.device)
        return [*self.tensors().arguments(use), x, y, scalars]

    def tensors(self) -> StepTensors:
        """All that recorded steps read and write in place, whatever the KL weight."""
        if self._held is None:
            leaves = self.trained.leaves
            states = [adam_state(self.optimizer, leaf) for leaf in leaves] if self.adam else []
            constant = constant_parameters(self._model, self.trained).values()
            self._held = StepTensors(
                [leaf.data for leaf in leaves],
                self.trained.gradients,
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [state["step"] for state in states],
                [*running_buffers(self._model).values(), *(value.detach() for value in constant)],
            )
        return self._held

    def move(self, held: StepTensors) -> None:
        """Let all of :meth:`tensors` lie in others, which hold the same values."""
        self.trained.move(held.leaves, held.gradients)
        if self.adam:
            names = ("exp_avg", "exp_avg_sq", "step")
            states = zip(held.exp_avg, held.exp_avg_sq, held.step, strict=True)
            for leaf, state in zip(self.trained.leaves, states, strict=True):
                self.optimizer.state[leaf] = dict(zip(names, state, strict=True))
        for buffer, value in zip(running_buffers(self._model).values(), held.buffers, strict=True):
            buffer.data = value
        self._fixed = self._fixed and self.trained.use(0.0)
        self._held = None

    def _stay_eager(self, reason: str) -> None:
        self._traceable = False
        _LOG.warning("%s trains step by step in eager mode: %s", self._model.describe(), reason)
