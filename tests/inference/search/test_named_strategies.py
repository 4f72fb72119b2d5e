"""What every strategy makes of conditions, and of several objectives, in a study."""

from __future__ import annotations

import functools

import pytest

import bayesnas as bn
from bayesnas.inference.search import STRATEGIES, Categorical, Integer, SearchSpace, When

NAMED = ["tpe", "nsga2", *STRATEGIES]
CONDITIONAL = SearchSpace(
    {
        "depth": Integer(1, 3),
        "second": Categorical(("wide", "narrow"), when=When("depth", (2, 3))),
        "third": Categorical((True, False), when=When("second", ("wide",))),
    }
)


@pytest.mark.parametrize("strategy", NAMED)
def test_candidates_have_the_variables_whose_conditions_hold(strategy, tmp_path):
    """Forty trials pass the first random ones of TPE, and one generation of the others."""
    options = {"trials": 40, "seed": 2}
    if strategy == "budgeted":
        with pytest.raises(ValueError, match=r"without conditions, got \['second', 'third'\]"):
            bn.search(CONDITIONAL, len, strategy, storage=tmp_path / "s.journal", **options)
        assert not (tmp_path / "s.journal").exists()
        return
    result = bn.search(CONDITIONAL, len, strategy, **options)
    assert all(CONDITIONAL.checked(t.candidate) == t.candidate for t in result.trials)
    assert {t.scores["score"] for t in result.trials} == {1.0, 2.0, 3.0}


NUMBERS = {f"x{i}": Integer(1, 9) for i in range(3)}


@pytest.mark.parametrize("strategy", ["random", "tpe", "nsga2", "budgeted"])
def test_several_objectives_have_the_front_of_all_trials_and_are_resumed(strategy, tmp_path):
    def cost_and_loss(candidate):
        cost = sum(candidate.values())
        return {"loss": (candidate["x0"] - 5) ** 2 + 10 / cost, "cost": cost}

    if strategy == "budgeted":  # the second objective is its cost
        strategy = functools.partial(STRATEGIES[strategy].factory, budget=12.0)
    options = {"objectives": ["loss", "cost"], "seed": 1}
    whole = bn.search(NUMBERS, cost_and_loss, strategy, trials=26, **options)
    scores = [tuple(t.scores.values()) for t in whole.trials]
    dominated = [any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in scores) for a in scores]
    assert {tuple(t.scores.values()) for t in whole.front} == {
        each for each, is_dominated in zip(scores, dominated, strict=True) if not is_dominated
    }
    kept = {**options, "storage": tmp_path / "s.journal"}
    bn.search(NUMBERS, cost_and_loss, strategy, trials=22, **kept)
    resumed = bn.search(NUMBERS, cost_and_loss, strategy, trials=26, resume=True, **kept)
    assert [t.candidate for t in resumed.trials] == [t.candidate for t in whole.trials]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_of_one_objective_refuse_several_before_a_study_is_made(strategy, tmp_path):
    with pytest.raises(ValueError, match=f"strategy '{strategy}' takes one objective, got"):
        bn.search(NUMBERS, len, strategy, objectives=["a", "b"], storage=tmp_path / "s.journal")
    assert list(tmp_path.iterdir()) == []
