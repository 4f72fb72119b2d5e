"""A small space and a separable table of it."""

from __future__ import annotations

import pytest

from bayesnas.inference.search import Categorical, Integer, SearchSpace


@pytest.fixture
def search_space() -> SearchSpace:
    """75 candidates: 5 · 5 · 3."""
    return SearchSpace(
        {"a": Integer(0, 4), "b": Categorical((0, 1, 2, 3, 4)), "c": Categorical((0, 1, 2))}
    )


@pytest.fixture
def additive():
    """A score that adds up over variables; the best candidate is a=2, b=4, c=1."""

    def score(candidate):
        losses = [5, 2, 0, 3, 4], [4, 3, 2, 1, 0], [1.5, 0, 2.5]
        return sum(loss[value] for loss, value in zip(losses, candidate.values(), strict=True))

    return score
