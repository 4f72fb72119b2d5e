"""Searches with shared weights that are killed go on with the numbers of those that are not."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.search import darts
from bayesnas.inference.search.strategies.shared_weights import alternation
from bayesnas.inference.search.strategies.shared_weights.budgeted_supernet import budgeted_supernet
from bayesnas.inference.search.strategies.shared_weights.checkpoint import CHECKPOINT
from bayesnas.inference.search.strategies.shared_weights.enas import enas
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
        if len(self._history["loss"]) == 1 and not interrupts:
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
    with pytest.raises(ValueError, match="is truncated or not a file of a bayesnas run"):
        run_enas(halves, out=tmp_path, resume=True, epochs=1)


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
