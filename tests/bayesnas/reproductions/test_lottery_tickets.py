"""The reproduction of lottery tickets, at a tiny size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.reproductions import Request, lottery_tickets
from bayesnas.reproductions.lottery_tickets.settings import Settings, network


def tiny(request):
    """400 digits, a round more than the controls need."""
    data = bn.data.load("digits")
    part = bn.data.DataSet("digits", data.train.first(400), test=data.test)
    return Settings("digits", 400, (64, 12, 10), request.seeds or 2, 3, (1, 3), 1), part


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished reproduction, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("reproduction"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lottery_tickets, "prepare", tiny)
        reproduced = lottery_tickets.run(Request(out, device="cpu", say=said.append))
    return reproduced, out, said


def test_there_is_a_figure_for_every_round_and_control(done):
    reproduced, out, said = done
    assert said == ["start 0", "start 1"]
    kinds = [c.labels["ticket"] for c in reproduced.comparisons]
    assert [kinds.count(kind) for kind in ("winning", "reinitialised", "random")] == [4, 2, 2]
    assert all(
        len(c.ours) == 2 and 0 <= min(c.ours) <= max(c.ours) <= 1 for c in reproduced.comparisons
    )
    assert "| 100.0 % |" in (out / "comparison.md").read_text()
    with Image.open(out / "lottery-tickets.png") as picture:
        assert picture.width > 500
    assert "points by start above: the dense network" in reproduced.remarks[-1]


def test_figures_are_those_of_the_public_call(done):
    reproduced, _, _ = done
    _, data = tiny(Request(Path()))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = network([64, 12, 10])
    tickets = bn.lottery_tickets(
        net, data.train, rounds=3, epochs=1, seed=1, device="cpu", progress=False
    )
    control = tickets[3].control(data.train, "reinitialised", seed=1001, device="cpu")

    def accuracy(module):
        return float((module(data.test.x).argmax(-1) == data.test.y).double().mean())

    last = {c.labels["ticket"]: c.ours[0] for c in reproduced.comparisons[-3:]}
    assert last["winning"] == accuracy(tickets[3].module)
    assert last["reinitialised"] == accuracy(control.module)


def test_a_second_call_reads_what_is_there_and_other_settings_are_refused(done, monkeypatch):
    reproduced, out, _ = done
    said = []
    monkeypatch.setattr(lottery_tickets, "prepare", tiny)
    again = lottery_tickets.run(Request(out, device="cpu", say=said.append))
    assert (said, again.comparisons) == ([], reproduced.comparisons)
    with pytest.raises(ValueError, match="is of a reproduction with starts=2, got 1"):
        lottery_tickets.run(Request(out, seeds=1))
