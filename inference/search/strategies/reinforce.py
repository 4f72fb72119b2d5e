"""Search by a recurrent controller that is trained by REINFORCE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bayesnas.checks import fraction_in, non_negative, positive, size, step_count
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.space import SearchSpace
from bayesnas.inference.search.strategies.genetic_operators import Strings
from bayesnas.inference.search.strategies.policies import Controller
from bayesnas.inference.search.strategies.policy_gradients import (
    MovingBaseline,
    shaping_of,
    surrogate,
)
from bayesnas.inference.search.strategies.strings import StringStrategy
from bayesnas.runtime.random_state import derived_seed
from bayesnas.typed import typed


@typed()
class Reinforce(StringStrategy):
    r"""A recurrent controller draws candidates, and learns from their scores.

    .. math:: \nabla_\theta = \frac1m \sum_{i=1}^{m} (s_i - b) \nabla \ln \pi_\theta(a_i)
        - \beta \nabla H_i, \qquad b \leftarrow \rho\, b + (1 - \rho)\, s_i

    with scores s that are minimised, ``batch`` candidates a step of Adam, and an exponential moving
    baseline b, taken before the score itself comes in.

    Args:
        space: finite; conditional variables are chosen where they are there.
        seed: of the controller's weights and of what is drawn.
        batch: m, candidates a step.
        lr: learning rate of Adam.
        hidden: width of the controller.
        baseline_decay: ρ.
        entropy_weight: β ≥ 0, in units of the scores, shaped or not.
        shaping: ``"log-rank"``, s is the logarithm of the share of all scores that are lower, so
            that options mean the same whatever the scale of the scores, and disasters do not
            outweigh all else; ``"none"``, s is the score, as published.

    Raises:
        ValueError: naming the argument; for a space with real variables.

    References:
        Zoph, Le, *Neural architecture search with reinforcement learning*, 2017.

    >>> from bayesnas.inference.search import Categorical
    >>> space = SearchSpace({"a": Categorical((0, 1)), "b": Categorical((0, 1, 2))})
    >>> search = Reinforce(space, lr=0.1)
    >>> for _ in range(60):
    ...     candidate = search.ask()
    ...     search.tell(candidate, [-sum(candidate.values())])
    >>> search.probability({"a": 1, "b": 2}) > 0.5
    True
    """

    name: ClassVar[str] = "reinforce"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        batch: int = 8,
        lr: float = 0.02,
        hidden: int = 32,
        baseline_decay: float = 0.9,
        entropy_weight: float = 0.1,
        shaping: str = "log-rank",
    ) -> None:
        """Build the controller; see the class."""
        super().__init__(space, seed=seed)
        self._batch = size("batch", batch)
        self._entropy_weight = non_negative("entropy_weight", entropy_weight)
        self._shape = shaping_of(shaping)
        decay = fraction_in("baseline_decay", baseline_decay, "[0, 1)")
        self._baseline = MovingBaseline(decay)
        self.controller = Controller(
            self.strings.sizes.tolist(),
            hidden=step_count("hidden", hidden),
            seed=derived_seed(seed, 0),
        )
        self._optimizer = torch.optim.Adam(self.controller.parameters(), lr=positive("lr", lr))
        self._waiting: list[tuple[Strings, float]] = []
        self._worst = -math.inf

    def probability(self, candidate: Mapping[str, Value]) -> float:
        """π of a candidate."""
        positions = self.strings.positions(candidate)
        with torch.no_grad():
            return float(self.controller(torch.as_tensor(positions)[None])[0].exp())

    def _propose(self, rng: np.random.Generator) -> Strings:
        uniforms = rng.random((1, len(self.strings.names)))
        strings: Strings = self.controller.sample(uniforms, self._present)[0].numpy()
        return strings

    def _present(self, strings: Tensor, place: int) -> Tensor:
        known = [self.strings.has(string, place) for string in strings.numpy()]
        return torch.tensor(known)

    def _learn(self, positions: Strings, score: float) -> None:
        if math.isinf(score):  # a failed trial counts as the worst of the others
            if math.isinf(self._worst):
                return
            score = self._worst
        self._worst = max(self._worst, score)
        self._waiting.append((positions, self._excess(score)))
        if len(self._waiting) == self._batch:
            self._step()
            self._waiting = []

    def _excess(self, score: float) -> float:
        """The score, shaped, less the baseline."""
        shaped = self._shape(score)
        excess = self._baseline.excess(shaped)
        self._baseline.update(shaped)
        return excess

    def _step(self) -> None:
        strings = torch.as_tensor(np.stack([positions for positions, _ in self._waiting]))
        losses = torch.tensor([loss for _, loss in self._waiting])
        self._optimizer.zero_grad()
        surrogate(self.controller, strings, losses, self._entropy_weight).backward()
        self._optimizer.step()
