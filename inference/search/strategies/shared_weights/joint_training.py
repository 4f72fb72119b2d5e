"""One supernet trained by several domains, each with a head and a controller of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.inference.elbo.nonfinite import NonFiniteLossError
from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.inference.search.space import Candidate
from bayesnas.inference.search.strategies.policies import Controller
from bayesnas.inference.search.strategies.policy_gradients import MovingBaseline, surrogate
from bayesnas.inference.search.strategies.shared_weights.checkpoint import (
    State,
    Trained,
    restore_states,
    states_of,
)
from bayesnas.inference.search.strategies.shared_weights.samples import Batches, Sample
from bayesnas.inference.search.strategies.strings import StringSpace

JOINT_LOSS = "train_nll"
"""Name of the joint loss in the history, beside the names of the domains."""


class Domain:
    """One domain: its examples, head and controller.

    Args:
        name: of it.
        supernet: of all domains.
        train: of the weights.
        validation: of the controller.
        head: from features to classes; it is copied.
        batch_size: of either.
        seed: of the architectures it draws.
        lr: of the controller, by Adam.
        hidden: width of the controller.
        decay: of the moving average of errors.
        entropy_weight: β.
    """

    def __init__(
        self,
        name: str,
        supernet: Supernet,
        train: Sample,
        validation: Sample,
        head: nn.Module,
        *,
        batch_size: int,
        seed: int,
        lr: float,
        hidden: int,
        decay: float,
        entropy_weight: float,
    ) -> None:
        """Set up the controller; see the class."""
        self.name, self.rows, self.head = name, len(train), copy.deepcopy(head)
        self._supernet, self._strings = supernet, StringSpace(supernet.space, "MultiPath")
        self._validation = validation
        self.batches = {
            "train": Batches(train, batch_size),
            "judged": Batches(validation, batch_size),
        }
        self.draws = np.random.default_rng(seed)
        self.controller = Controller(self._strings.sizes.tolist(), hidden=hidden, seed=seed)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=lr)
        self.baseline, self._entropy_weight = MovingBaseline(decay), entropy_weight

    def draw(self, count: int = 1) -> Tensor:
        """Paths ``[count, L]``."""
        return self.controller.sample(self.draws.random((count, len(self._strings.names))))

    def loss(self, path: Tensor) -> Tensor:
        """Nats an example of a training batch."""
        batch = self.batches["train"].next()
        return F.cross_entropy(self._output(path[0], batch.x), batch.y)

    @torch.no_grad()
    def error(self, path: Tensor) -> float:
        """Share of wrong classes of a validation batch."""
        batch = self.batches["judged"].next()
        return float((self._output(path[0], batch.x).argmax(-1) != batch.y).double().mean())

    def learn(self, path: Tensor, error: float) -> None:
        """Move the controller by the error of a path."""
        excess = torch.tensor([self.baseline.excess(error)])
        self.baseline.update(error)
        self.optimizer.zero_grad()
        surrogate(self.controller, path, excess, self._entropy_weight).backward()
        self.optimizer.step()

    @torch.no_grad()
    def derived(self, count: int) -> Candidate:
        """The path of the lowest loss on all validation examples, of several drawn."""
        x, y = self._validation.x, self._validation.y
        drawn = torch.unique(self.draw(count), dim=0)
        losses = [float(F.cross_entropy(self._output(path, x), y)) for path in drawn]
        return self._strings.candidate(drawn[int(np.argmin(losses))].numpy())

    def _output(self, path: Tensor, x: Tensor) -> Tensor:
        features = self._supernet.train()(x, self._strings.candidate(path.numpy()))
        logits: Tensor = self.head.train()(features)
        return logits


class JointTraining:
    """Rounds in which a path of every domain moves the weights, and its error the controller.

    Args:
        supernet: its weights are moved.
        domains: with their heads.
        epochs: rounds, each a pass over the largest training sample.
        batch_size: of a step.
        lr: of weights and heads at the start, by SGD with a momentum of 0.9; it falls to 0 by a
            cosine.

    Attributes:
        history: ``train_nll``, the joint loss, and by domain the mean error, of every round.
    """

    def __init__(
        self,
        supernet: Supernet,
        domains: Sequence[Domain],
        *,
        epochs: int,
        batch_size: int,
        lr: float,
    ) -> None:
        """Set up the optimiser; see the class."""
        self._supernet, self._domains, self._lr = supernet, domains, lr
        weights = nn.ModuleList([supernet, *(domain.head for domain in domains)])
        self._optimizer = torch.optim.SGD(weights.parameters(), lr=lr, momentum=0.9)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, epochs)
        self._steps = max(max(domain.rows for domain in domains) // batch_size, 1)
        self._trained: Trained = {
            "weights": (weights, self._optimizer),
            **{f"controller-{k}": (d.controller, d.optimizer) for k, d in enumerate(domains)},
        }
        self._batches = {
            f"rows-{k}/{part}": batches
            for k, domain in enumerate(domains)
            for part, batches in domain.batches.items()
        }
        self.history: dict[str, list[float]] = {JOINT_LOSS: [], **{d.name: [] for d in domains}}

    @property
    def done(self) -> int:
        """Rounds so far."""
        return len(self.history[JOINT_LOSS])

    def round(self) -> None:
        """A pass over the largest training sample.

        Raises:
            NonFiniteLossError: the weights diverge.
        """
        losses, errors = zip(*(self._step() for _ in range(self._steps)), strict=True)
        if not math.isfinite(sum(losses)):
            raise NonFiniteLossError(
                f"the training loss is not finite: try a smaller lr than {self._lr:g}"
            )
        self._schedule.step()
        self.history[JOINT_LOSS].append(sum(losses) / self._steps)
        for domain, of_domain in zip(self._domains, zip(*errors, strict=True), strict=True):
            self.history[domain.name].append(sum(of_domain) / self._steps)

    def state(self) -> State:
        """All that later rounds follow from, but for torch's random state."""
        tensors, values = states_of(self._trained)
        tensors |= {name: batches.left for name, batches in self._batches.items()}
        return tensors, {
            **values,
            "schedule": self._schedule.state_dict(),
            "baselines": [domain.baseline.value for domain in self._domains],
            "draws": [domain.draws.bit_generator.state for domain in self._domains],
            "history": self.history,
        }

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        restore_states(self._trained, tensors, values)
        for name, batches in self._batches.items():
            batches.left = tensors[name]
        self._schedule.load_state_dict(values["schedule"])
        for domain, baseline, draws in zip(
            self._domains, values["baselines"], values["draws"], strict=True
        ):
            domain.baseline.value = baseline
            domain.draws.bit_generator.state = draws
        self.history = values["history"]

    def _step(self) -> tuple[float, list[float]]:
        """A path drawn and judged in every domain, the weights moved, then the controllers."""
        paths = [domain.draw() for domain in self._domains]
        pairs = list(zip(self._domains, paths, strict=True))
        errors = [domain.error(path) for domain, path in pairs]
        joint = torch.stack([domain.loss(path) for domain, path in pairs]).sum()
        self._optimizer.zero_grad()
        joint.backward()
        nn.utils.clip_grad_norm_(self._supernet.parameters(), 5.0)
        self._optimizer.step()
        for (domain, path), error in zip(pairs, errors, strict=True):
            domain.learn(path, error)
        return float(joint.detach()), errors
