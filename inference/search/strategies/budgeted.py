"""A budgeted super network: independent choices whose expected cost is kept within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from bayesnas.checks import fraction_in, non_negative, positive, size
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.space import SearchSpace
from bayesnas.inference.search.strategies.genetic_operators import Strings
from bayesnas.inference.search.strategies.policies import IndependentPolicy
from bayesnas.inference.search.strategies.policy_gradients import (
    MovingBaseline,
    shaping_of,
    surrogate,
)
from bayesnas.inference.search.strategies.strings import StringStrategy
from bayesnas.typed import typed


@typed()
class Budgeted(StringStrategy):
    r"""Every variable is categorical with learned logits, and the expected cost has a budget.

    .. math:: \min_\theta\ E_{\Gamma \sim \pi_\theta} \ell(\Gamma)
        + \lambda \max\Bigl(0, \frac{E\, C(\Gamma)}{C_0} - 1\Bigr), \qquad
        \pi_\theta(\Gamma) = \prod_j \mathrm{softmax}(\theta_j)_{\Gamma_j}

    by REINFORCE: its gradient is that of E ℓ alone while the expected cost is within the budget,
    and that of E [ℓ + λ C/C₀] beyond it. E C is known by a moving average of what was judged. A
    variable of two values is a Bernoulli edge.

    Args:
        space: finite.
        seed: of what is drawn.
        budget: C₀ > 0 in units of the cost, the second score; None for one score, without costs.
        cost_weight: λ ≥ 0, in units of the loss, the first score, as it is shaped.
        batch: candidates a step.
        lr: learning rate of Adam, of logits.
        baseline_decay: of the moving averages of loss and cost.
        entropy_weight: ≥ 0, in the same units.
        shaping: of the losses, ``"log-rank"`` or ``"none"``, as in ``Reinforce``.

    Raises:
        ValueError: naming the argument; for a space with real or conditional variables.

    References:
        Veniat, Denoyer, *Learning time/memory-efficient deep architectures with budgeted super
        networks*, 2018: with the penalty E max(0, C − C₀) of every candidate drawn.

    >>> from bayesnas.inference.search import Categorical
    >>> space = SearchSpace({name: Categorical((0, 1)) for name in "abcd"})  # edges kept
    >>> search = Budgeted(space, budget=2.0, cost_weight=4.0)
    >>> for _ in range(80):
    ...     candidate = search.ask()
    ...     kept = sum(candidate.values())
    ...     search.tell(candidate, [4 - kept, kept])
    >>> 1.0 < search.policy.probabilities[:, 1].sum().item() < 3.0
    True
    """

    name: ClassVar[str] = "budgeted"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        budget: float | None = None,
        cost_weight: float = 1.0,
        batch: int = 4,
        lr: float = 0.1,
        baseline_decay: float = 0.9,
        entropy_weight: float = 0.0,
        shaping: str = "log-rank",
    ) -> None:
        """Uniform logits; see the class."""
        super().__init__(space, seed=seed)
        depending = [name for name, variable in space.items() if variable.when is not None]
        if depending:
            raise ValueError(
                f"space: strategy {self.name!r} takes variables without conditions, got {depending}"
            )
        self._budget = None if budget is None else positive("budget", budget)
        self._cost_weight = non_negative("cost_weight", cost_weight)
        self._batch = size("batch", batch)
        self._entropy_weight = non_negative("entropy_weight", entropy_weight)
        decay = fraction_in("baseline_decay", baseline_decay, "[0, 1)")
        self._loss, self._cost = MovingBaseline(decay), MovingBaseline(decay)
        self.policy = IndependentPolicy(self.strings.sizes.tolist())
        self._optimizer = torch.optim.Adam(self.policy.parameters(), lr=positive("lr", lr))
        self._shape = shaping_of(shaping)
        self._waiting: list[tuple[Strings, float, float]] = []

    def tell(self, candidate: Mapping[str, Value], scores: Sequence[float]) -> None:
        """Learn from the loss and, with a budget, the cost of a candidate.

        A trial that failed, with an infinite score, teaches nothing.

        Raises:
            ValueError: for something else than a candidate of the space, or another number of
                scores.
        """
        if self._budget is None:
            super().tell(candidate, scores)
            return
        positions = self.strings.positions(candidate)
        if len(scores) != 2:
            raise ValueError(
                f"strategy {self.name!r} with a budget takes a loss and a cost, got "
                f"{len(scores)} scores"
            )
        self._take_in(positions, float(scores[0]), float(scores[1]))
        self.told += 1

    def _propose(self, rng: np.random.Generator) -> Strings:
        strings: Strings = self.policy.sample(rng.random((1, len(self.strings.names))))[0].numpy()
        return strings

    def _learn(self, positions: Strings, score: float) -> None:
        self._take_in(positions, score, 0.0)

    def _take_in(self, positions: Strings, loss: float, cost: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(cost)):
            return
        loss, cost = self._shape(loss), cost / (self._budget or 1.0)
        self._waiting.append((positions, self._loss.excess(loss), self._cost.excess(cost)))
        self._loss.update(loss)
        self._cost.update(cost)
        if len(self._waiting) == self._batch:
            self._step()
            self._waiting = []

    def _step(self) -> None:
        beyond = self._cost.value is not None and self._cost.value > 1
        weight = self._cost_weight if beyond else 0.0
        strings = torch.as_tensor(np.stack([positions for positions, _, _ in self._waiting]))
        losses = torch.tensor([loss + weight * cost for _, loss, cost in self._waiting])
        self._optimizer.zero_grad()
        surrogate(self.policy, strings, losses, self._entropy_weight).backward()
        self._optimizer.step()
