"""Fits over a range of KL weights on the command line, and what is asked of them."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

import bayesnas as bn
from bayesnas.cli.arguments.values import KLRange, kl_weight
from bayesnas.cli.main import main

FIT = ["fit", "gaussian-net", "--hidden", "16", "--lr", "0.01", "--draws", "4", "--quiet"]
MEASURES = {"accuracy", "nll", "ece", "stability", "parameters"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run over a range and one at a single KL weight; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    assert main([*FIT, "--steps", "60", "--kl-weight", "0.1:10", "--out", f"{folder}/all"]) == 0
    assert main([*FIT, "--steps", "60", "--kl-weight", "1", "--out", f"{folder}/one"]) == 0
    return folder


@pytest.fixture
def runs(folder, tmp_path):
    """A copy of them."""
    shutil.copytree(folder, tmp_path / "runs")
    return tmp_path / "runs"


# fit -----------------------------------------------------------------------------------------


def test_a_range_or_a_number():
    assert kl_weight("2") == 2.0
    assert kl_weight("0.1:100") == KLRange(0.1, 100)


def test_fit_over_a_range_gives_the_numbers_of_the_library(call_json, runs):
    words = ["--steps", 60, "--kl-weight", "0.1:10", "--knots", 3, "--kl-warmup", 0.2]
    output = call_json(*FIT, *words)
    data = bn.data.load("digits")
    model = bn.models.GaussianNet(bn.nn.mlp([64, 16, 10]))
    post = bn.fit(
        model,
        data.train,
        kl_weight=bn.LogUniform(0.1, 10),
        amortize=bn.nn.PiecewiseMap(knots=3),
        kl_warmup=0.2,
        steps=60,
        lr=0.01,
    )
    assert [row["kl_weight"] for row in output["frontier"]] == [0.1, 1.0, 10.0]
    for row in output["frontier"]:
        at = post.at(row["kl_weight"])
        test, train = at.evaluate(data.test, draws=4), at.evaluate(data.train, draws=4)
        assert {name: row[name] for name in ("accuracy", "nll")} == pytest.approx(
            {name: test[name] for name in ("accuracy", "nll")}
        )
        assert (row["elbo"], row["kl"]) == pytest.approx((train["elbo"], train["kl"]))
    assert output["part"] == "test"
    assert output["settings"]["amortization"]["knots"] == 3
    assert output["settings"]["kl_warmup"] == 0.2


def test_fit_over_a_range_prints_a_row_for_each_decade(call, tmp_path):
    code, out, _ = call(*FIT, "--steps", 4, "--kl-weight", "0.1:10", "--out", tmp_path / "a")
    assert code == 0
    first, header, *rest, last = out.splitlines()
    rows, legend = rest[:3], " ".join(rest[3:])
    assert legend.startswith("accuracy, nll, ece, stability: test part; nll: ")
    assert legend.endswith("kept: weights with ρ < 0.99")
    assert first == "GaussianNet 64–16–10 on digits, λ = 0.1…10, 4 steps, seed 0"
    assert header.split()[:2] == ["λ", "accuracy"]
    assert [row.split()[0] for row in rows] == ["0.1", "1", "10"]
    assert last == f"saved in {tmp_path / 'a'}; next: bayesnas frontier {tmp_path / 'a'}"


@pytest.mark.parametrize("amortize", ["linear", "low-rank", "piecewise", "curvature"])
def test_the_kind_of_the_map(call_json, amortize):
    output = call_json(*FIT, "--steps", 2, "--kl-weight", "0.5:2", "--amortize", amortize)
    assert output["settings"]["amortization"]["kind"] == amortize


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--knots", 4], "--knots needs a range of KL weights, as in --kl-weight 0.1:100"),
        (["--amortize", "linear", "--kl-weight", 3], "got --kl-weight 3"),
        (["--kl-weight", "1:2", "--amortize", "linear", "--knots", 3], "--knots needs --amortize"),
        (["--kl-weight", "1:2", "--amortize", "curvature", "--knots", 1], "number >= 2, got 1"),
        (["--kl-weight", "1:2", "--knots", 1], "--knots must be a whole number >= 2, got 1"),
        (["--kl-warmup", 2], "--kl-warmup must be a fraction in [0, 1], got 2"),
    ],
)
def test_fit_refuses_what_does_not_go_together(call, words, message):
    code, out, err = call(*FIT, "--steps", 2, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_fit_saves_the_posterior_that_held_out_rows_choose(call, tmp_path):
    out = tmp_path / "run"
    words = [*FIT, "--steps", 4, "--kl-weight", "validation"]
    code, text, err = call(*words)
    assert (code, text) == (2, "")
    assert "kl_weight validation needs rows to choose on" in err
    code, text, _ = call(*words, "--validation", "0.2", "--out", out)
    assert code == 0
    kl_weight = bn.load(out).kl_weight
    assert f"λ = {kl_weight:g}," in text
    assert bn.load(out / "range").at(kl_weight).kl_weight == kl_weight


@pytest.mark.parametrize("text", ["3:1", "0:1", "1:1", "a:b", "1:2:3", "1:inf", "1:nan", "x"])
def test_a_range_must_be_one(capsys, text):
    with pytest.raises(SystemExit) as stop:
        main([*FIT, "--kl-weight", text])
    assert stop.value.code == 2
    assert f"or a range LOW:HIGH with 0 < LOW < HIGH, got '{text}'" in capsys.readouterr().err


# prune and report ----------------------------------------------------------------------------


def test_prune_and_report_need_a_kl_weight_of_the_range(call, runs):
    for words in (["prune", runs / "all", "--fraction", 0.5], ["report", runs / "all"]):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert "--kl-weight must be given" in err
        assert "range 0.1…10" in err
        code, out, err = call(*words, "--kl-weight", 11)
        assert (code, out) == (2, "")
        assert "--kl-weight must be in the fitted range [0.1, 10], got 11" in err


def test_prune_at_a_kl_weight(call_json, runs, tmp_path):
    words = ["--fraction", 0.5, "--kl-weight", 2, "--draws", 4, "--out", tmp_path / "half"]
    output = call_json("prune", runs / "all", *words)
    expected = bn.load(runs / "all").at(2.0).prune(fraction=0.5)
    data = bn.data.load("digits")
    assert output["metrics"]["after"] == expected.evaluate(data.test, draws=4)
    loaded = bn.load(tmp_path / "half")
    assert loaded.kl_weight == 2
    assert loaded.evaluate(data.test, draws=4) == output["metrics"]["after"]


@pytest.mark.slow
def test_report_at_a_kl_weight_says_so(call_json, runs):
    output = call_json("report", runs / "all", "--kl-weight", 2, "--draws", 4)
    assert "at KL weight λ = 2, of one fit over λ = 0.1…10." in output["caption"]
    assert "of one fit" not in call_json("report", runs / "one", "--draws", 4)["caption"]


def test_a_run_at_one_kl_weight_has_no_other(call, call_json, runs):
    assert call_json("prune", runs / "one", "--fraction", 0.5, "--kl-weight", 1, "--draws", 2)
    code, _, err = call("prune", runs / "one", "--fraction", 0.5, "--kl-weight", 2)
    assert code == 2
    assert "--kl-weight must be 1, or left out" in err


# frontier ------------------------------------------------------------------------------------


def test_frontier_measures_on_the_parts_it_names(call_json, runs, tmp_path):
    words = ["--kl-weights", 0.1, 3, "--separate", runs / "one", "--draws", 4]
    output = call_json(
        "frontier", runs / "all", *words, "--csv", tmp_path / "f.csv", "--threshold", 0.8
    )
    data, post = bn.data.load("digits"), bn.load(runs / "all")
    test = post.frontier([0.1, 3], data.test, draws=4, threshold=0.8)
    train = post.frontier([0.1, 3], data.train, draws=4)
    assert [row["kl_weight"] for row in output["frontier"]] == [0.1, 3]
    for name in MEASURES:
        assert [row[name] for row in output["frontier"]] == test[name].values.tolist()
    for name in ("elbo", "kl", "expected_log_lik"):
        assert [row[name] for row in output["frontier"]] == train[name].values.tolist()
    (separate,) = output["separate"]
    one = bn.load(runs / "one")
    assert separate["run"] == str(runs / "one")
    assert separate["accuracy"] == one.evaluate(data.test, draws=4)["accuracy"]
    assert separate["elbo"] == one.evaluate(data.train, draws=4)["elbo"]
    kept = one.prune(threshold=0.8).model.keep_masks().values()
    assert separate["parameters"] == sum(int(mask.sum()) for mask in kept)
    with (tmp_path / "f.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["run"] for row in rows] == [str(runs / "all")] * 2 + [str(runs / "one")]
    assert float(rows[1]["elbo"]) == output["frontier"][1]["elbo"]
    with Image.open(runs / "all" / "frontier.png") as picture:
        assert picture.width > 1000


def test_frontier_prints_thirteen_kl_weights_by_default(call, runs, tmp_path):
    code, out, _ = call("frontier", runs / "all", "--draws", 0, "--out", tmp_path / "f.pdf")
    assert code == 0
    first, header, *rest, last = out.splitlines()
    rows = rest[:13]
    assert "test part" in first
    assert "kept" in header
    kl_weights = np.array([float(row.split()[0]) for row in rows])
    np.testing.assert_allclose(kl_weights, np.geomspace(0.1, 10, 13), rtol=1e-3)
    assert last == f"picture: {tmp_path / 'f.pdf'}"
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["all", "--kl-weights", 1, 20], "must be in the fitted range [0.1, 10], got 20"),
        (["one"], "RUN must be fitted over a range of KL weights"),
        (["all", "--separate", "all"], "--separate must name runs at one KL weight each"),
        (["all", "--separate", "none"], "none"),
        (["all", "--out", "f.txt"], "--out must end in .png, .pdf, .svg"),
        (["all", "--csv", "nowhere/f.csv"], "there is no folder nowhere"),
        (["all", "--threshold", 2], "--threshold must be in [0, 1]"),
        (["all", "--draws", -1], "--draws must be a whole number >= 0"),
    ],
)
def test_frontier_refuses_bad_input_before_measuring(call, runs, monkeypatch, words, message):
    monkeypatch.chdir(runs)
    code, out, err = call("frontier", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not (runs / "all" / "frontier.png").exists()


def test_separate_runs_must_be_of_the_same_data(call, runs):
    other = [*FIT, "--steps", 2, "--test", 0.5, "--out", runs / "other"]
    assert call(*other)[0] == 0
    code, _, err = call("frontier", runs / "all", "--separate", runs / "other")
    assert code == 2
    assert "--separate must name runs on the same training data" in err
