"""The step of the upper level of a two-level fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from bayesnas.data import Split
from bayesnas.inference.batches import Batches
from bayesnas.inference.bilevel import Bilevel, LevelLoss
from bayesnas.inference.hypergradients import Tensors
from bayesnas.inference.optimizers import LearningRates, build_optimizer
from bayesnas.inference.session import RandomStream
from bayesnas.inference.settings import FitSettings, StepKLWeight, learning_rate_factor
from bayesnas.inference.trained import TrainedParameters, running_buffers
from bayesnas.models.base import BayesianModel

_LOG = logging.getLogger("bayesnas")

Gradients = Callable[..., list[Tensor]]


class UpperStep:
    """Moves h by a hypergradient on a batch of each sample; θ and all buffers stay.

    Where the fit records its steps this one is recorded too, once for every shape of batches.

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
        trained: TrainedParameters,
        examples: int,
        validation: Split,
        seed: int,
        stream: RandomStream,
    ) -> None:
        """Set up batches and optimiser; see the class."""
        self._model, self._bilevel, self._all = model, bilevel, trained
        self._steps, self._stream = settings.steps, stream
        self._recording = settings.compile != "eager"
        batch_size = bilevel.batch_size or settings.batch_size
        self._batches = Batches(validation.x, validation.y, batch_size, seed)
        self.trained = trained.level(upper=True)
        self.optimizer = build_optimizer(bilevel.optimizer, self.trained.leaves, bilevel.lr)
        self._rates = LearningRates(self.optimizer)
        self._function = _Function(model, trained, bilevel, (examples, len(validation)))
        self._recorded: dict[tuple[torch.Size, ...], Gradients] = {}

    def __call__(
        self, step: int, x: Tensor, y: Tensor, kl_weight: StepKLWeight, lower_lr: float
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
        if progress < self._bilevel.start:
            return
        self._rates.scale(learning_rate_factor(self._bilevel.schedule, progress))
        self.trained.refine(progress, self.optimizer)
        self._all.write(kl_weight.target)
        own = self._bilevel.kl_weight
        weights = kl_weight.bound, kl_weight.bound if own is None else own
        scalars = torch.tensor([*weights, lower_lr], device=x.device)
        tensors = [*self._function.inputs(), x, y, *self._batches.at(step), scalars]
        gradients = self._gradients(tensors)(*tensors)
        for group, gradient in zip(self.trained.groups, gradients, strict=True):
            group.flat.gradient.copy_(gradient)
        use = self.trained.use(kl_weight.target)
        self.trained.pull_back(use)
        self.trained.offer(use)
        self.optimizer.step()

    def _gradients(self, tensors: Sequence[Tensor]) -> Gradients:
        """The function of these shapes: recorded where that is possible and asked for."""
        shapes = tuple(tensor.shape for tensor in tensors)
        if self._recording and shapes not in self._recorded:
            copies = [tensor.detach().clone() for tensor in tensors]
            try:
                with self._stream.rewound(self._stream.now()):
                    self._recorded[shapes] = make_fx(self._function)(*copies)
            except Exception as error:  # whatever a user's model does that tracing can't follow
                self._recording = False
                _LOG.warning(
                    "the upper level of %s trains in eager mode: it can't be traced (%s: %s)",
                    self._model.describe(),
                    type(error).__name__,
                    error,
                )
        return self._recorded.get(shapes, self._function)


class _Function:
    """The hypergradient as a pure function of tensors.

    ``(flat parameters of every group, buffers, x, y, validation x and y, scalars)`` go in; out
    come the gradients by the flat parameters of the groups of the upper level. ``scalars`` are
    both KL weights and the learning rate of the lower level.
    """

    def __init__(
        self,
        model: BayesianModel,
        trained: TrainedParameters,
        bilevel: Bilevel,
        examples: tuple[int, int],
    ) -> None:
        """Name what goes in; see the class."""
        self._model, self._examples = model, examples
        self._loss, self._method = LevelLoss(model), bilevel.method
        lower, upper = trained.level(upper=False).groups, trained.level(upper=True).groups
        self._groups, self._lower = [*lower, *upper], len(lower)
        self._buffers = list(running_buffers(model))

    def inputs(self) -> list[Tensor]:
        """Flat parameters and buffers as they are."""
        flat = [group.flat.values.detach() for group in self._groups]
        return flat + [self._model.get_buffer(name) for name in self._buffers]

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        """Compute the hypergradient; see the class for the arguments."""
        count = len(self._groups)
        flat, buffers = tensors[:count], tensors[count:-5]
        x, y, held_out_x, held_out_y, scalars = tensors[-5:]
        below, above, lr = scalars.unbind()

        def level(
            theta: Tensors, h: Tensors, x: Tensor, y: Tensor, weight: Tensor, examples: int
        ) -> Tensor:
            state = dict(zip(self._buffers, buffers, strict=True))
            for group, values in zip(self._groups, [*theta, *h], strict=True):
                state |= zip(group.names, group.flat.split(values), strict=True)
            return self._loss(state, x, y, weight, examples)

        n, m = self._examples
        with torch.enable_grad():
            return self._method(
                lambda theta, h: level(theta, h, held_out_x, held_out_y, above, m),
                lambda theta, h: level(theta, h, x, y, below, n),
                flat[: self._lower],
                flat[self._lower :],
                lr,
            )
