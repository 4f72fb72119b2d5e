"""Search by trials: every sampler, several objectives, resuming, Ctrl-C, bad input."""

from __future__ import annotations

import functools
import math
import signal
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pytest

import bayesnas as bn
from bayesnas.inference.search import (
    STRATEGIES,
    Categorical,
    Integer,
    InterruptedSearchWarning,
    LogReal,
    Real,
    SearchSpace,
    StorageError,
    StrategyRecord,
    When,
)
from bayesnas.inference.search.strategy import ask_generator, single_score
from bayesnas.inference.search.trials.objectives import Objectives
from bayesnas.inference.search.trials.study import Plan, make_study

SPACE = {
    "depth": Integer(1, 4),
    "kind": Categorical(("a", None, 3)),
    "rate": LogReal(1e-3, 1e3, when=When("kind", ("a",))),
    "share": Real(-1.0, 1.0),
}
MANY = {f"x{i}": Integer(1, 9) for i in range(6)}
FINITE = {"depth": Integer(1, 4), "width": Categorical((8, 16, 32))}


def judged(candidate):
    error = (candidate["depth"] - 3) ** 2 + abs(math.log10(candidate.get("rate", 10.0)))
    return {
        "error": error + candidate["share"] ** 2,
        "size": candidate["depth"],
        "note": str(candidate["kind"]),
    }


class Hill:
    """A strategy that changes one entry of the best candidate; what it does is drawn by count."""

    def __init__(self, space, *, seed):
        self.space, self.seed, self.told = space, seed, []

    def ask(self):
        generator = ask_generator(self.seed, len(self.told))
        drawn = self.space.sample(generator)
        if not self.told:
            return drawn
        best = min(self.told, key=lambda pair: pair[1])[0]
        return {**best, "depth": drawn["depth"]}

    def tell(self, candidate, scores):
        self.told.append((dict(candidate), single_score("hill", scores)))


def area(candidate):
    return candidate["depth"] * candidate["width"]


@pytest.mark.parametrize("strategy", ["random", "tpe", "nsga2", Hill])
def test_a_search_resumed_is_that_without_interruption(strategy, tmp_path):
    options = {"objectives": "error", "seed": 3, "storage": tmp_path / "study.journal"}
    bn.search(SPACE, judged, strategy, trials=4, **options)
    resumed = bn.search(SPACE, judged, strategy, trials=12, resume=True, **options)
    whole = bn.search(SPACE, judged, strategy, trials=12, objectives="error", seed=3)
    assert [t.candidate for t in resumed.trials] == [t.candidate for t in whole.trials]
    assert [t.scores for t in resumed.trials] == [t.scores for t in whole.trials]
    assert all(t.scores["error"] == judged(t.candidate)["error"] for t in whole.trials)
    assert whole.trials[0].metrics == {
        k: judged(whole.trials[0].candidate)[k] for k in ("size", "note")
    }


def test_a_grid_judges_every_candidate_once():
    result = bn.search(FINITE, area, "grid")
    candidates = [tuple(t.candidate.items()) for t in result.trials]
    assert candidates == [tuple(c.items()) for c in SearchSpace(FINITE).candidates()]
    assert result.best.candidate == {"depth": 1, "width": 8}
    fewer = bn.search(FINITE, area, "grid", trials=5)
    assert len({tuple(t.candidate.items()) for t in fewer.trials}) == 5


def test_a_grid_of_some_that_gets_more_trials_judges_no_candidate_twice(tmp_path):
    options = {"storage": tmp_path / "a.journal", "resume": True}
    for trials in (2, 4, None):
        result = bn.search(FINITE, area, "grid", trials=trials, **options)
    judged = [tuple(t.candidate.items()) for t in result.trials]
    assert sorted(judged) == sorted(tuple(c.items()) for c in SearchSpace(FINITE).candidates())


def test_a_metric_hides_no_column():
    result = bn.search(FINITE, lambda c: {"score": 1.0, "seconds": -5, "depth": 99}, "grid")
    row = result.to_frame().iloc[0]
    assert row["depth"] == result.trials[0].candidate["depth"]
    assert row["seconds"] == result.trials[0].seconds
    assert (row["metrics.depth"], row["metrics.seconds"]) == (99, -5)


