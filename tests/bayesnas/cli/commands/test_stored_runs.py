"""What is asked of finished runs: predictions, metrics, comparisons, files."""

from __future__ import annotations

import csv
import io
import json

import arviz as az
import numpy as np
import pandas as pd
import pytest
import torch

import bayesnas as bn
from bayesnas.cli.main import main

FIT = ["fit", "gaussian-net", "--standardise", "--steps", "40", "--lr", "0.2", "--quiet"]
FIT += ["--compile", "off", "--draws", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on a table: of its number (two of them) and of its classes; and on images of digits."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(50, 9, 150), "dose": rng.normal(0.01, 0.002, 150)})
    frame["price"] = 100 * frame["age"] + 1e5 * frame["dose"] + rng.normal(size=150) * 50
    frame["kind"] = np.where(frame["price"] > frame["price"].mean(), "high", "low")
    frame[["age", "dose", "price"]].to_csv(folder / "t.csv", index=False)
    frame[["age", "dose", "kind"]].to_csv(folder / "c.csv", index=False)
    frame[["dose", "kind", "price", "age"]].iloc[:20].to_csv(folder / "new.csv", index=False)
    words = {
        "number": ["--data", f"{folder}/t.csv", "--hidden", "none"],
        "wide": ["--data", f"{folder}/t.csv", "--hidden", "4"],
        "classes": ["--data", f"{folder}/c.csv", "--hidden", "4"],
        "range": ["--data", f"{folder}/t.csv", "--hidden", "none", "--kl-weight", "0.1:10"],
    }
    for name, options in words.items():
        assert main([*FIT, *options, "--out", str(folder / name)]) == 0
    return folder


def new_rows(folder, *columns):
    return pd.read_csv(folder / "new.csv")[list(columns)].to_numpy()


# predict -------------------------------------------------------------------------------------


def test_predictions_of_a_number_are_in_its_units(call, folder, tmp_path):
    words = ["predict", folder / "number", "--data", folder / "new.csv", "--draws", 60]
    code, out, err = call(*words)
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["mean", "sd", "lower", "upper"]
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    assert np.abs(columns["mean"] - new_rows(folder, "price")[:, 0]).max() < 2000  # of about 6000
    assert bool(
        (columns["lower"] < columns["mean"]).all() and (columns["mean"] < columns["upper"]).all()
    )
    post = bn.load(folder / "number")
    x, _ = bn.data.read_rows(folder / "new.csv", post.data)
    mean, sd = post.moments(x, 60)
    units = post.data.standardisation
    np.testing.assert_allclose(columns["mean"], units.invert_y(mean), rtol=1e-6)
    np.testing.assert_allclose(columns["sd"], sd * units.y_scale[0], rtol=1e-6)
    assert call(*words, "--out", tmp_path / "p.csv")[0] == 0
    assert (tmp_path / "p.csv").read_text() == out


def test_predictions_of_classes_have_the_names_of_training(call, call_json, folder, tmp_path):
    words = ["predict", folder / "classes", "--data", folder / "new.csv", "--draws", 40]
    rows = call_json(*words)["predictions"]
    assert list(rows[0]) == ["label", "probability_high", "probability_low"]
    assert call(*words, "--out", tmp_path / "p.npz")[0] == 0
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert arrays["classes"].tolist() == ["high", "low"]
        assert arrays["label"].tolist() == [row["label"] for row in rows]
        np.testing.assert_allclose(arrays["probability"].sum(1), 1, rtol=1e-5)
    right = new_rows(folder, "kind")[:, 0]
    assert np.mean(right == [row["label"] for row in rows]) > 0.6


def test_predictions_of_one_probability_and_of_several_labels(call_json, tmp_path):
    x = torch.randn(40, 3)
    for name, y in (("one", (x[:, 0] > 0).long()), ("several", (x > 0).long())):
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        data = bn.data.load(tmp_path / f"{name}.npz")
        net = bn.nn.mlp([3, 1 if name == "one" else 3])
        model = bn.models.GaussianNet(net, likelihood="bernoulli")
        bn.fit(model, data.train, steps=5, out=tmp_path / name, progress=False)
    np.savez(tmp_path / "new.npz", x=x[:2])
    words = ["--data", tmp_path / "new.npz", "--draws", 3]
    row = call_json("predict", tmp_path / "one", *words)["predictions"][0]
    assert row["probability_0"] + row["probability_1"] == pytest.approx(1, abs=1e-6)
    row = call_json("predict", tmp_path / "several", *words)["predictions"][0]
    assert list(row) == [f"{name}_{i}" for name in ("label", "probability") for i in range(3)]


def test_a_run_over_a_range_predicts_at_one_kl_weight(call, call_json, folder):
    words = ["predict", folder / "range", "--data", folder / "new.csv", "--draws", 5]
    code, _, err = call(*words)
    assert (code, "--kl-weight must be given" in err) == (2, True)
    assert call_json(*words, "--kl-weight", 3)["kl_weight"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "absent.csv"], "there is no data file absent.csv"),
        (["--data", "new.csv", "--level", "1"], "--level must be a fraction in (0, 1), got 1"),
        (["--data", "new.csv", "--draws", "0"], "--draws must be a whole number >= 1, got 0"),
        (["--data", "new.csv", "--out", "p.txt"], "--out must end in .csv, .npz, got 'p.txt'"),
        (["--data", "new.csv", "--out", "new.csv"], "new.csv is there already"),
        (["--data", "new.csv", "--out", "absent/p.csv"], "there is no folder absent"),
    ],
)
def test_predict_refuses_bad_input(call, folder, monkeypatch, words, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    code, out, err = call("predict", "number", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["posterior.safetensors", "run.json"])
@pytest.mark.parametrize("command", ["predict", "evaluate", "export", "compare"])
def test_damaged_runs_are_a_sentence(call, tmp_path, name, command):
    xy = torch.randn(20, 2), torch.randn(20)
    model = bn.models.ArdRegression(2)
    bn.fit(model, xy, steps=2, out=tmp_path / "run", progress=False)
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[:-30])
    np.savez(tmp_path / "new.npz", x=xy[0], y=xy[1])
    more = ["--format", "pt2"] if command == "export" else ["--data", tmp_path / "new.npz"]
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call(command, tmp_path / "run", *more)
    assert (code, out) == (2, "")
    assert name in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


