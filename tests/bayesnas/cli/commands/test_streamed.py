"""Runs on a folder of arrays that is read row by row: the numbers of the same run in memory."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib

import numpy as np
import pytest

import bayesnas as bn
from bayesnas.cli.main import main

FIT = ["fit", "gaussian-net", "--hidden", "4", "--validation", "0.2", "--epochs", "2"]
FIT += ["--batch-size", "16", "--patience", "9", "--compile", "off", "--draws", "2", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The arrays, and a run on them read either way."""
    folder = tmp_path_factory.mktemp("runs")
    x = np.random.default_rng(0).integers(0, 9, (60, 2, 3), dtype=np.uint8)
    (folder / "data").mkdir()
    np.save(folder / "data" / "x.npy", x)
    np.save(folder / "data" / "y.npy", x[:, 0].argmax(1))
    np.save(folder / "new.npy", x[:7])
    for name, options in (("streamed", ["--stream"]), ("memory", [])):
        out = ["--out", str(folder / name)]
        assert main([*FIT, "--data", str(folder / "data"), *options, *out]) == 0
    return folder


def test_a_run_has_the_numbers_of_one_in_memory(folder):
    here, there = (bn.load(folder / name) for name in ("memory", "streamed"))
    assert here.history().equals(there.history())
    assert there.data.source.streamed
    options = tomllib.loads((folder / "streamed" / "run.toml").read_text())
    assert options["stream"] is True
    assert options["data"] == str(folder / "data")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_what_is_asked_of_it_is_the_same(call_json, folder, command):
    words = ["--draws", 3] if command == "evaluate" else ["--data", folder / "new.npy"]
    here, there = (call_json(command, folder / name, *words) for name in ("memory", "streamed"))
    assert here.keys() == there.keys()
    for key in ("metrics", "predictions", "rows"):
        assert here.get(key) == there.get(key)


def test_predictions_are_those_of_the_rows_in_an_npz(call, folder, tmp_path):
    np.savez(tmp_path / "new.npz", x=np.load(folder / "new.npy"))
    tables = []
    for file in (folder / "new.npy", tmp_path / "new.npz"):
        code, out, err = call("predict", folder / "streamed", "--data", file, "--draws", 5)
        assert code == 0, err
        tables.append(list(csv.DictReader(io.StringIO(out))))
    assert len(tables[0]) == 7
    assert tables[0] == tables[1]


def test_it_goes_on_and_is_found_finished(call, folder):
    words = [*FIT, "--data", folder / "data", "--stream", "--out", folder / "streamed", "--resume"]
    code, _, err = call(*words)
    assert code == 0, err
    code, _, err = call(*[word for word in words if word != "--stream"])
    assert code != 0
    assert "data" in err


@pytest.mark.slow
def test_every_command_takes_it(call, folder, tmp_path):
    run = folder / "streamed"
    for words in (
        ["report", run, "--out", tmp_path / "report.png"],
        ["prune", run, "--fraction", "0.5", "--out", tmp_path / "pruned"],
        ["export", run, "--format", "netcdf", "--out", tmp_path / "run.nc"],
        ["export", run, "--format", "pt2", "--out", tmp_path / "run.pt2"],
        ["evaluate", run, "--workers", "1", "--out-of-distribution", folder / "new.npy"],
        ["report", run, "--html", "--out", tmp_path / "report.html"],
    ):
        code, _, err = call(*words)
        assert code == 0, err


def test_what_does_not_go_together_is_named(call, folder):
    data = ["--data", folder / "data"]
    for words, message in (
        ([*FIT, "--stream"], "stream goes with a folder of .npy files.*got 'digits'"),
        ([*FIT, *data, "--workers", "1"], "workers needs --stream"),
        ([*FIT, *data, "--stream", "--standardise"], "--standardise can't come with --stream"),
        (["compress", *data, "--stream"], "compress needs the data in memory"),
        (
            ["prune", folder / "streamed", "--fraction", "0.5", "--by", "fisher"],
            "looks at the loss on the training data",
        ),
        (["evaluate", folder / "memory", "--workers", "1"], "--workers must come with --data"),
    ):
        code, _, err = call(*words)
        assert code != 0
        assert re.search(message, err), err


def test_a_run_says_how_its_data_were_read(folder):
    source = json.loads((folder / "streamed" / "run.json").read_text())["data"]["source"]
    assert source["streamed"] is True
    assert "workers" not in source
