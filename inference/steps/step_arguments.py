"""What a traced step of a model is called with: the tensors it writes in place, and its scalars."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.optim.adam import UNMOVED, AdamScalars, adam_state
from bayesnas.inference.optim.step_tensors import (
    StepInputs,
    StepScalars,
    StepTensors,
    scalar_type,
)
from bayesnas.inference.optim.trainable_parameters import (
    ActiveLeaves,
    TrainableParameters,
    constant_parameters,
    running_buffers,
)
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.device import sent


class StepArguments:
    """Parameters, gradients, state of Adam and buffers of a model as arguments of its steps.

    Args:
        model: whose buffers and constant parameters a step reads.
        trained: its parameters, those that the steps train.
        optimizer: of its leaves.
        adam: whether that is torch's Adam, whose state a step may update.
    """

    def __init__(
        self,
        model: BayesianModel,
        trained: TrainableParameters,
        optimizer: torch.optim.Optimizer,
        adam: bool,
    ) -> None:
        """Gather nothing yet; see the class."""
        self._model, self._trained = model, trained
        self._optimizer, self._adam = optimizer, adam
        self._tensors: StepTensors | None = None

    def __call__(
        self,
        x: AnyInputs,
        y: Tensor,
        kl_weight: float,
        use: ActiveLeaves,
        adam: Sequence[AdamScalars[float]] | None = None,
    ) -> StepInputs:
        """Arguments of a step on a batch.

        Args:
            x: inputs ``[b, ...]``.
            y: targets ``[b, ...]``.
            kl_weight: λ of the bound.
            use: of the step.
            adam: scalars of the update of every leaf; without them each stays as it is.
        """
        adam = [UNMOVED] * len(use.leaves) if adam is None else adam
        packed = StepScalars.pack(kl_weight, adam, use.inputs)
        scalars = torch.tensor(packed, dtype=scalar_type(use.leaves))
        return self.tensors().inputs(use, x, y, sent(scalars, y.device))

    def tensors(self) -> StepTensors:
        """All that traced steps read and write in place, whatever the KL weight."""
        if self._tensors is None:
            leaves = self._trained.leaves
            states = [adam_state(self._optimizer, leaf) for leaf in leaves] if self._adam else []
            constant = constant_parameters(self._model, self._trained).values()
            self._tensors = StepTensors(
                leaves=[leaf.data for leaf in leaves],
                gradients=self._trained.gradients,
                exp_avg=[state["exp_avg"] for state in states],
                exp_avg_sq=[state["exp_avg_sq"] for state in states],
                step=[state["step"] for state in states],
                buffers=list(running_buffers(self._model).values()),
                constant=[value.detach() for value in constant],
            )
        return self._tensors

    def forget(self) -> None:
        """Gather the tensors anew at the next step, since the optimiser has others."""
        self._tensors = None

    def move(self, tensors: StepTensors) -> None:
        """Let all of :meth:`tensors` lie in others, which hold the same values."""
        self._trained.move(tensors.leaves, tensors.gradients)
        if self._adam:
            names = ("exp_avg", "exp_avg_sq", "step")
            states = zip(tensors.exp_avg, tensors.exp_avg_sq, tensors.step, strict=True)
            for leaf, state in zip(self._trained.leaves, states, strict=True):
                self._optimizer.state[leaf] = dict(zip(names, state, strict=True))
        buffers = running_buffers(self._model).values()
        for buffer, value in zip(buffers, tensors.buffers, strict=True):
            buffer.data = value
        self.forget()