# evaluate ------------------------------------------------------------------------------------


def test_evaluate_on_the_parts_and_on_new_rows(call, call_json, folder):
    post = bn.load(folder / "classes")
    data = bn.data.load(**post.data.source.to_dict())
    output = call_json("evaluate", folder / "classes", "--draws", 5)
    for name in ("train", "test"):
        part = getattr(data, name)
        assert output["metrics"][name] == {
            **post.evaluate(part, draws=5),
            **post.metrics(part, draws=5),
        }
    output = call_json("evaluate", folder / "classes", "--data", folder / "new.csv", "--draws", 5,
                      "--target", "kind")  # fmt: skip
    assert output["rows"] == {"new.csv": 20}
    x, y = bn.data.read_rows(folder / "new.csv", post.data, target="kind")
    by_hand = post.predict(x, 5).mean(0).argmax(1) == y
    assert output["metrics"]["new.csv"]["accuracy"] == pytest.approx(float(by_hand.double().mean()))
    code, out, _ = call("evaluate", folder / "number", "--data", folder / "t.csv")
    assert code == 0
    assert "150 rows of t.csv" in out
    assert "rmse, not standardised" in out
    assert "crps, not standardised" in out


def test_evaluate_tells_other_rows_apart(call, call_json, folder, tmp_path):
    lines = ["age,dose"] + [f"{1000 + age},5" for age in range(10)]
    (tmp_path / "far.csv").write_text("\n".join(lines))
    words = ("evaluate", folder / "number", "--out-of-distribution", tmp_path / "far.csv")
    printed = call_json(*words)["out_of_distribution"]
    assert (printed["inside"], printed["rows"]) == ("test", 10)
    assert printed["auroc"] > 0.9
    code, out, _ = call(*words, "--level", 0.5)
    assert (code, "AUROC out of distribution" in out) == (0, True)
    code, _, err = call("evaluate", folder / "number", "--level", 2)
    assert (code, "--level must be a fraction in (0, 1)" in err) == (2, True)


