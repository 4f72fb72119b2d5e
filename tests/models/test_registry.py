"""The registry of models, and what an installed package adds to it."""

from __future__ import annotations

import importlib.metadata
import json

import pytest
import torch

import bayesnas as bn
from bayesnas.cli.main import main
from bayesnas.models import registry
from bayesnas.models.registry import zoo_class


class Ridge(bn.models.ArdRegression):
    """A model of a user's own, described by its arguments."""


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


def register_ridge(**options):
    bn.models.register("ridge", Ridge, title="Ridge", reference="Hoerl 1970", **options)


def test_a_registered_model_is_listed_and_found_by_both_names():
    register_ridge(structural="features")
    record = bn.models.available()["ridge"]
    assert (record.title, record.reference, record.structural) == (
        "Ridge",
        "Hoerl 1970",
        "features",
    )
    assert zoo_class("ridge") is zoo_class("Ridge") is Ridge


def test_a_run_of_a_registered_model_loads_without_it(tmp_path):
    x = torch.randn(20, 3)
    post = bn.fit(Ridge(3), (x, x[:, 0]), steps=3, out=tmp_path / "run")
    with pytest.raises(ValueError, match="model must be one of.*got 'Ridge'"):
        bn.load(tmp_path / "run")
    register_ridge()
    loaded = bn.load(tmp_path / "run")
    assert type(loaded.model) is Ridge
    assert torch.equal(loaded.predict(x, draws=3), post.predict(x, draws=3))


def test_the_command_line_fits_a_registered_model(tmp_path, capsys):
    register_ridge(for_data=lambda data: Ridge(data.train.x.shape[1]))
    words = ["fit", "ridge", "--data", "diabetes", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert main([*words, "--quiet"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["model"]["class"] == "Ridge"
    assert main([*words[:-1], str(tmp_path / "other"), "--hidden", "3"]) != 0
    assert "does not take --hidden" in capsys.readouterr().err


def test_without_a_function_of_the_data_the_command_line_refers_to_python(tmp_path, capsys):
    register_ridge()
    assert main(["fit", "ridge", "--data", "diabetes", "--out", str(tmp_path / "run")]) != 0
    assert "fit it from Python" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "cls", "error", "message"),
    [
        ("gaussian-net", Ridge, ValueError, "'gaussian-net' is GaussianNet"),
        ("Ridge Regression", Ridge, ValueError, "name must be in lower case"),
        ("ridge", torch.nn.Linear, TypeError, "cls must be a subclass of BayesianModel"),
        ("ridge", Ridge(2), TypeError, "cls must be a subclass of BayesianModel"),
        (
            "other",
            type("GaussianNet", (bn.models.ArdRegression,), {}),
            ValueError,
            "'gaussian-net' is GaussianNet",
        ),
    ],
)
def test_what_can_not_be_registered(name, cls, error, message):
    with pytest.raises(error, match=message):
        bn.models.register(name, cls)


def test_a_cell_run_again_registers_the_class_anew():
    register_ridge()
    again = type("Ridge", (Ridge,), {"__module__": __name__, "__qualname__": "Ridge"})
    bn.models.register("ridge", again)
    assert zoo_class("ridge") is again


class EntryPoint:
    def __init__(self, load):
        self.load, self.value = load, "package.models"


def broken():
    raise ImportError("no torch 1.12")


def test_entry_points_register_and_a_broken_one_only_warns(monkeypatch):
    points = {"bayesnas.models": [EntryPoint(broken), EntryPoint(register_ridge)]}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points[group])
    registry._load_entry_points.cache_clear()
    with pytest.warns(RuntimeWarning, match="'package.models' are not registered.*no torch 1.12"):
        models = bn.models.available()
    assert models["ridge"].cls is Ridge
    registry._load_entry_points.cache_clear()
