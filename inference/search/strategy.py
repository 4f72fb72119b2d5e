"""What a search strategy is: it is asked for candidates, and told their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np

from bayesnas.checks import seed_number
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.space import Candidate, SearchSpace


@runtime_checkable
class Strategy(Protocol):
    """Proposes candidates of a space and learns from their scores, which are minimised.

    A strategy is made by ``Class(space, *, seed, ...)``. It is asked and told in any order: with
    several workers it is told scores of candidates that another process asked for, and a candidate
    that it proposed may never come back (its worker was killed). So ``tell`` takes any candidate of
    the space, and no ``ask`` waits for a ``tell``.

    **Several objectives.** ``scores`` has one number an objective, in the order of the study, a
    maximised one negated. A strategy for one objective takes it by :func:`single_score`, which
    refuses several by name; one for several ranks by non-dominated sorting; one that knows of a
    cost takes ``scores[0]`` as the loss and ``scores[1]`` as the cost. A trial that failed is told
    as ``inf`` for every objective.

    **Resuming.** A strategy writes no state. It is made anew and told every finished trial of the
    study again, in the order of their places, before it is first asked: its state must be a
    function of (space, options, seed, what it was told), and what it draws in ``ask`` must come
    from :func:`ask_generator` of (seed, number of trials told), not from a generator that earlier
    calls moved. Then a study that was interrupted goes on as if it had not been. ``ask`` asked
    twice without a ``tell`` in between may propose the same; workers have seeds of their own.

    >>> import bayesnas as bn
    >>> from bayesnas.inference.search import Categorical
    >>> class InOrder:
    ...     def __init__(self, space, *, seed):
    ...         self.left = ["a", "b"]
    ...     def ask(self):
    ...         return {"kind": self.left[0]}
    ...     def tell(self, candidate, scores):
    ...         self.left.remove(candidate["kind"])
    >>> losses = {"a": 2.0, "b": 1.0}
    >>> space = {"kind": Categorical(["a", "b"])}
    >>> bn.search(space, lambda c: losses[c["kind"]], InOrder, trials=2).best.candidate
    {'kind': 'b'}
    """

    def ask(self) -> Candidate:
        """A candidate of the space to be judged next."""
        ...

    def tell(self, candidate: Mapping[str, Value], scores: Sequence[float]) -> None:
        """The scores of a candidate, minimised, one an objective."""
        ...


def is_strategy(value: object) -> TypeGuard[Strategy]:
    """Whether a value is a strategy; a class is what makes one.

    >>> is_strategy(print)
    False
    """
    return isinstance(value, Strategy) and not isinstance(value, type)


class StrategyFactory(Protocol):
    """A strategy's class, or a ``functools.partial`` of it with options.

    >>> from functools import partial
    >>> import bayesnas as bn
    >>> from bayesnas.inference.search import STRATEGIES, Categorical
    >>> genetic = partial(STRATEGIES["genetic"].factory, population=4)
    >>> space = {"kind": Categorical(["a", "b"])}
    >>> len(bn.search(space, lambda c: float(c["kind"] == "a"), genetic, trials=4).trials)
    4
    """

    def __call__(self, space: SearchSpace, *, seed: int) -> Strategy:
        """A strategy over a space."""
        ...


def ask_generator(seed: int, told: int) -> np.random.Generator:
    """The generator of what a strategy draws after ``told`` trials; see :class:`Strategy`.

    >>> float(ask_generator(0, 3).random()) == float(ask_generator(0, 3).random())
    True
    """
    return np.random.default_rng([seed_number("seed", seed), told])


def single_score(name: str, scores: Sequence[float]) -> float:
    """The score of a single objective; NaN counts as infinite.

    Args:
        name: of the strategy, for the message.
        scores: as told.

    Raises:
        ValueError: for several objectives.

    >>> single_score("ant-colony", [0.25])
    0.25
    """
    if len(scores) != 1:
        raise ValueError(f"strategy {name!r} takes one objective, got {len(scores)}")
    score = float(scores[0])
    return math.inf if math.isnan(score) else score
