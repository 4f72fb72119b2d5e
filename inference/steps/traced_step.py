"""Traced steps of one model: made once a shape of batch, compared with the eager ones, taken."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.compile.cuda_graph import CapturedStep
from bayesnas.inference.compile.not_traceable import NotTraceableError
from bayesnas.inference.compile.python_state.refusal import refuse_python_state
from bayesnas.inference.compile.trace import (
    StepFunction,
    StepGraph,
    relative_difference,
    trace_step,
)
from bayesnas.inference.config.amortization import NONE, Values
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.optim.adam import StepCounts, adam_scalars
from bayesnas.inference.optim.step_tensors import StepInputs
from bayesnas.inference.optim.tensor_trees import mapped
from bayesnas.inference.optim.trainable_parameters import ActiveLeaves, TrainableParameters
from bayesnas.inference.steps.eager_step import EagerStep
from bayesnas.inference.steps.step_arguments import StepArguments
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.processes.share import WHOLE, Share

_LOG = logging.getLogger("bayesnas")
Graph = StepGraph | CapturedStep
Shapes = tuple[torch.Size, ...]
TOLERANCE = 1e-4  # of traced against eager gradients, relative in norm


class TracedStep:
    """Takes the steps of a model as traced functions of tensors, where that can be done.

    Model, guide and bound are run through Pyro once for every shape of batch that comes often, and
    traced; ``"inductor"`` compiles the function for full batches, ``"cudagraph"`` replays each as
    one CUDA graph. A traced step is compared with the eager one, loss and every gradient, at a λ
    it was not traced at; where they differ, or a model can't be traced, no step is taken and a
    line in the log of ``bayesnas`` says so.

    Args:
        model: trained in place.
        trained: its parameters, those that the steps train.
        optimizer: of its leaves.
        adam: whether that is torch's Adam.
        settings: of the fit.
        examples: size N of the sample.
        eager: takes the same steps through Pyro.
        share: which rows of a batch the steps see; of part of one they only write gradients.

    Attributes:
        mode: how steps are taken, ``"eager"`` for none of these; may be set between steps.
        arguments: of the steps.
        log_lik_sites, kl_sites: what the entries of a step's result are.
    """

    def __init__(
        self,
        model: BayesianModel,
        trained: TrainableParameters,
        optimizer: torch.optim.Optimizer,
        adam: bool,
        settings: FitSettings,
        examples: int,
        eager: EagerStep,
        share: Share = WHOLE,
    ) -> None:
        """Keep what the steps need; see the class."""
        self._model, self._trained, self._examples = model, trained, examples
        self._optimizer, self._adam, self._eager = optimizer, adam, eager
        self._settings, self._share = settings, share
        self.arguments = StepArguments(model, trained, optimizer, adam)
        self.mode = "eager" if settings.compile == "auto" else settings.compile
        self._traceable = settings.compile != "eager"  # false for good once a step could not be
        self.log_lik_sites, self.kl_sites = list[str](), list[str]()
        self._graphs: dict[tuple[str, Shapes], Graph | None] = {}
        self._trusted: set[Shapes] = set()
        self._counts: StepCounts = {}

    @property
    def updates(self) -> bool:
        """Whether the step has Adam's update: uncompiled, torch's fused one is faster."""
        return self._adam and self.mode in ("inductor", "cudagraph") and self._share == WHOLE

    def __call__(
        self, x: AnyInputs, y: Tensor, kl_weight: float, use: ActiveLeaves
    ) -> Tensor | None:
        """Take a step on a batch.

        Args:
            x: inputs ``[b, ...]``.
            y: targets ``[b, ...]``.
            kl_weight: λ of the bound.
            use: of the step.

        Returns:
            the terms of the bound, ``[sites]``; None where the step has to be taken eagerly.
        """
        often = self._settings.comes_often(len(y), self._examples, self._share)
        graph = self._graph(x, y, use) if often else None
        if graph is None:
            return None
        adam = None
        if self.updates:
            lr = self._optimizer.param_groups[0]["lr"]
            adam = adam_scalars(self.arguments.tensors().step, use, lr, self._counts)
        return graph(self.arguments(x, y, kl_weight, use, adam))

    def recount(self) -> None:
        """Note that the counts of Adam were changed from outside."""
        self._counts.clear()

    def decisions(self) -> dict[str, Any]:
        """Return which steps are traced ones, as JSON values for a checkpoint."""
        traced = dict.fromkeys(key for (_, key), graph in self._graphs.items() if graph)
        recorded = [[list(shape) for shape in key] for key in traced]
        return {"traceable": self._traceable, "recorded": recorded}

    def decide_as(self, decisions: Mapping[str, Any]) -> None:
        """Take the same steps as the fit of :meth:`decisions`; none is compared anew."""
        # A comparison at another step could come out otherwise, and change the numbers.
        self._traceable = bool(decisions["traceable"])
        self.arguments.forget()
        self._trusted = {tuple(torch.Size(shape) for shape in key) for key in decisions["recorded"]}

    def graph_of(self, x: AnyInputs, y: Tensor, use: ActiveLeaves, *, adam: bool) -> StepGraph:
        """Trace the step of one shape of batch; nothing is changed by it.

        Args:
            x: inputs of a batch.
            y: its targets.
            use: of any step.
            adam: whether the update is part of it; else only the gradient is written.

        Raises:
            NotTraceableError: where it would freeze what Python decides at every step.
        """
        function = self._function(self._model, use, adam)

        def step(inputs: StepInputs, function: StepFunction = function) -> Tensor:
            with self._eager.drawing(len(y)):
                return function(inputs)

        inputs = self.arguments(x, y, 1.0, use)
        if self._eager.kind(x, y) not in self._trusted:
            refuse_python_state(
                self._model,
                lambda model: step(mapped(torch.clone, inputs), self._function(model, use, adam)),  # type: ignore[arg-type]
                self._eager.unchanged,
            )
        with self._eager.unchanged():
            recorded = trace_step(step, inputs)
        self.log_lik_sites, self.kl_sites = function.log_lik_sites, function.kl_sites
        return recorded

    def _function(self, model: BayesianModel, use: ActiveLeaves, adam: bool) -> StepFunction:
        clip = self._settings.clip if self._share == WHOLE else None  # the sum is clipped
        return StepFunction(model, self._trained, use, self._examples, clip, adam)

    def compiles(self, batch: int) -> bool:
        """Whether the step of batches of a size is compiled: only the full ones come often."""
        return self.mode == "inductor" and self._settings.is_full(
            batch, self._examples, self._share
        )

    def difference(
        self, x: AnyInputs, y: Tensor, kl_weight: float, metaparameters: Values = NONE
    ) -> float:
        """Largest relative difference between the traced step and the eager one at a λ.

        It is max ‖traced − eager‖ / ‖eager‖ over the terms of the bound and the gradients, under
        one random state, for a batch ``x, y``; nothing is changed by asking.

        Raises:
            ValueError: if the step of such a batch can't be traced.
        """
        graph = self._graph(x, y, self._trained.use(kl_weight, metaparameters))
        if graph is None:
            raise ValueError("compile must be 'trace' or 'inductor' to compare with eager steps")
        recorded = graph.step if isinstance(graph, CapturedStep) else graph
        return self._difference(recorded, x, y, StepKLWeight(kl_weight, kl_weight, metaparameters))

    def _graph(self, x: AnyInputs, y: Tensor, use: ActiveLeaves) -> Graph | None:
        key = self.mode, self._eager.kind(x, y)
        if key not in self._graphs and self._traceable:
            self._graphs[key] = None
            try:
                self._graphs[key] = self._traced(x, y, use)
            except NotTraceableError as reason:
                self._stay_eager(str(reason))
            except Exception as error:  # whatever a user's model does that tracing can't follow
                self._stay_eager(f"it can't be traced ({type(error).__name__}: {error})")
        return self._graphs.get(key) if self._traceable else None

    def _traced(self, x: AnyInputs, y: Tensor, use: ActiveLeaves) -> Graph | None:
        graph = self.graph_of(x, y, use, adam=self.updates)
        rounded = self._settings.precision == "bfloat16"
        if rounded:  # compared while it still gives the eager numbers
            if not self._agrees(graph, x, y):
                return None
            graph.round_products()
        if self.compiles(len(y)):
            with self._eager.unchanged():
                graph.compile(self.arguments(x, y, 1.0, use))
        if not rounded and not self._agrees(graph, x, y):
            return None
        return CapturedStep(graph) if self.mode == "cudagraph" else graph

    def _agrees(self, graph: StepGraph, x: AnyInputs, y: Tensor) -> bool:
        """Whether a traced step gives the eager numbers; else the steps stay eager."""
        if self._eager.kind(x, y) in self._trusted:
            return True
        difference = self._difference(graph, x, y, self._settings.another_kl_weight)
        if difference > TOLERANCE:
            self._stay_eager(f"the traced step differs from the eager one by {difference:.1e}")
        return difference <= TOLERANCE

    def _difference(self, graph: StepGraph, x: AnyInputs, y: Tensor, to: StepKLWeight) -> float:
        at = to.target, to.metaparameters
        use = self._trained.use(*at)
        eager = self._eager.numbers(x, y, *at)
        with self._eager.unchanged():
            # A traced step takes metaparameters and the other level's parameters as they are.
            self._eager.write(*at)
            inputs = mapped(torch.clone, self.arguments(x, y, to.bound, use))
            traced = [graph(inputs), *inputs.gradients]
        return max(relative_difference(a, b) for a, b in zip(traced, eager, strict=True))

    def _stay_eager(self, reason: str) -> None:
        if self._settings.compile == "auto" and self.mode == "inductor":
            _LOG.info("steps are not compiled: %s", reason)  # those traced before go on
            return
        self._traceable = False
        _LOG.warning("%s trains step by step in eager mode: %s", self._model.describe(), reason)