def test_evaluate_gives_the_k_of_a_run(call, call_json, folder):
    words = ("evaluate", folder / "wide", "--draws", 2, "--pareto-k")
    printed = call_json(*words)["pareto_k"]
    data = bn.data.load(folder / "t.csv", standardise=True)
    post = bn.load(folder / "wide")
    assert printed["weights"] == post.pareto_k(data.train, draws=200)
    assert printed["layers"] == post.pareto_k_by_layer(data.train, draws=200)
    k = post.pareto_k_of_predictions(data.test.x, data.train, draws=200)
    assert printed["predictions"] == {
        "part": "test", "largest": k.max().item(), "large": int((k > 0.7).sum())
    }  # fmt: skip
    code, _, err = call("evaluate", folder / "number", "--data", folder / "t.csv", "--pareto-k")
    assert (code, "--pareto-k needs the training data" in err) == (2, True)


def test_evaluate_simulates(call, call_json, folder):
    words = ("evaluate", folder / "number", "--draws", 2, "--simulations", 10, "--device", "cpu")
    found = call_json(*words)["simulations"]
    data, post = bn.data.load(folder / "t.csv", standardise=True), bn.load(folder / "number")
    options = ("steps", "batch_size", "lr", "schedule")
    table = bn.vsbc(
        post.model, data.train, simulations=10, rows=data.test.x[:100], var_names=[], device="cpu",
        progress=False, **{name: getattr(post.settings, name) for name in options},
    ).table()  # fmt: skip
    assert (found["part"], found["predictions"]) == ("test", len(table))
    assert found["spread"] == pytest.approx(table["spread"].mean(), abs=1e-12)
    assert found["shifted"] == int((table["symmetry"] * len(table) < 0.05).sum())
    code, _, err = call("evaluate", folder / "number", "--simulations", 3)
    assert (code, "--simulations must be a whole number >= 10" in err) == (2, True)
    code, _, err = call(
        "evaluate", folder / "number", "--data", folder / "t.csv", "--simulations", 10
    )
    assert (code, "--simulations needs the training data" in err) == (2, True)


def test_evaluate_needs_targets(call, folder, tmp_path):
    (tmp_path / "bare.csv").write_text("age,dose\n50,0.01\n")
    code, _, err = call("evaluate", folder / "number", "--data", tmp_path / "bare.csv")
    assert (code, "data must have targets" in err) == (2, True)
    code, _, err = call(
        "evaluate", folder / "number", "--data", folder / "new.csv", "--standardise"
    )
    assert (code, "--standardise can't come with a file of new rows" in err) == (2, True)


# compare -------------------------------------------------------------------------------------


def test_compare_puts_runs_side_by_side(call, call_json, folder):
    runs = [folder / "number", folder / "wide"]
    output = call_json("compare", *runs, "--draws", 8)
    test = bn.data.load(folder / "t.csv", standardise=True).test
    for run, row in zip(runs, output["runs"], strict=True):
        assert row["rmse"] == bn.load(run).evaluate(test, draws=8)["rmse"]
    assert [row["weights_kept"] for row in output["runs"]] == [3, 17]
    code, out, _ = call("compare", *runs, "--draws", 8)
    assert code == 0
    assert len(out.splitlines()) == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_compare_by_leave_one_out_is_that_of_arviz(call_json, folder):
    runs = [folder / "number", folder / "wide"]
    rows = {row["run"]: row for row in call_json("compare", *runs, "--loo", "--quiet")["loo"]}
    train = bn.data.load(folder / "t.csv", standardise=True).train
    for run in runs:
        post = bn.load(run)
        options = {"draws": 1000, "data": train}
        new = az.__version__ >= "1"
        tree = post.to_arviz(**options) if new else post.to_inference_data(**options)
        loo = az.loo(tree, reff=1.0)
        elpd = loo.elpd if hasattr(loo, "elpd") else loo.elpd_loo
        assert rows[str(run)]["elpd"] == pytest.approx(float(elpd), rel=1e-6)
    assert sum(row["weight"] for row in rows.values()) == pytest.approx(1)


