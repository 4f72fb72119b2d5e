"""The comparison with peers: its pieces by a method of known figures, and its methods at work."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bayesnas.data import Split

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RIGHT = 0.8  # probability that the method of known figures gives to every label


@pytest.fixture
def code(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("cells", "figures", "methods", "swag", "table", "task")
    modules = {name: importlib.import_module(f"peer_methods.{name}") for name in names}
    return SimpleNamespace(peers=importlib.import_module("peers"), **modules)


@pytest.fixture
def cell(code):
    """Images that show their labels as one bright pixel, and others that show nothing."""
    y = torch.arange(60) % 10
    part = Split.of((torch.eye(10)[y], y), classes=10)
    make = code.cells.perceptron(part.x[0])
    return code.cells.Cell("bright", "perceptron", make, part, part, part, torch.zeros(20, 10), 2)


def known(x):
    """0.8 for the bright pixel, the rest shared alike; all alike where none is bright."""
    sure = RIGHT * x + (1 - RIGHT) / 9 * (1 - x)
    return torch.where(x.sum(1, keepdim=True) > 0, sure, torch.full_like(x, 0.1)).double()


def of_known(code):
    def fit(task):
        for epoch in range(1, task.epochs + 1):
            task.watch(epoch, known)
        return code.task.Fitted(known, lambda: (0.25, known), note="known")

    return code.task.Method(fit)


def test_figures_are_those_of_the_probabilities(code, cell):
    record = code.peers.record_of(cell, "known", of_known(code), 0.1, 0)
    assert record.nll == pytest.approx(-math.log(RIGHT), abs=1e-6)
    assert record.validation_nll == record.nll
    assert record.accuracy == record.kept_accuracy == 1
    assert record.ece == pytest.approx(1 - RIGHT, abs=1e-6)
    assert record.brier == pytest.approx((1 - RIGHT) ** 2 * (1 + 1 / 9), abs=1e-6)
    assert record.auroc == 1  # all rows without a label are less sure than those with one
    assert [loss for _, loss in record.looks] == pytest.approx([record.nll] * 2)
    assert (record.kept, record.note) == (0.25, "known")


def test_auroc_counts_the_pairs_that_are_told_apart(code):
    sure, unsure = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    inside, outside = torch.cat([sure, sure, sure, unsure]), torch.cat([sure, unsure])
    y = torch.zeros(4, dtype=torch.long)
    # of eight pairs three are right, and four are ties
    assert code.figures.judged(inside, y, outside)["auroc"] == (3 + 4 / 2) / 8


def test_what_a_look_costs_is_off_the_clock(code, monkeypatch):
    clock = iter([100.0, 103.0, 110.0, 115.0, 145.0])  # start, look, back, look, back
    monkeypatch.setattr(code.task, "processor_seconds", lambda: next(clock))
    watch = code.task.Watch(lambda predict: 1.0, epochs=20)
    watch.start()
    for epoch in range(1, 5):
        watch(epoch, known)
    assert watch.seen == [(3.0, 1.0), (8.0, 1.0)]  # of every second epoch


def records_of(code, cell, **rates):
    """Records at the rates 0.1 and 0.2, with the log losses of held-out rows that are given."""
    made = code.peers.record_of(cell, "known", of_known(code), 0.1, 0)
    return [
        replace(made, method=name, rate=rate, validation_nll=loss)
        for name, losses in rates.items()
        for rate, loss in zip((0.1, 0.2), losses, strict=False)
    ]


def test_the_rate_is_chosen_on_rows_that_are_held_out(code, cell):
    records = records_of(code, cell, first=(0.5, 0.4), second=(0.3,))
    records[1] = replace(records[1], nll=99.0)  # of the test part, which has no say
    assert code.figures.chosen(records, "first", 0, (0.1, 0.2)) == 0.2
    assert code.figures.chosen(records, "second", 0, (0.1, 0.2)) is None


def test_the_table_has_what_is_finished_and_says_what_is_not(code, cell, capsys, monkeypatch):
    ordinary = code.methods.ORDINARY
    records = records_of(code, cell, **{ordinary: (0.5, 0.4), "slow": (0.5, 0.4), "cut": (0.3,)})
    records = [
        replace(r, looks=[(1.0, 3.0), (2.0, 2.0)] if r.method == "slow" else [(0.5, 1.5)])
        for r in records
    ]
    known_methods = dict.fromkeys((ordinary, "slow", "cut"), of_known(code))
    monkeypatch.setattr(code.table, "METHODS", known_methods)
    code.table.print_table(cell, records, list(known_methods), [0], (0.1, 0.2))
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| ")}
    assert "cut" not in rows
    assert lines[-1] == "Not finished: cut."
    assert " | never | 2.0 | 25.0 | 100.00 |" in rows["slow"]
    assert " | 0.5 | 0.5 | 25.0 | 100.00 |" in rows[ordinary]
    assert " | 0.2 | 100.00 | 0.223 | " in rows["slow"]
    code.table.print_rates(records, list(known_methods), 0, (0.1, 0.2))
    assert capsys.readouterr().out.splitlines()[-1] == "| slow | 0.500 | 0.400 |"  # cut has no row


def test_a_fit_whose_file_is_there_is_not_made_again(code, cell, tmp_path, monkeypatch):
    method = of_known(code)
    monkeypatch.setitem(code.peers.METHODS, "known", method)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # put back after the test
    path = code.peers.file_of(tmp_path, "known", 0.1, 0)
    code.peers.fitted(path, cell, "known", 0.1, 0)
    monkeypatch.setattr(code.peers.multiprocessing, "get_context", lambda way: pytest.fail(way))
    code.peers.in_a_process(tmp_path, cell, "known", 0.1, 0)
    (records,) = code.peers.records(tmp_path)
    assert json.loads(json.dumps(asdict(records))) == json.loads(path.read_text())


def test_a_method_that_is_not_installed_is_skipped_with_the_reason(
    code, tmp_path, capsys, monkeypatch
):
    method = replace(of_known(code), package="no_such_package")
    monkeypatch.setitem(code.peers.METHODS, "absent", method)
    code.peers.main(["--quick", "--print", "--out", str(tmp_path), "--methods", "absent"])
    assert "absent: skipped, no_such_package is not installed" in capsys.readouterr().out


def test_swag_draws_have_its_moments(code):
    """Mean w̄ and covariance Σ_diag / 2 + D Dᵀ / 2 (K − 1), written out by hand."""
    net = nn.Linear(2, 1, bias=False)
    kept = [torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 1.0]]), torch.tensor([[2.0, 5.0]])]
    gaussian = code.swag.Gaussian(net)
    means = []
    for weights in kept:
        net.weight.data = weights.clone()
        gaussian.keep()
        means.append(torch.cat(kept[: len(means) + 1]).mean(0))
    rows = torch.cat(kept)
    deviations = rows - torch.stack(means)
    expected = rows.var(0, unbiased=False).diag() / 2 + deviations.T @ deviations / 4
    torch.testing.assert_close(gaussian.mean, rows.mean(0))
    with torch.no_grad():
        draws = torch.stack([gaussian.drawn(torch.eye(2)).flatten() for _ in range(1000)])
    torch.testing.assert_close(net.weight.data, kept[-1])  # put back
    error = (expected.diag() / len(draws)).sqrt()
    assert ((draws.mean(0) - rows.mean(0)).abs() < 5.5 * error).all()
    spread = (expected.diag()[:, None] * expected.diag() + expected**2) / len(draws)
    assert ((draws.T.cov() - expected).abs() < 5.5 * spread.sqrt()).all()


METHODS = (
    "ordinary net", "MC dropout", "ensemble of 4", "SWAG", "last-layer Laplace", "IVON",
    "bayesian-torch", "TyXe", "Pyro, AutoNormal", "GaussianNet", "GaussianNet, λ = 0.1",
    "SpikeAndSlabNet", "BayesianCompressionNet",
)  # fmt: skip


def test_the_methods_are_those_tested(code):
    assert tuple(code.methods.METHODS) == METHODS


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_every_method_gives_probabilities(code, cell, name):
    method = code.methods.METHODS[name]
    if method.package is not None:
        pytest.importorskip(method.package)
    seen = []

    def look(predict):
        seen.append(predict(cell.test.x))
        return 1.0

    watch = code.task.Watch(look, cell.epochs)
    task = code.task.Task(
        cell.net, cell.train, cell.validation, cell.epochs, cell.batch_size,
        0.003 * method.rate, 0, watch,
    )  # fmt: skip
    watch.start()
    done = method.fit(task)
    assert watch.seen
    for predicted in (*seen, done.predict(cell.test.x), done.predict(cell.outside)):
        assert predicted.shape[1] == 10
        torch.testing.assert_close(predicted.sum(1), torch.ones(len(predicted)).double())
    if done.smaller is not None:
        kept, left = done.smaller()
        assert 0 < kept <= 1
        assert left(cell.test.x).shape == (60, 10)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["perceptron", "convolutional"])
def test_the_quick_command_prints_a_row_for_all_that_is_installed(code, tmp_path, net):
    words = [str(BENCHMARKS / "peers.py"), "--quick", "--net", net, "--out", str(tmp_path)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        capture_output=True, text=True, env=env, timeout=900,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for name, method in code.methods.METHODS.items():
        said = f"| {name} |" if code.peers.is_installed(method) else f"{name}: skipped, "
        assert said in run.stdout, run.stderr
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    again = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        capture_output=True, text=True, env=env, timeout=900,
    )  # fmt: skip
    assert again.stdout == run.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == files
