"""Shared weights and a distribution over architectures, trained in turns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.inference.elbo.nonfinite import NonFiniteLossError
from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.inference.search.space import Candidate
from bayesnas.inference.search.strategies.policies import Policy
from bayesnas.inference.search.strategies.policy_gradients import MovingBaseline, surrogate
from bayesnas.inference.search.strategies.shared_weights.checkpoint import (
    State,
    Trained,
    restore_states,
    states_of,
)
from bayesnas.inference.search.strategies.shared_weights.samples import Batches, Sample
from bayesnas.inference.search.strategies.strings import StringSpace
from bayesnas.nn.graphs.graph import Graph

LOSSES = ("error", "nll")
"""Of the distribution: the share of wrong classes, or the mean of −ln p(y | x)."""

Penalty = Callable[[Policy], Tensor]
"""What is added to the loss of the distribution, a function of it."""


@dataclass(frozen=True)
class Alternation:
    """How long, and how fast, weights and distribution are trained.

    Attributes:
        epochs: rounds: a pass over the training examples, then the steps of the distribution.
        batch_size: of either.
        lr: of the weights at the start, by SGD with a momentum of 0.9; it falls to 0 by a cosine.
        weight_decay: of the weights.
        warm_up: rounds at the start in which the distribution stays as it is.
        policy_steps: of the distribution a round.
        policy_batch: architectures a step, on one validation batch.
        policy_lr: of Adam.
        baseline_decay: of the moving average of losses.
        entropy_weight: β.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warm_up: int
    policy_steps: int
    policy_batch: int
    policy_lr: float
    baseline_decay: float
    entropy_weight: float


