"""The ant colony: pheromone by hand, choices by their exact frequencies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bayesnas.inference.search import Categorical, SearchSpace
from bayesnas.inference.search.strategies.ant_colony import AntColony


@pytest.fixture
def two_steps() -> SearchSpace:
    return SearchSpace({"a": Categorical(("x", "y")), "b": Categorical(("u", "v", "w"))})


def test_pheromone_by_hand(two_steps):
    """Two ants: each evaporates on its way (ρ = .5), then the better one adds (ρ_g = .2)."""
    search = AntColony(two_steps, ants=2, pheromone=0.4, decay=0.5, evaporation=0.2)
    search.pheromones[0][-1] = [0.8, 0.4]
    search.tell({"a": "x", "b": "w"}, [1.0])
    assert search.pheromones[0][-1].tolist() == pytest.approx([0.6, 0.4])
    search.tell({"a": "y", "b": "u"}, [2.0])
    assert search.pheromones[0][-1].tolist() == pytest.approx([0.6 * 0.8 + 0.2, 0.4])
    assert search.pheromones[1][0].tolist() == pytest.approx([0.4, 0.4, 0.4 * 0.8 + 0.2])
    assert search.pheromones[1][1].tolist() == pytest.approx([0.4, 0.4, 0.4])
    assert (search.best, search.generation) == ({"a": "x", "b": "w"}, 1)


@pytest.mark.parametrize("greediness", [0.0, 0.6])
def test_steps_are_greedy_or_in_proportion(two_steps, greediness):
    """P(k) = q₀ [k the best] + (1 − q₀) τ^α η^β / Σ."""
    search = AntColony(
        two_steps, greediness=greediness, heuristic={"a": {"y": 3.0}}, heuristic_power=2.0,
        pheromone_power=0.5,
    )  # fmt: skip
    search.pheromones[0][-1] = [0.16, 0.01]  # √τ η² is .4 and .9
    draws, rng = 4000, np.random.default_rng(0)
    share = sum(search._step(np.array([-1, -1]), 0, rng) for _ in range(draws)) / draws
    expected = greediness + (1 - greediness) * 0.9 / 1.3
    error = math.sqrt(expected * (1 - expected) / draws)
    assert abs(share - expected) < 5.5 * error


def test_a_layer_comes_in_with_each_generation():
    space = SearchSpace({name: Categorical(("skip", "conv", "pool")) for name in "abc"})
    search = AntColony(
        space, ants=3, greediness=0.0, layers=[["a"], ["b"], ["c"]], rest={"b": "skip", "c": "skip"}
    )
    drawn = []
    for _ in range(300):
        drawn.append(search.ask())
        search.tell(drawn[-1], [1.0])
    assert all(each["b"] == each["c"] == "skip" for each in drawn[:3])
    assert all(each["c"] == "skip" for each in drawn[:6])
    assert {each["c"] for each in drawn[6:]} == {"skip", "conv", "pool"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heuristic": {"z": {}}}, r"heuristic must name variables of \['a', 'b'\], got \['z'\]"),
        ({"heuristic": {"a": {"x": 0.0}}}, "heuristic of a must be a finite number > 0"),
        ({"heuristic": {"a": {"z": 1.0}}}, "a must be one of"),
        ({"layers": [["a"], ["b"]]}, r"rest must have a value for every later layer, .*\['b'\]"),
        ({"layers": ["ab"]}, "layers must be a sequence of sequences of strings or None"),
        ({"layers": [["c"]]}, "layers must name variables"),
        ({"pheromone": 0.0}, r"pheromone must be a fraction in \(0, 1\]"),
        ({"ants": 0}, "ants must be a whole number"),
    ],
)
def test_bad_options(two_steps, options, message):
    with pytest.raises(ValueError, match=message):
        AntColony(two_steps, **options)


def test_no_best_before_a_finite_score(two_steps):
    search = AntColony(two_steps)
    search.tell({"a": "x", "b": "u"}, [math.inf])
    with pytest.raises(ValueError, match="no candidate has a finite score"):
        search.best  # noqa: B018