def test_random_is_uniform_over_a_finite_space():
    result = bn.search(FINITE, area, "random", trials=300)
    counts = np.unique([t.scores["score"] for t in result.trials], return_counts=True)[1]
    assert counts.sum() == 300
    share = sum(t.candidate["width"] == 8 for t in result.trials) / 300
    assert abs(share - 1 / 3) < 5.5 * math.sqrt(2 / 9 / 300)


def test_a_strategy_is_told_negated_scores_of_a_maximised_objective():
    strategy = Hill(SearchSpace(FINITE), seed=0)
    bn.search(FINITE, area, strategy, trials=3, objectives={"score": "maximise"})
    assert [score for _, score in strategy.told] == [-area(c) for c, _ in strategy.told]
    assert len(strategy.told) == 2  # the last one is told to whoever goes on


def test_front_and_hypervolume_of_two_objectives():
    def two(candidate):
        return candidate["depth"], candidate["width"] / candidate["depth"]

    result = bn.search(FINITE, two, "grid", objectives=["depth", "width"])
    front = [tuple(t.scores.values()) for t in result.front]
    assert front == [(1, 8), (2, 4), (3, 8 / 3), (4, 2)]
    assert result.reference() == {"depth": 4.0, "width": 32.0}
    # Boxes below the reference, from left to right.
    assert result.hypervolume() == pytest.approx(1 * 24 + 1 * 28 + 1 * (32 - 8 / 3))
    assert result.hypervolume({"depth": 1.0, "width": 1.0}) == 0
    with pytest.raises(ValueError, match="best needs one objective"):
        _ = result.best
    with pytest.raises(ValueError, match="reference must have a value for each of"):
        result.hypervolume({"depth": 1.0})


def test_tables_hold_every_trial():
    result = bn.search(SPACE, judged, "random", trials=10, objectives=["error", "size"])
    frame = result.to_frame()
    assert list(frame["error"]) == [t.scores["error"] for t in result.trials]
    assert set(frame["note"]) <= {"a", "None", "3"}
    dataset = result.to_xarray()
    assert dataset.sizes == {"trial": 10}
    assert float(dataset["size"][4]) == result.trials[4].candidate["depth"]
    assert dataset.attrs["objectives"] == "error (minimise), size (minimise)"


def test_every_kind_of_plot_is_drawn():
    result = bn.search(FINITE, lambda c: (c["depth"], -c["width"]), "grid", objectives=["a", "b"])
    for kind in ("front", "history", "importance", "parallel", "hypervolume"):
        assert result.plot(kind).figure is not None
    plt.close("all")
    with pytest.raises(ValueError, match="kind must be one of .* did you mean 'history'"):
        result.plot("histroy")
    with pytest.raises(ValueError, match="needs several objectives"):
        bn.search(FINITE, area, "grid").plot("front")


def test_a_trial_that_is_not_finite_fails_and_the_search_goes_on():
    def odd(candidate):
        return math.nan if candidate["depth"] == 2 else candidate["depth"]

    result = bn.search(FINITE, odd, "grid")
    failed = [t for t in result.trials if t.state == "failed"]
    assert {t.candidate["depth"] for t in failed} == {2}
    assert len(failed) == 3
    assert "not finite" in failed[0].error


def test_another_error_is_raised_and_what_is_finished_stays(tmp_path):
    def broken(candidate):
        if candidate["depth"] == 2:
            raise KeyError("depth two")
        return 1.0

    path = tmp_path / "study.journal"
    with pytest.raises(KeyError, match="depth two"):
        bn.search(FINITE, broken, "grid", storage=path)
    result = bn.search(FINITE, area, "grid", storage=path, resume=True)
    assert [t.state for t in result.trials] == ["complete"] * 3 + ["failed"] + ["complete"] * 8
    assert [t.scores["score"] for t in result.trials[:3]] == [1.0] * 3


@pytest.mark.parametrize("strategy", ["random", Hill])
def test_ctrl_c_gives_what_is_done_and_the_rest_is_resumed(strategy, tmp_path):
    seen = []

    def interrupted(candidate):
        seen.append(candidate)
        if len(seen) == 4:
            signal.raise_signal(signal.SIGINT)
        return area(candidate)

    options = {"strategy": strategy, "trials": 8, "storage": tmp_path / "s.journal", "seed": 1}
    with pytest.warns(InterruptedSearchWarning, match=r"after 3 of 8 trials; resume=True"):
        result = bn.search(FINITE, interrupted, **options)
    assert len(result.complete) == 3
    resumed = bn.search(FINITE, area, resume=True, **options)
    whole = bn.search(FINITE, area, strategy, trials=8, seed=1)
    assert [t.candidate for t in resumed.trials] == [t.candidate for t in whole.trials]
    assert [t.attempts for t in resumed.trials] == [1, 1, 1, 2, 1, 1, 1, 1]


