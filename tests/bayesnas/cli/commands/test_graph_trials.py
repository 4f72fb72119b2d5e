"""``bayesnas fit``, ``search`` and ``sweep`` over the operations of a graph."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.cli.commands.trials import outcome
from bayesnas.inference.search import FitJudge, architecture

SKIPS = ("x->h=skip", "h->z=skip")
FIT = ("--", "gaussian-net", "--data", "digits", "--steps", "3")


def cell(image: tuple[int, ...] = (1, 8, 8)) -> bn.nn.Graph:
    def options():
        convolution = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU())
        return {"skip": nn.Identity(), "conv": convolution}

    head = nn.Sequential(nn.Flatten(), nn.Linear(image[1] * image[2], 10))
    edges = {("x", "h"): options(), ("h", "z"): options(), ("z", "y"): head}
    return bn.nn.Graph(edges, example=torch.zeros(1, *image))


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "PLOTS", ())
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(cell().to_dict()))
    return path


def test_a_sweep_of_a_graph_fits_every_architecture(call, file, tmp_path):
    words = ("--graph", file, "--objective", "nll,multiply_adds,latency", "--out", tmp_path / "s")
    code, out, err = call("sweep", "--json", *words, *FIT)
    assert code == 0, err
    graph, data = cell(), bn.data.load("digits", validation=0.2)

    def make(candidate):
        alone = graph.discrete(architecture(graph, candidate))
        return bn.models.GaussianNet(nn.Sequential(nn.Unflatten(1, (1, 8, 8)), alone))

    options = {"steps": 3, "device": "cpu"}
    judge = FitJudge(make, data.train, data.validation, (), options)
    trials = json.loads(out)["trials"]
    assert len(trials) == 4
    for trial in trials:
        measured = judge(trial["candidate"])
        assert trial["nll"] == pytest.approx(measured["nll"], abs=1e-6)
        for name in ("bound", "parameters", "multiply_adds"):
            assert trial[name] == pytest.approx(measured[name], rel=1e-6)
        assert trial["latency"] > 0
        net = bn.load(trial["run"]).model.plain_module()
        assert {net.names["x", "h"][0], net.names["h", "z"][0]} == set(trial["candidate"].values())


def test_the_best_architecture_is_a_command_that_fits_it(call, file, tmp_path):
    words = ("--graph", file, "--vary", "lr=1e-3:0.1:log", "--trials", "3", "--objective", "bound")
    words += ("--strategy", "random", "--out", tmp_path / "s")
    code, out, err = call("search", "--json", *words, *FIT)
    assert code == 0, err
    output = json.loads(out)
    best = output["trials"][output["best"]]
    assert list(best["candidate"]) == ["x->h", "h->z", "lr"]
    command = output["command"]
    assert command[:2] == ["bayesnas", "fit"]
    run = tmp_path / "again"
    code, _, err = call(*command[1:], "--validation", "0.2", "--out", run)
    assert code == 0, err
    again, there = bn.load(run), bn.load(best["run"])
    x = torch.rand(3, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.predict(x, draws=2), there.predict(x, draws=2))
    assert 'operations = ["x->h=' in (run / "run.toml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "--out", "o", *FIT], "vary or graph must say what varies"),
        (
            ["search", "--graph", "none.json", "--out", "o", *FIT],
            "graph: there is no file none.json",
        ),
        (["search", "--graph", "odd.json", "--out", "o", *FIT], "odd.json must be JSON of"),
        (["search", "--graph", "fixed.json", "--out", "o", *FIT], "graph must have a mixed edge"),
        (
            ["search", "--graph", "cell.json", "--vary", "graph=a,b", "--out", "o", *FIT],
            "can't name graph or operations",
        ),
        (
            ["search", "--graph", "cell.json", "--out", "o", *FIT, "--operations", "x->h=skip"],
            "--operations must stand before --",
        ),
        (
            ["search", "--graph", "cell.json", "--out", "o", *FIT, "--hidden", "5"],
            "leave hidden out",
        ),
        (["fit", "gaussian-net", "--operations", "x->h=skip"], "operations needs --graph FILE"),
        (["fit", "gaussian-net", "--operations", "skip"], "must be EDGE=NAME"),
        (["fit", "ard-regression", "--graph", "cell.json"], "does not take --graph"),
        (["fit", "gaussian-net", "--graph", "cell.json"], "must have a value for 'x->h'"),
        (
            ["fit", "gaussian-net", "--graph", "cell.json", "--operations", "x->h=x", "h->z=conv"],
            "x->h must be one of ['skip', 'conv'], got 'x'",
        ),
        (
            ["fit", "gaussian-net", "--graph", "fixed.json", "--operations", "x->h=skip"],
            "no edge has several, got x->h",
        ),
        (
            [
                "fit",
                "gaussian-net",
                "--graph",
                "wide.json",
                "--operations",
                "x->h=skip",
                "h->z=skip",
            ],
            "or of as many values, got inputs of shape ['n', 1, 9, 9]",
        ),
    ],
)
def test_bad_input_is_refused_in_a_line(words, said, refused, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fixed = bn.nn.Graph({("x", "y"): nn.Linear(64, 10)}, example=torch.zeros(1, 64))
    contents = {"fixed": fixed.to_dict(), "wide": cell((1, 9, 9)).to_dict(), "odd": {"format": 1}}
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    before = sorted(tmp_path.iterdir())
    refused(words, said)
    assert sorted(tmp_path.iterdir()) == before