class SharedTraining:
    """Training of a supernet and a policy over its architectures.

    Args:
        supernet: its weights are moved.
        policy: over the mixed edges, in their order.
        settings: see :class:`Alternation`.
        train: of the weights.
        validation: of the distribution.
        loss: ``"error"``, the share of wrong classes, or ``"nll"``, nats an example.
        penalty: of the policy, or None.
        seed: of what NumPy draws, the architectures.

    Attributes:
        history: by round, see :class:`~.shared_search.SharedSearch`.
    """

    def __init__(
        self,
        supernet: Supernet,
        policy: Policy,
        settings: Alternation,
        train: Sample,
        validation: Sample,
        *,
        loss: str,
        penalty: Penalty | None,
        seed: int,
    ) -> None:
        """Set up both optimisers; see the class."""
        self.supernet, self.policy, self.settings = supernet, policy, settings
        self._loss, self._penalty = loss, penalty
        self._strings = StringSpace(supernet.space, "shared weights")
        self._draws = np.random.default_rng([seed, 1])
        if not any(True for _ in supernet.parameters()):
            raise ValueError("graph must have an operation with weights, got none")
        self._weights = torch.optim.SGD(
            supernet.parameters(),
            lr=settings.lr,
            momentum=0.9,
            weight_decay=settings.weight_decay,
        )
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._weights, settings.epochs)
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=settings.policy_lr)
        self._trained: Trained = {
            "supernet": (supernet, self._weights),
            "policy": (policy, self._optimizer),
        }
        self._steps = max(len(train) // settings.batch_size, 1)
        self._batches = {
            "weights": Batches(train, settings.batch_size),
            "policy": Batches(validation, settings.batch_size),
        }
        self.history: dict[str, list[float]] = {"train_nll": [], "loss": [], "entropy": []}
        self._baseline = MovingBaseline(settings.baseline_decay)

    @property
    def done(self) -> int:
        """Rounds so far."""
        return len(self.history["loss"])

    def round(self) -> None:
        """A pass over the training examples, then the steps of the distribution.

        Raises:
            NonFiniteLossError: the weights diverge.
        """
        number, batches = self.done, self._batches
        losses = [self._weight_step(batches["weights"].next()) for _ in range(self._steps)]
        if not math.isfinite(sum(losses)):
            raise NonFiniteLossError(
                f"the training loss is not finite in round {number + 1}: try a smaller lr than "
                f"{self.settings.lr:g}"
            )
        self._schedule.step()
        moves = number >= self.settings.warm_up
        made = [
            self._policy_step(batches["policy"].next(), moves=moves)
            for _ in range(self.settings.policy_steps)
        ]
        self.history["train_nll"].append(sum(losses) / self._steps)
        self.history["loss"].append(sum(loss for loss, _ in made) / len(made))
        self.history["entropy"].append(sum(entropy for _, entropy in made) / len(made))

    def state(self) -> State:
        """All that later rounds follow from, but for torch's random state."""
        tensors, values = states_of(self._trained)
        tensors |= {f"rows/{name}": each.left for name, each in self._batches.items()}
        return tensors, {
            **values,
            "schedule": self._schedule.state_dict(),
            "baseline": self._baseline.value,
            "draws": self._draws.bit_generator.state,
            "history": self.history,
        }

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        restore_states(self._trained, tensors, values)
        for name, batches in self._batches.items():
            batches.left = tensors[f"rows/{name}"]
        self._schedule.load_state_dict(values["schedule"])
        self._baseline.value = values["baseline"]
        self._draws.bit_generator.state = values["draws"]
        self.history = values["history"]

    def derive(
        self, validation: Sample, count: int, keeps: Callable[[Candidate], bool]
    ) -> tuple[tuple[Candidate, float], ...]:
        """Different candidates out of ``count`` draws with their losses, the best first.

        Args:
            validation: on which all are measured.
            count: draws.
            keeps: which candidates count; where none of them does, all do.
        """
        drawn = {tuple(c.items()): c for c in (self._candidate(s) for s in self._sample(count))}
        kept = [candidate for candidate in drawn.values() if keeps(candidate)]
        losses = [(c, self.measured(validation, c)) for c in kept or drawn.values()]
        return tuple(sorted(losses, key=lambda pair: pair[1]))

    def measured(self, sample: Sample, candidate: Candidate) -> float:
        """The loss of an architecture with the shared weights."""
        return self.supernet.measure(candidate, sample.x, sample.y)[self._loss]

    def _weight_step(self, batch: Sample) -> float:
        """One architecture drawn, its weights moved; nats an example."""
        candidate = self._candidate(self._sample(1)[0])
        self._weights.zero_grad()  # to None: what is not drawn does not move
        loss = F.cross_entropy(self.supernet.train()(batch.x, candidate), batch.y)
        if loss.requires_grad:  # else it is drawn of operations without weights alone
            loss.backward()
            nn.utils.clip_grad_norm_(self.supernet.parameters(), 5.0)
            self._weights.step()
        return float(loss.detach())

    def _policy_step(self, batch: Sample, *, moves: bool) -> tuple[float, float]:
        """Several architectures drawn and judged, the policy moved; mean loss, mean entropy."""
        strings = self._sample(self.settings.policy_batch)
        losses = [self.measured(batch, self._candidate(string)) for string in strings]
        excess = torch.tensor([self._baseline.excess(loss) for loss in losses])
        for loss in losses:
            self._baseline.update(loss)
        if moves:
            total = surrogate(self.policy, strings, excess, self.settings.entropy_weight)
            if self._penalty is not None:
                total = total + self._penalty(self.policy)
            self._optimizer.zero_grad()
            total.backward()
            self._optimizer.step()
        with torch.no_grad():
            entropy = float(self.policy(strings)[1].mean())
        return sum(losses) / len(losses), entropy

    def _sample(self, count: int) -> Tensor:
        return self.policy.sample(self._draws.random((count, len(self._strings.names))))

    def _candidate(self, string: Tensor) -> Candidate:
        return self._strings.candidate(string.numpy())


def retrainable(graph: Graph) -> Graph:
    """A copy of a graph with fresh weights, drawn from torch's generator."""
    fresh = copy.deepcopy(graph)
    for module in fresh.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return fresh
