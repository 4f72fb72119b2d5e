"""The step of the upper level of a bilevel fit."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.bilevel.linear_solvers import Tensors
from bayesnas.inference.bilevel.losses import LevelLoss
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.compile.not_traceable import NotTraceableError
from bayesnas.inference.compile.python_state.refusal import refuse_python_state
from bayesnas.inference.compile.trace import StepGraph, relative_difference, trace_step
from bayesnas.inference.config.schedules import learning_rate_factor
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.optim.optimizers import LearningRates, build_optimizer
from bayesnas.inference.optim.step_tensors import scalar_type
from bayesnas.inference.optim.tensor_trees import flatten
from bayesnas.inference.optim.trainable_parameters import TrainableParameters, running_buffers
from bayesnas.inference.steps.streamed_batches import batches_of
from bayesnas.inference.steps.traced_step import TOLERANCE
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.device import sent
from bayesnas.runtime.random_state import RandomStream

_LOG = logging.getLogger("bayesnas")

Shapes = tuple[torch.Size, ...]


class UpperInputs(NamedTuple):
    """Arguments of a hypergradient.

    Attributes:
        theta: flat parameters of every group of the lower level.
        h: those of the upper level.
        buffers: that a forward pass may change.
        x: inputs of the training batch.
        y: its targets.
        held_out_x: inputs of the validation batch.
        held_out_y: its targets.
        scalars: KL weights of the lower and of the upper level, learning rate of the lower one.
    """

    theta: list[Tensor]
    h: list[Tensor]
    buffers: list[Tensor]
    x: AnyInputs
    y: Tensor
    held_out_x: AnyInputs
    held_out_y: Tensor
    scalars: Tensor


Gradient = Callable[[UpperInputs], Tensor]


class UpperStep:
    """Moves h by a hypergradient on a batch of each sample; θ and all buffers stay.

    Where the fit traces its steps this one is traced too, once for every shape of batches, and
    compiled for full ones where the fit compiles its own. The first is compared with the eager
    one before it is trusted.

    Args:
        model: trained in place.
        bilevel: options of the upper level.
        settings: of the fit.
        trained: all that is trained, of both levels.
        examples: size of the training sample.
        validation: sample of the upper level.
        seed: of the order of its batches.
        stream: random state in use while steps are taken.

    Attributes:
        trained: the parameters of the upper level.
        optimizer: theirs.
    """

    def __init__(
        self,
        model: BayesianModel,
        bilevel: Bilevel,
        settings: FitSettings,
        trained: TrainableParameters,
        examples: int,
        validation: AnySplit,
        seed: int,
        stream: RandomStream,
    ) -> None:
        """Set up batches and optimiser; see the class."""
        self._model, self._bilevel, self._all = model, bilevel, trained
        self._steps, self._stream = settings.steps, stream
        self._first = math.ceil(bilevel.start * settings.steps)
        self._recording = settings.compile != "eager"
        self._compiling = settings.compile == "inductor"
        batch_size = bilevel.batch_size or settings.batch_size
        self._batches = batches_of(validation, batch_size, seed)
        self.trained = trained.level(upper=True)
        self.optimizer = build_optimizer(bilevel.optimizer, self.trained.leaves, bilevel.lr)
        self._rates = LearningRates(self.optimizer)
        self._function = _Function(model, trained, bilevel, (examples, len(validation)))
        self._recorded: dict[Shapes, StepGraph] = {}
        self._trusted: set[Shapes] = set()
        self._full = min(settings.batch_size, examples), min(batch_size, len(validation))

    def __call__(
        self, step: int, x: AnyInputs, y: Tensor, kl_weight: StepKLWeight, lower_lr: float
    ) -> None:
        """Take a step.

        Args:
            step: index of the step in the fit.
            x: inputs of the training batch.
            y: its targets.
            kl_weight: of the bound, and of the parameters.
            lower_lr: learning rate of the lower level.
        """
        progress = step / self._steps
        if progress < self._bilevel.start or (step - self._first) % self._bilevel.every:
            return
        self._rates.scale(learning_rate_factor(self._bilevel.schedule, progress))
        self.trained.refine(progress, self.optimizer)
        self._all.write(kl_weight.target, kl_weight.metaparameters)
        above = self._bilevel.kl_weight
        weights = kl_weight.bound, kl_weight.bound if above is None else above
        dtype = scalar_type(self.trained.leaves)
        scalars = sent(torch.tensor([*weights, lower_lr], dtype=dtype), y.device)
        inputs = self._function.inputs(x, y, *self._batches.at(step), scalars)
        gradient = self._gradient(inputs)(inputs)
        flat = [group.flat.gradient for group in self.trained.groups]
        for written, part in zip(flat, gradient.split([len(g) for g in flat]), strict=True):
            written.copy_(part)
        use = self.trained.use(kl_weight.target, kl_weight.metaparameters)
        self.trained.pull_back(use)
        self.trained.offer(use)
        self.optimizer.step()

    def decisions(self) -> dict[str, Any]:
        """Return which steps are traced ones, as JSON values for a checkpoint."""
        recorded = [[list(shape) for shape in shapes] for shapes in self._recorded]
        return {"recording": self._recording, "recorded": recorded}

    def decide_as(self, decisions: Mapping[str, Any]) -> None:
        """Take the same steps as the fit that :meth:`decisions` is of; none is compared anew."""
        self._recording = bool(decisions["recording"])
        self._trusted = {
            tuple(torch.Size(shape) for shape in shapes) for shapes in decisions["recorded"]
        }

    def _gradient(self, inputs: UpperInputs) -> Gradient:
        """The function of these shapes: traced where that is possible and asked for."""
        shapes = tuple(tensor.shape for tensor in flatten(inputs))
        if self._recording and shapes not in self._recorded:
            try:
                self._recorded[shapes] = self._record(inputs)
            except NotTraceableError as reason:
                self._stay_eager(str(reason))
            except Exception as error:  # whatever a user's model does that tracing can't follow
                self._stay_eager(f"it can't be traced ({type(error).__name__}: {error})")
            else:
                if shapes not in self._trusted:
                    self._compare(self._recorded[shapes], inputs)
        return self._recorded[shapes] if self._recording else self._function

    def _record(self, inputs: UpperInputs) -> StepGraph:
        """The function, traced, and for full batches compiled where the fit compiles."""
        full = (len(inputs.x), len(inputs.held_out_x)) == self._full
        if tuple(tensor.shape for tensor in flatten(inputs)) not in self._trusted:
            self._refuse_python_state(inputs.held_out_x, inputs.held_out_y)
        with self._stream.rewound(self._stream.now()):
            recorded = trace_step(self._function, inputs)
            if self._compiling and full:
                recorded.compile(inputs)
        return recorded

    def _refuse_python_state(self, x: AnyInputs, y: Tensor) -> None:
        """Raise NotTraceableError where a pass on validation data depends on Python's state."""

        @contextmanager
        def unchanged() -> Iterator[None]:
            with self._stream.rewound(self._stream.now()):
                yield

        refuse_python_state(
            self._model,
            lambda model: bound_terms(model, x, y, data_scale=1.0).stacked(),  # type: ignore[arg-type]
            unchanged,
        )

    def _compare(self, recorded: StepGraph, inputs: UpperInputs) -> None:
        """Stay eager where a traced function does not give the eager numbers."""
        before = self._stream.now()
        with self._stream.rewound(before):
            traced = recorded(inputs)
        with self._stream.rewound(before):
            difference = relative_difference(traced, self._function(inputs))
        if difference > TOLERANCE:
            self._stay_eager(f"the traced gradient differs from the eager one by {difference:.1e}")

    def _stay_eager(self, reason: str) -> None:
        self._recording = False
        model = self._model.describe()
        _LOG.warning("the upper level of %s trains in eager mode: %s", model, reason)


