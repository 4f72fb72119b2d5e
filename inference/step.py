"""One training step: eager, traced once to plain tensor operations, or compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.inference.cudagraph import CapturedStep
from bayesnas.inference.handlers import kl_weighted
from bayesnas.inference.nonfinite import check_sites
from bayesnas.inference.objective import BoundTerms, bound_terms
from bayesnas.inference.optimizers import LearningRates, OptimizerFactory, build_optimizer
from bayesnas.inference.session import RandomStream, sent
from bayesnas.inference.settings import FitSettings, StepKLWeight
from bayesnas.inference.traced import RecordedStep, StepFunction, record, relative_difference
from bayesnas.inference.trained import (
    StepCounts,
    TrainedParameters,
    Use,
    adam_scalars,
    adam_state,
    trainable,
)
from bayesnas.models.base import BayesianModel
from bayesnas.models.pyro_pair import PyroPair

_LOG = logging.getLogger("bayesnas")
Graph = RecordedStep | CapturedStep
TOLERANCE = 1e-4
"""Of recorded against eager gradients, relative in norm."""


class Step:
    """Takes the training steps of one model.

    In the modes ``"trace"``, ``"inductor"`` and ``"cudagraph"`` model, guide and bound are run
    through Pyro once for every shape of batch and recorded as a function of tensors, which then
    takes the steps; ``"inductor"`` compiles the one for full batches, ``"cudagraph"`` replays
    each as one CUDA graph. The recorded step is compared with the eager one, loss and every
    gradient, at a λ it was not recorded at; where they differ, or a model can't be recorded, the
    steps stay eager and a line in the log of ``bayesnas`` says so.

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
        trained: that of these steps: all of it, or the lower level of a two-level fit.
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
        self._model, self._settings, self._examples = model, settings, examples
        self._stream, self._where = stream, where
        self.all = TrainedParameters(named, settings.amortization, settings.upper)
        self.trained = self.all.level(upper=False)
        self._upper = self.all.level(upper=True)
        lower = set(self.trained.names)
        self.parameters = [value for name, value in named.items() if name in lower]
        self._adam = factory is torch.optim.Adam
        flat = self._adam or settings.amortization is not None
        self.optimizer = build_optimizer(
            factory, self.trained.leaves if flat else self.parameters, settings.lr
        )
        self._rates = LearningRates(self.optimizer)
        self._graphs: dict[tuple[torch.Size, ...], Graph | None] = {}
        self._traceable = settings.compile != "eager"
        self._trusted: set[tuple[torch.Size, ...]] = set()
        # A fit at one λ reads and writes the same tensors at every step.
        self._fixed = self.trained.use(0.0) if settings.amortization is None else None
        self._held: list[Tensor] = []
        self._counts: StepCounts = {}
        self.log_lik_sites: list[str] = []
        self.kl_sites: list[str] = []

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
        self._rates.scale(factor)
        use = self._fixed or self.trained.use(kl_weight.target)
        self._upper.write(kl_weight.target)
        graph = self._graph(x, y, use)
        if graph is None:
            row = self._eager(x, y, kl_weight, use)
        else:
            lr = self.optimizer.param_groups[0]["lr"]
            adam = adam_scalars(self.optimizer, use, lr, self._counts) if self._adam else None
            row = graph(*self._tensors(x, y, kl_weight.bound, use, adam))
        if graph is None:
            self._counts.clear()  # an optimiser of torch counts by itself
        if graph is None or not self._adam:
            self.trained.offer(use)
            self.optimizer.step()
        return row

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
        self._held = []
        self._trusted = {tuple(torch.Size(shape) for shape in key) for key in decisions["recorded"]}

    # Eager --------------------------------------------------------------------------------

    def _eager(self, x: Tensor, y: Tensor, kl_weight: StepKLWeight, use: Use) -> Tensor:
        """Write the gradients; return the terms."""
        self.all.write(kl_weight.target)
        for group in self.all.groups:
            group.flat.gradient.zero_()
        terms, bound = self._bound(x, y, kl_weight.bound)
        # Per example, so that learning rate and clipping mean the same for any sample size.
        (-bound / self._examples).backward()
        self.trained.pull_back(use)
        if self._settings.clip is not None:
            for gradient in use.gradients:
                gradient.clamp_(-self._settings.clip, self._settings.clip)
        self.log_lik_sites, self.kl_sites = list(terms.log_lik), list(terms.kl)
        return terms.stacked()

    def _bound(self, x: Tensor, y: Tensor, kl_weight: float) -> tuple[BoundTerms, Tensor]:
        scale = self._examples / len(x)
        elbo: Any = self._model.elbo if isinstance(self._model, PyroPair) else None
        if elbo is None:
            terms = bound_terms(self._model, x, y, data_scale=scale)
            return terms, terms.bound(kl_weight)
        model = kl_weighted(self._model.model, kl_weight, scale)
        guide = kl_weighted(self._model.guide, kl_weight, scale)
        before = self._stream.now()
        bound: Tensor = -elbo.differentiable_loss(model, guide, x, y)
        if not torch.isfinite(bound):
            with torch.no_grad(), self._stream.rewound(before):
                check_sites(model, guide, x, y, self._where())
        return BoundTerms({"elbo": bound}, {}), bound

    # Traced -------------------------------------------------------------------------------

    def _graph(self, x: Tensor, y: Tensor, use: Use) -> Graph | None:
        key = (x.shape, y.shape)
        if key not in self._graphs and self._traceable:
            try:
                self._graphs[key] = self._traced(x, y, use)
            except Exception as error:  # whatever a user's model does that tracing can't follow
                self._stay_eager(f"it can't be traced ({type(error).__name__}: {error})")
        return self._graphs.get(key) if self._traceable else None

    def _traced(self, x: Tensor, y: Tensor, use: Use) -> Graph | None:
        function = StepFunction(
            self._model, self.trained, use, self._examples, self._settings.clip, self._adam
        )
        self._function = function
        tensors = self._tensors(x, y, 1.0, use)
        full = len(x) == min(self._settings.batch_size, self._examples)
        with self._unchanged():
            recorded = record(function, tensors)
        self.log_lik_sites, self.kl_sites = function.log_lik_sites, function.kl_sites
        rounded = self._settings.precision == "bfloat16"
        if rounded:  # compared while it still gives the eager numbers
            if not self._agrees(recorded, x, y):
                return None
            recorded.round_products()
        if self._settings.compile == "inductor" and full:
            with self._unchanged():
                recorded.compile(tensors)
        if not rounded and not self._agrees(recorded, x, y):
            return None
        return CapturedStep(recorded) if self._settings.compile == "cudagraph" else recorded

    def _agrees(self, recorded: RecordedStep, x: Tensor, y: Tensor) -> bool:
        """Whether a recorded step gives the eager numbers; else the steps stay eager."""
        if (x.shape, y.shape) in self._trusted:
            return True
        difference = self._difference(recorded, x, y, self._settings.another_kl_weight)
        if difference > TOLERANCE:
            self._stay_eager(f"the traced step differs from the eager one by {difference:.1e}")
        return difference <= TOLERANCE

    def difference(self, x: Tensor, y: Tensor, kl_weight: float) -> float:
        """Largest relative difference between the recorded step and the eager one at a λ.

        Args:
            x: inputs of a batch.
            y: its targets.
            kl_weight: λ, any; of an amortised fit, in its range.

        Returns:
            max over the terms of the bound and over the gradients of ‖traced − eager‖ /
            ‖eager‖, under one random state; nothing is changed by asking.

        Raises:
            ValueError: if the step of such a batch is not recorded.
        """
        graph = self._graph(x, y, self.trained.use(kl_weight))
        if graph is None:
            raise ValueError("compile must be 'trace' or 'inductor' to compare with eager steps")
        recorded = graph.step if isinstance(graph, CapturedStep) else graph
        return self._difference(recorded, x, y, kl_weight)

    def _difference(self, graph: RecordedStep, x: Tensor, y: Tensor, kl_weight: float) -> float:
        use = self.trained.use(kl_weight)
        with self._unchanged():
            terms = self._eager(x, y, StepKLWeight(kl_weight, kl_weight), use)
            eager = [terms, *(gradient.clone() for gradient in use.gradients)]
        tensors = [tensor.clone() for tensor in self._tensors(x, y, kl_weight, use)]
        with self._unchanged():
            terms = graph(*tensors)
        count = len(use.leaves)
        traced = [terms, *tensors[count : 2 * count]]
        return max(relative_difference(a, b) for a, b in zip(traced, eager, strict=True))

    def _tensors(
        self, x: Tensor, y: Tensor, kl_weight: float, use: Use, adam: list[float] | None = None
    ) -> list[Tensor]:
        """Arguments of a recorded step; without ``adam`` one that leaves every leaf as it is."""
        adam = [0.0, 1.0, 0.0, 0.0] * len(use.leaves) if adam is None else adam
        scalars = sent(torch.tensor([kl_weight, *adam, *use.inputs]), x.device)
        return [*self._state(use), x, y, scalars]

    def _state(self, use: Use) -> list[Tensor]:
        """What a recorded step reads and writes in place."""
        if use is self._fixed and self._held:
            return self._held
        moments = [self._moments(leaf) for leaf in use.leaves]
        found = [leaf.data for leaf in use.leaves] + use.gradients
        found += [first for first, _ in moments] + [second for _, second in moments]
        found += self._function.buffers()
        if use is self._fixed:
            self._held = found
        return found

    def _moments(self, leaf: nn.Parameter) -> tuple[Tensor, Tensor]:
        """Adam's moments of a leaf, in the optimiser's own state."""
        if not self._adam:
            return leaf.data, leaf.data  # not read
        state = adam_state(self.optimizer, leaf)
        return state["exp_avg"], state["exp_avg_sq"]

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Run something and put random state, gradients and buffers back as they were."""
        before = self._stream.now()
        held = [gradient for group in self.all.groups for gradient in group.gradients]
        held += self._function.buffers()
        copies = [tensor.clone() for tensor in held]
        with self._stream.rewound(before):
            yield
        for tensor, copy in zip(held, copies, strict=True):
            tensor.copy_(copy)

    def _stay_eager(self, reason: str) -> None:
        self._traceable = False
        _LOG.warning("%s trains step by step in eager mode: %s", self._model.describe(), reason)