def test_compare_refuses_other_rows(call, folder):
    code, _, err = call("compare", folder / "number", folder / "classes")
    assert (code, "RUN must be judged on the same rows" in err) == (2, True)
    code, _, err = call("compare", folder / "number", folder / "number")
    assert (code, "RUN must be different folders" in err) == (2, True)


# export --------------------------------------------------------------------------------------


def test_export_writes_what_others_open(call, folder, tmp_path):
    raw = torch.tensor(new_rows(folder, "age", "dose"), dtype=torch.float32)
    expected = bn.load(folder / "wide").compact(standardise=True)(raw)
    for kind, suffix in (("pt2", ".pt2"), ("safetensors", ".safetensors"), ("netcdf", ".nc")):
        path = tmp_path / f"a{suffix}"
        words = ["export", folder / "wide", "--format", kind, "--out", path, "--draws", 9]
        code, out, err = call(*words)
        assert code == 0, err
        assert f"bytes in {path}" in out
        assert call(*words)[0] == 2  # it is there
    torch.testing.assert_close(torch.export.load(tmp_path / "a.pt2").module()(raw), expected)
    torch.testing.assert_close(bn.nn.load_net(tmp_path / "a.safetensors")(raw), expected)
    tree = az.from_netcdf(tmp_path / "a.nc")
    assert tree["log_likelihood"]["y"].shape == (1, 9, 120)
    assert np.abs(expected.detach().numpy()[:, 0] - new_rows(folder, "price")[:, 0]).max() < 2000


def test_export_codes_a_sample_of_the_posterior(call, folder, tmp_path):
    path = tmp_path / "a.bin"
    words = ["export", folder / "wide", "--format", "code", "--out", path]
    code, out, err = call(*words, "--size", 2500)
    assert (code, err) == (0, "")
    assert path.stat().st_size <= 2500
    assert f"{path.stat().st_size:,} bytes in {path}" in out
    raw = torch.tensor(new_rows(folder, "age", "dose"), dtype=torch.float32)
    assert bn.decode(path)(raw).isfinite().all()
    code, _, err = call(*words, "--size", 2500)
    assert (code, "is there already" in err) == (2, True)
    code, _, err = call("export", folder / "wide", "--format", "code", "--size", 10)
    assert (code, "--size must be at least" in err) == (2, True)
    for more in ([], ["--size", "100", "--format", "pt2"]):
        code, _, err = call("export", folder / "wide", "--format", "code", *more)
        assert (code, "--size must be given for --format code, and for no other" in err) == (
            2,
            True,
        )


def test_export_refuses_another_ending(call, folder):
    code, _, err = call("export", folder / "wide", "--format", "pt2", "--out", "a.nc")
    assert (code, "--out must end in .pt2 for --format pt2" in err) == (2, True)
    code, _, err = call("export", folder / "range", "--format", "pt2")
    assert (code, "--kl-weight must be given" in err) == (2, True)


def test_metadata_names_the_columns(folder, tmp_path):
    bn.load(folder / "classes").export(tmp_path / "net.pt2")
    extra = {"bayesnas.json": ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    metadata = json.loads(extra["bayesnas.json"])
    assert metadata["inputs"]["names"] == ["age", "dose"]
    assert metadata["outputs"]["classes"] == ["high", "low"]