class _Function:
    """The hypergradient as a pure function of tensors.

    The result is the gradient by the flat parameters of the groups of the upper level, one after
    another.
    """

    def __init__(
        self,
        model: BayesianModel,
        trained: TrainableParameters,
        bilevel: Bilevel,
        examples: tuple[int, int],
    ) -> None:
        """Name what goes in; see the class."""
        self._model, self._examples = model, examples
        self._lower_loss, self._method = LevelLoss(model), bilevel.method
        self._upper_loss = LevelLoss(model, bilevel.likelihood_weight)
        lower, upper = trained.level(upper=False).groups, trained.level(upper=True).groups
        self._lower, self._upper = lower, upper
        self._buffers = list(running_buffers(model))

    def inputs(
        self, x: AnyInputs, y: Tensor, held_out_x: AnyInputs, held_out_y: Tensor, scalars: Tensor
    ) -> UpperInputs:
        """Arguments with flat parameters and buffers as they are."""
        theta, h = (
            [group.flat.values.detach() for group in groups]
            for groups in (self._lower, self._upper)
        )
        buffers = [self._model.get_buffer(name) for name in self._buffers]
        return UpperInputs(theta, h, buffers, x, y, held_out_x, held_out_y, scalars)

    def __call__(self, inputs: UpperInputs) -> Tensor:
        """Compute the hypergradient."""
        below, above, lr = inputs.scalars.unbind()
        x, y, held_out_x, held_out_y = inputs.x, inputs.y, inputs.held_out_x, inputs.held_out_y

        def level(loss: LevelLoss, theta: Tensors, h: Tensors, *batch: Any) -> Tensor:
            state = dict(zip(self._buffers, inputs.buffers, strict=True))
            groups = [*self._lower, *self._upper]
            for group, values in zip(groups, [*theta, *h], strict=True):
                state |= zip(group.names, group.flat.split(values), strict=True)
            return loss(state, *batch)

        n, m = self._examples
        with torch.enable_grad():
            gradients = self._method(
                lambda *at: level(self._upper_loss, *at, held_out_x, held_out_y, above, m),
                lambda *at: level(self._lower_loss, *at, x, y, below, n),
                inputs.theta,
                inputs.h,
                lr,
            )
        return torch.cat(gradients)