def test_a_registered_strategy_is_known_by_name(monkeypatch):
    monkeypatch.setitem(STRATEGIES, "hill", StrategyRecord("a hill", "nobody", Hill, finite=True))
    assert len(bn.search(FINITE, area, "hill", trials=5).complete) == 5
    with pytest.raises(ValueError, match="strategy 'hill' takes no real variables, got 'rate'"):
        bn.search(SPACE, judged, "hill", objectives="error")
    with pytest.raises(ValueError, match="strategy 'hill' takes one objective"):
        bn.search(FINITE, area, "hill", objectives=["a", "b"])
    with pytest.raises(ValueError, match=r"got 'hil'; did you mean 'hill'"):
        bn.search(FINITE, area, "hil")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (({}, area), {}, "space must have one variable or more"),
        ((FINITE, area), {"trials": 0}, "trials must be a whole number from 1 to 100000, got 0"),
        ((FINITE, area, "rando"), {}, r"got 'rando'; did you mean 'random'"),
        ((FINITE, lambda c: {"eror": 1.0}), {"objectives": "error"}, "did you mean 'eror'"),
        ((FINITE, lambda c: "x"), {"trials": 1}, "objective must give a number"),
        ((FINITE, area), {"objectives": []}, "objectives must be different names"),
        ((FINITE, area), {"objectives": {"score": "up"}}, "names with 'minimise' or 'maximise'"),
        ((FINITE, area), {"workers": 0}, "workers must be a whole number from 1 to 1024"),
        (
            ({f"x{i}": Integer(1, 9) for i in range(6)}, area, "grid"),
            {},
            "a grid must be of at most",
        ),
        (({"x": Integer(1, 10**12)}, area, "grid"), {}, "too many values, 'x'"),
        ((FINITE, area), {"workers": 2}, "workers must be 1, or come with a storage"),
        ((FINITE, area, 3), {}, "strategy must be a name, a strategy"),
        ((SPACE, judged, "grid"), {}, "finite to be enumerated, got a real variable.* 'rate'"),
        ((FINITE, area, "cmaes"), {"objectives": ["a", "b"]}, "'cmaes' takes one objective"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        bn.search(*arguments, **options)


def test_a_study_of_something_else_is_refused_and_stays(tmp_path):
    path = tmp_path / "study.journal"
    bn.search(FINITE, area, "random", trials=2, storage=path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="there is a study 'search'"):
        bn.search(FINITE, area, "random", trials=2, storage=path)
    for options, word in (
        ({"space": {"depth": Integer(1, 5)}}, "space must be that of the study"),
        ({"objectives": "error"}, "objectives must be that"),
        ({"strategy": "tpe"}, "strategy must be that"),
        ({"seed": 1}, "seed must be that"),
    ):
        asked = {"space": FINITE, "objective": area, "strategy": "random"} | options
        with pytest.raises(ValueError, match=word):
            bn.search(**asked, trials=2, storage=path, resume=True)
    assert path.read_bytes() == before


def test_a_study_judged_otherwise_is_refused(tmp_path):
    class Scaled:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, candidate):
            return self.factor * area(candidate)

        def config(self):
            return {"factor": self.factor}

    options = {"storage": tmp_path / "s.journal", "resume": True}
    bn.search(FINITE, Scaled(2), "random", trials=2, **options)
    assert len(bn.search(FINITE, Scaled(2), "random", trials=3, **options).complete) == 3
    for other in (Scaled(3), area):
        with pytest.raises(ValueError, match="factor must be that of the trials of the study"):
            bn.search(FINITE, other, "random", trials=3, **options)
    with pytest.raises(TypeError, match=r"objective.config\(\) must give JSON values by name"):
        bn.search(FINITE, Scaled({1}), "random", trials=1)


def test_a_study_that_is_not_of_bayesnas_is_refused(tmp_path):
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="search")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(ValueError, match="must be one of bayesnas, got another's"):
        bn.search(FINITE, area, storage=path, resume=True)


