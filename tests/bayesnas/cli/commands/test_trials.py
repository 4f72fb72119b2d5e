"""``bayesnas search`` and ``bayesnas sweep``."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys

import pytest
import xarray as xr

import bayesnas as bn
from bayesnas.cli.arguments.trials import varied
from bayesnas.cli.commands.trials import outcome
from bayesnas.cli.commands.trials.fit_trial import FitTrial

FIT = ("--", "gaussian-net", "--data", "digits", "--hidden", "5", "--steps", "4")


@pytest.fixture
def call_trials(call):
    def call_trials(command, *words):
        code, out, err = call(command, "--json", *words)
        assert code == 0, err
        return json.loads(out)

    return call_trials


def test_a_sweep_is_a_row_and_a_run_folder_a_trial(call_trials, tmp_path, monkeypatch):
    out = tmp_path / "sweep"
    words = ("sweep", "--vary", "kl-weight=0.1,1", "--vary", "seed=0,1", "--out", out)
    words += ("--objective", "nll,kl")
    output = call_trials(*words, *FIT)
    with (out / "table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    combinations = [(row["kl-weight"], row["seed"]) for row in rows]
    assert combinations == [("0.1", "0"), ("0.1", "1"), ("1.0", "0"), ("1.0", "1")]
    data = bn.data.load("digits", validation=0.2)
    for row in rows:
        post = bn.load(row["run"])
        assert (post.kl_weight, post.settings.seed) == (float(row["kl-weight"]), int(row["seed"]))
        assert float(row["nll"]) == post.evaluate(data.validation, draws=32)["nll"]
        assert float(row["kl"]) == post.evaluate(data.train, draws=32)["kl"]
    with xr.open_dataset(out / "table.nc", engine="h5netcdf") as dataset:
        assert dataset.sizes == {"trial": 4}
        assert [float(v) for v in dataset["nll"]] == [float(row["nll"]) for row in rows]
    assert {"front.png", "history.png", "parallel.png", "hypervolume.png"} <= set(output["files"])
    assert set(output["reference"]) == {"nll", "kl"}
    assert output["hypervolume"] >= 0

    monkeypatch.setattr(outcome, "PLOTS", ())
    # A row that was lost is made again; what is finished is loaded, not fitted.
    shutil.rmtree(rows[2]["run"])
    again = call_trials(*words, "--resume", *FIT)
    assert [t["nll"] for t in again["trials"]] == [t["nll"] for t in output["trials"]]


def test_a_search_says_the_best_as_a_command(call_trials, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "PLOTS", ())
    words = ("search", "--vary", "lr=1e-3:0.1:log", "--vary", "hidden=4|6,5", "--trials", "3")
    words += ("--strategy", "random", "--objective", "bound", "--out", tmp_path / "s")
    output = call_trials(*words, "--", "gaussian-net", "--data", "digits", "--steps", "3")
    bounds = {t["trial"]: t["bound"] for t in output["trials"]}
    assert output["objectives"] == {"bound": "maximise"}
    assert bounds[output["best"]] == max(bounds.values())
    best = output["trials"][output["best"]]["candidate"]
    assert output["command"][-4:] == ["--lr", str(best["lr"]), "--hidden", str(best["hidden"])]
    assert output["command"][:3] == ["bayesnas", "fit", "gaussian-net"]


def test_any_model_varies(tmp_path):
    trial = FitTrial(("--data", "digits", "--steps", "2"), tmp_path, "validation", 2)
    for model in ("gaussian-net", "spike-and-slab-net"):
        metrics = trial({"model": model, "hidden": "4", "seed": 1})
        assert {"nll", "error", "bound", "parameters_kept"} <= set(metrics)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "--vary", "lr=3:1", "--out", "o", *FIT], "with LOW < HIGH"),
        (["search", "--vary", "lr=0:1:log", "--out", "o", *FIT], "with LOW < HIGH"),
        (["search", "--vary", "seed=1,1", "--out", "o", *FIT], "must have different values"),
        (["search", "--vary", "out=a,b", "--out", "o", *FIT], "can't vary 'out'"),
        (["search", "--vary", "lr", "--out", "o", *FIT], "must be NAME=VALUES"),
        (["search", "--vary", "lr=1,2", "--objective", "nl", "--out", "o", *FIT], "did you mean"),
        (["sweep", "--vary", "lr=0.1:1", "--out", "o", *FIT], "counted values in a sweep"),
        (["sweep", "--vary", "steps=1,2", "--out", "o", *FIT], "options that FIT leaves open"),
        (["sweep", "--vary", "lr=1,2", "--vary", "lr=3", "--out", "o", *FIT], "different options"),
        (["search", "--vary", "lr=1,2", "--trials", "0", "--out", "o", *FIT], "--trials must be"),
        (["search", "--vary", "lr=1,2", "--strategy", "rando", "--out", "o", *FIT], "'random'"),
        (["search", "--vary", "hiden=1,2", "--out", "o", *FIT], "did you mean '--hidden'?"),
        (["search", "--vary", "lr=1,2", "--trails", "3", "--out", "o", *FIT], "'--trials'"),
        (["search", "--out", "o", *FIT], "vary or graph must say what varies, got neither"),
        (
            ["sweep", "--vary", "lr=1,2", "--out", "o", *FIT, "--json"],
            "--json must stand before --",
        ),
        (["sweep", "--vary", "kl-weight=0.1:1|2", "--out", "o", *FIT], "must be one number"),
    ],
)
def test_bad_input_is_refused_in_a_line(words, said, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(words, said)
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_is_there_is_not_written_over(call, call_trials, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "PLOTS", ())
    words = ("sweep", "--vary", "seed=0,1", "--out", tmp_path / "s")
    call_trials(*words, *FIT)
    before = (tmp_path / "s" / "study.journal").read_bytes()
    code, _, err = call(*words, *FIT)
    assert code == 2
    assert "go on with it by --resume" in err
    assert (tmp_path / "s" / "study.journal").read_bytes() == before


def test_ctrl_c_writes_what_is_done_and_says_how_to_go_on(call, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "PLOTS", ())
    judged, trials = FitTrial.__call__, []

    def interrupted(self, candidate):
        trials.append(candidate)
        if len(trials) == 3:
            signal.raise_signal(signal.SIGINT)
        return judged(self, candidate)

    out = tmp_path / "s"
    words = ("sweep", "--json", "--vary", "seed=0,1,2,3", "--out", out)
    monkeypatch.setattr(FitTrial, "__call__", interrupted)
    code, text, err = call(*words, *FIT)
    assert code == 130
    assert "interrupted after 2 of 4 trials; --resume goes on with it in" in err
    states = [trial["state"] for trial in json.loads(text)["trials"]]
    assert states == ["complete"] * 2 + ["waiting"] * 2
    with (out / "table.csv").open() as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == states
    assert call(*words, "--resume", *FIT)[0] == 0
    assert len(trials) == 3 + 2


@pytest.mark.parametrize("name", ["none/study.db", "text.journal", "study.txt"])
def test_a_storage_that_cannot_be_one_is_named_and_nothing_is_written(
    name, refused, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.journal").write_text("some text of mine")
    refused(["sweep", "--vary", "seed=0,1", "--storage", name, "--out", "o", *FIT], "storage")
    assert [path.name for path in tmp_path.iterdir()] == ["text.journal"]
    assert (tmp_path / "text.journal").read_text() == "some text of mine"


def test_a_study_of_other_values_is_refused_and_stays(call, call_trials, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "PLOTS", ())
    words = ("sweep", "--out", tmp_path / "s", "--resume")
    call_trials(*words, "--vary", "seed=0,1", *FIT)
    before = (tmp_path / "s" / "study.journal").read_bytes()
    code, _, err = call(*words, "--vary", "seed=0,2", *FIT)
    assert code == 2
    assert "space must be that of the study 'sweep'" in err
    other_fit = (*FIT[:-1], "5", "--device", "cpu")
    code, _, err = call(*words, "--vary", "seed=0,1", *other_fit)
    assert code == 2
    assert "fit must be that of the trials of the study 'sweep'" in err
    code, _, err = call(*words, "--draws", "5", "--vary", "seed=0,1", *FIT)
    assert code == 2
    assert "--draws must be that of the trials of the study 'sweep', 32, got 5" in err
    assert (tmp_path / "s" / "study.journal").read_bytes() == before
    call_trials(*words, "--vary", "seed=0,1", *FIT, "--device", "cpu")  # as another machine may say


def test_values_with_colons_or_commas_are_told_apart():
    assert varied("hidden=300,100|none").words == ("300,100", "none")
    assert varied("inclusion=0.1:0.9").scale == "linear"


@pytest.mark.slow
def test_two_processes_make_a_sweep_together(tmp_path):
    words = ["sweep", "--vary", "seed=0,1,2,3", "--out", str(tmp_path / "s"), "--json", "--resume"]
    command = [sys.executable, "-m", "bayesnas", *words, *FIT]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    last = max(map(json.loads, outputs), key=lambda c: sum("nll" in t for t in c["trials"]))
    assert [t["state"] for t in last["trials"]] == ["complete"] * 4
