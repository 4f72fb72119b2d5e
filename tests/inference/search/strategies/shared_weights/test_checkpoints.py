"""Searches with shared weights that are killed go on with the numbers of those that are not."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.search import darts
from bayesnas.inference.search.strategies.shared_weights import alternation, joint_training
from bayesnas.inference.search.strategies.shared_weights.budgeted_supernet import budgeted_supernet
from bayesnas.inference.search.strategies.shared_weights.checkpoint import CHECKPOINT
from bayesnas.inference.search.strategies.shared_weights.enas import enas
from bayesnas.inference.search.strategies.shared_weights.multi_path import multi_path
from bayesnas.inference.search.strategies.shared_weights.path_evolution import PathEvolution
from bayesnas.inference.search.strategies.shared_weights.path_net import PathNet
from bayesnas.runtime.interrupt import InterruptedFitWarning

SHORT = {"epochs": 4, "batch_size": 24, "progress": False, "device": "cpu", "seed": 3}


def graph() -> bn.nn.Graph:
    def options(width: int):
        normalised = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Dropout(0.2))
        return {"line": nn.Linear(2, width), "norm": nn.Sequential(normalised, nn.Tanh())}

    edges = {("x", "h"): options(2), ("h", "y"): options(2)}
    return bn.nn.Graph(edges, example=torch.zeros(2, 2))


@pytest.fixture(scope="module")
def halves():
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    y = (x.square().sum(1) > 1.4).long()
    return (x[:50], y[:50]), (x[50:], y[50:])


def run_enas(halves, **options):
    return enas(graph(), *halves, controller_steps=3, **{**SHORT, **options})


def run_budgeted(halves, **options):
    return budgeted_supernet(graph(), *halves, budget=30, policy_steps=3, **{**SHORT, **options})


SEARCHES = [run_enas, run_budgeted]


class Killed(BaseException):
    pass


def killed_in_round(number, monkeypatch):
    """A search that dies between two steps of a round, as a process that is killed does."""
    step = alternation.SharedTraining._policy_step
    seen = []

    def dying(self, batch, *, moves):
        seen.append(0)
        if len(seen) == 3 * number + 2:
            raise Killed
        return step(self, batch, moves=moves)

    monkeypatch.setattr(alternation.SharedTraining, "_policy_step", dying)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("number", [1, 3])
def test_a_killed_search_goes_on_as_if_it_had_not_been(
    halves, search, number, tmp_path, monkeypatch
):
    whole = search(halves)
    with monkeypatch.context() as patched:
        killed_in_round(number, patched)
        with pytest.raises(Killed):
            search(halves, out=tmp_path / "s")
    torch.manual_seed(77)  # what the caller has drawn does not matter
    again = search(halves, out=tmp_path / "s", resume=True)
    assert again.history == whole.history
    assert again.ranked == whole.ranked
    ours, theirs = again.supernet.state_dict(), whole.supernet.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    # One that is done is read, and its weights are not trained on.
    third = search(halves, out=tmp_path / "s", resume=True)
    assert (third.history, third.ranked) == (whole.history, whole.ranked)


def test_ctrl_c_is_heard_after_the_round_and_kept(halves, tmp_path, monkeypatch):
    whole, step = run_enas(halves), alternation.SharedTraining._weight_step

    def interrupted(self, batch):
        if len(self.history["loss"]) == 1 and not interrupts:
            interrupts.append(0)
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch)

    interrupts: list[int] = []
    monkeypatch.setattr(alternation.SharedTraining, "_weight_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stopped in round 2 of 4; resume=True goes on"):
        run_enas(halves, out=tmp_path / "s", checkpoint_every=100)
    assert run_enas(halves, out=tmp_path / "s", resume=True).ranked == whole.ranked
    interrupts.clear()
    with pytest.warns(InterruptedFitWarning, match="in round 2 of 4: this is the result as it"):
        assert len(run_enas(halves).history["loss"]) == 2


def test_another_search_is_refused_and_stays(halves, tmp_path):
    run_enas(halves, out=tmp_path, epochs=1)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(FileExistsError, match="has a search; give another folder, or resume=True"):
        run_enas(halves, out=tmp_path, epochs=1)
    for change, message in [
        ({"epochs": 2}, "is of a search with epochs=1, got 2"),
        ({"epochs": 1, "seed": 4}, "is of a search with seed=3, got 4"),
    ]:
        with pytest.raises(ValueError, match=message):
            run_enas(halves, out=tmp_path, resume=True, **change)
    with pytest.raises(ValueError, match="is of a search with data="):
        run_enas(halves[::-1], out=tmp_path, resume=True, epochs=1)
    with pytest.raises(ValueError, match="is of a search with policy_lr=0.00035, got 0.05"):
        run_budgeted(halves, out=tmp_path, resume=True, epochs=1)
    with pytest.raises(ValueError, match="resume needs out"):
        run_enas(halves, resume=True, epochs=1)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    (tmp_path / CHECKPOINT).write_bytes(before[:300])
    with pytest.raises(ValueError, match="is truncated, damaged or no file of a bayesnas run"):
        run_enas(halves, out=tmp_path, resume=True, epochs=1)


def domains_of(halves):
    x = torch.cat([half[0] for half in halves])
    names = {"left": (x[:, 0] > 0).long(), "right": (x[:, 1] > 0).long()}
    return {name: ((x[:60], y[:60]), (x[60:], y[60:])) for name, y in names.items()}


def run_multi_path(halves, **options):
    torch.manual_seed(5)
    heads = {name: nn.Linear(2, 2) for name in ("left", "right")}
    given = {"epochs": 4, "batch_size": 24, "progress": False, "seed": 3, **options}
    return multi_path(graph(), domains_of(halves), heads, **given)


def killed_at(number, kind, method, monkeypatch):
    """The method of a search dies at its call of that number, as a process that is killed does."""
    step, seen = getattr(kind, method), []

    def dying(self, *given):
        seen.append(0)
        if len(seen) == number:
            raise Killed
        return step(self, *given)

    monkeypatch.setattr(kind, method, dying)


@pytest.mark.parametrize("number", [4, 8])
def test_killed_paths_of_domains_go_on_as_if_they_had_not_been(
    halves, number, tmp_path, monkeypatch
):
    whole = run_multi_path(halves)  # of four epochs of two steps
    with monkeypatch.context() as patched:
        killed_at(number, joint_training.JointTraining, "_step", patched)
        with pytest.raises(Killed):
            run_multi_path(halves, out=tmp_path / "s")
    for _ in range(2):  # the second reads one that is done
        again = run_multi_path(halves, out=tmp_path / "s", resume=True)
        assert (again.history, again.paths) == (whole.history, whole.paths)
        for name in ("left", "right"):
            assert torch.equal(again.predict(name, halves[0][0]), whole.predict(name, halves[0][0]))
            ours, theirs = (
                again.controllers[name].state_dict(),
                whole.controllers[name].state_dict(),
            )
            assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_paths_of_other_domains_or_heads_are_refused_and_stay(halves, tmp_path):
    run_multi_path(halves, out=tmp_path, epochs=1)
    before = (tmp_path / CHECKPOINT).read_bytes()
    again = {"epochs": 1, "out": tmp_path, "resume": True}
    with pytest.raises(FileExistsError, match="has a search; give another folder"):
        run_multi_path(halves, epochs=1, out=tmp_path)
    with pytest.raises(ValueError, match="is of a search with left, train="):
        run_multi_path(halves[::-1], **again)
    with pytest.raises(ValueError, match=r"is of a search with controller_lr=0.005, got 0.1"):
        run_multi_path(halves, controller_lr=0.1, **again)
    heads = {name: nn.Linear(2, 2, bias=False) for name in ("left", "right")}
    with pytest.raises(ValueError, match="is of a search with heads="):
        multi_path(graph(), domains_of(halves), heads, batch_size=24, seed=3, **again)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


TASKS = ("left", "right")


def path_net():
    return PathNet(graph(), active=1, population=4, seed=3)


def learn(net, halves, task, **options):
    torch.manual_seed(5)
    head, (data, _) = nn.Linear(2, 2), domains_of(halves)[task]
    given = {"tournaments": 5, "steps": 3, "batch_size": 24, "checkpoint_every": 2, **options}
    return net.learn(task, data, head, **given)


def test_a_killed_task_goes_on_as_if_it_had_not_been(halves, tmp_path, monkeypatch):
    whole = path_net()
    learned = [learn(whole, halves, task) for task in TASKS]
    net = path_net()
    assert learn(net, halves, "left", out=tmp_path / "left") == learned[0]
    before = {name: value.clone() for name, value in net.graph.state_dict().items()}
    with monkeypatch.context() as patched:
        killed_at(7, PathEvolution, "_trained", patched)  # in the fourth tournament
        with pytest.raises(Killed):
            learn(net, halves, "right", out=tmp_path / "right")
    assert all(torch.equal(value, before[name]) for name, value in net.graph.state_dict().items())
    with pytest.raises(ValueError, match=r"task must be one of \['left'\], got 'right'"):
        net.predict("right", halves[0][0])
    kept = {"resume": True}
    assert learn(net, halves, "right", out=tmp_path / "right", **kept) == learned[1]
    other = path_net()  # as in another process, of which nothing is left but the folders
    for task, expected in zip(TASKS, learned, strict=True):
        assert learn(other, halves, task, out=tmp_path / task, **kept) == expected
    for each in (net, other):
        assert each.frozen == whole.frozen
        for task in TASKS:
            assert torch.equal(each.predict(task, halves[0][0]), whole.predict(task, halves[0][0]))


def test_a_task_of_another_net_is_refused_and_stays(halves, tmp_path):
    learn(path_net(), halves, "left", out=tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(FileExistsError, match="has a search; give another folder"):
        learn(path_net(), halves, "left", out=tmp_path)
    again = {"out": tmp_path, "resume": True}
    with pytest.raises(ValueError, match=r"is of a search with tasks=\['left'\], got \['right'\]"):
        learn(path_net(), halves, "right", **again)
    with pytest.raises(ValueError, match="is of a search with seed=3, got 4"):
        learn(PathNet(graph(), active=1, population=4, seed=4), halves, "left", **again)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_ctrl_c_leaves_a_net_as_it_was_or_its_task_as_it_stands(halves, tmp_path, monkeypatch):
    whole = learn(path_net(), halves, "left")
    step = PathEvolution._trained

    def interrupted(self, path):
        if self.done == 1 and not interrupts:
            interrupts.append(0)
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, path)

    interrupts: list[int] = []
    monkeypatch.setattr(PathEvolution, "_trained", interrupted)
    net = path_net()
    with pytest.raises(KeyboardInterrupt, match="stopped in round 2 of 5; resume=True goes on"):
        learn(net, halves, "left", out=tmp_path / "s", checkpoint_every=100)
    assert (
        learn(net, halves, "left", out=tmp_path / "s", checkpoint_every=100, resume=True) == whole
    )
    interrupts.clear()
    with pytest.warns(InterruptedFitWarning, match="in round 2 of 5: this is the result as it"):
        assert learn(path_net(), halves, "left").errors == whole.errors[:2]


def test_a_killed_differentiable_search_goes_on_as_if_it_had_not_been(halves, tmp_path):
    """The DARTS family is a fit, and has the checkpoints of one."""
    options = {"steps": 8, "epochs": None, "batch_size": 24, "device": "cpu", "progress": False}

    def dying(step):
        if step.step == 5:
            raise Killed

    whole = darts(graph(), *halves, **options)
    out = {"out": tmp_path / "s", "checkpoint_every": 3}
    with pytest.raises(Killed):
        darts(graph(), *halves, **options, **out, on_step=dying)
    again = darts(graph(), *halves, **options, **out, resume=True)
    ours, theirs = again.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