@pytest.mark.parametrize("suffix", [".db", ".journal"])
def test_a_storage_that_cannot_be_one_is_named_and_kept(suffix, tmp_path):
    for path, content in ((tmp_path / f"text{suffix}", b"some text of mine"), (tmp_path, None)):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match="storage must"):
            bn.search(FINITE, area, storage=path)
        assert content is None or path.read_bytes() == content
    with pytest.raises(StorageError, match="there is no folder"):
        bn.search(FINITE, area, storage=tmp_path / "none" / f"a{suffix}")
    with pytest.raises(StorageError, match="storage can't be opened"):
        bn.search(FINITE, area, storage=f"/proc/a{suffix}")
    with pytest.raises(ValueError, match="must be a path that ends in"):
        bn.search(FINITE, area, storage=tmp_path / "study.txt")


def test_without_optuna_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'bayesnas\[search\]'"):
        bn.search(FINITE, area)


def test_cmaes_says_what_it_needs_or_searches(monkeypatch):
    module_finder = bn.inference.search.trials.samplers.importlib.util
    monkeypatch.setattr(module_finder, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="strategy 'cmaes' needs cmaes"):
        bn.search({"x": Real(0, 1)}, lambda c: c["x"], "cmaes")


def test_a_partial_is_another_strategy(tmp_path):
    class Wide(Hill):
        def __init__(self, space, *, seed, width):
            super().__init__(space, seed=seed)

    options = {"trials": 2, "storage": tmp_path / "s.journal"}
    bn.search(FINITE, area, functools.partial(Wide, width=2), **options)
    with pytest.raises(ValueError, match=r"'Wide\(width=2\)', got 'Wide\(width=3\)'"):
        bn.search(FINITE, area, functools.partial(Wide, width=3), resume=True, **options)


def test_the_reference_point_and_sqlite_file_are_what_they_say(tmp_path):
    path = tmp_path / "s.db"
    bn.search(FINITE, area, "grid", trials=3, storage=path)
    with sqlite3.connect(path) as base:
        states = base.execute("select state, count(*) from trials group by state").fetchall()
    base.close()
    assert states == [("COMPLETE", 3)]


def test_cmaes_searches_real_variables():
    pytest.importorskip("cmaes", reason="cmaes is not installed: bayesnas[search]")
    space = {"x": Real(-5, 5), "y": Real(-5, 5)}
    result = bn.search(space, lambda c: c["x"] ** 2 + c["y"] ** 2, "cmaes", trials=150)
    last = [trial.scores["score"] for trial in result.trials[-50:]]
    assert sum(last) / 50 < 8.0  # of random trials 16.7, with a standard error of 1.5


def test_a_waiting_trial_of_a_file_is_one_workers(tmp_path):
    """SQLite has no lock on a row: two workers could read it as waiting and both take it."""
    storage, space = tmp_path / "study.db", SearchSpace({"x": Integer(0, 11)})
    plan = Plan(space, Objectives.of("score"), "grid", 0)
    make_study(plan, storage, "search", resume=False).fill(12, list(space.candidates()))
    workers, ready = 4, threading.Barrier(4)

    def take_all(_):
        queue = make_study(plan, storage, "search", resume=True)
        ready.wait()
        taken = []
        while (trial := queue.take()) is not None:
            taken.append(trial.number)
        return taken

    with ThreadPoolExecutor(workers) as pool:
        taken = [number for each in pool.map(take_all, range(workers)) for number in each]
    assert sorted(taken) == list(range(12))


def test_a_worker_that_was_taken_for_dead_goes_on(tmp_path):
    """Its trial was failed, and its slot given to another, while it judged."""
    storage, space = tmp_path / "study.journal", SearchSpace({"x": Integer(0, 3)})
    plan = Plan(space, Objectives.of("score"), "grid", 0)
    calls = []

    def objective(candidate):
        calls.append(candidate["x"])
        if calls.count(1) == 1 and candidate["x"] == 1:
            assert make_study(plan, storage, "search", resume=True).revive(own=True) == 1
        return float(candidate["x"])

    result = bn.search(space, objective, "grid", storage=storage)

    assert [t.scores["score"] for t in result.trials] == [0.0, 1.0, 2.0, 3.0]
    assert [t.attempts for t in result.trials] == [1, 2, 1, 1]
    assert calls.count(1) == 2
