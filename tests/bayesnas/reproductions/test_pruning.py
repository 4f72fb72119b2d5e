"""The homework of pruning criteria, at a tiny size."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.reproductions import Request, pruning
from bayesnas.reproductions.pruning import settings as settings_module
from bayesnas.reproductions.pruning.measure import Measured
from bayesnas.reproductions.pruning.settings import FAMILIES, Settings, pooled

FRACTIONS = (0.5, 0.9)


def tiny(request):
    """400 digits of 4 × 4 pixels, and of 2 × 2."""
    data = bn.data.load("digits")
    part = bn.data.DataSet("digits", data.train.first(400), test=data.test)
    starts = 2 if request.seeds is None else request.seeds
    return Settings("digits", 400, 100, starts, 2, 1, FRACTIONS, (2, 4), batch_size=100), part


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished reproduction, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("reproduction"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruning, "prepare", tiny)
        reproduced = pruning.run(Request(out, say=said.append))
    return reproduced, out, said


@pytest.mark.slow
def test_there_is_a_figure_for_every_criterion_and_share(done):
    reproduced, out, said = done
    assert len(said) == 2 * len(FAMILIES)
    criteria = sum(len(family.rows) for family in FAMILIES)
    assert len(reproduced.comparisons) == criteria * (3 + 2) + 2 * 4  # and ΔF > 0 of four
    for comparison in reproduced.comparisons:
        assert len(comparison.ours) == 2
        assert all(0 <= value <= 1 for value in comparison.ours)
    with (out / "pruning.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == criteria * 2 * len(FRACTIONS)
    assert "| L2, obd |" in (out / "comparison.md").read_text()
    with Image.open(out / "pruning.png") as picture:
        assert picture.width > 1000
    assert "random order" in reproduced.remarks[-1]


@pytest.mark.slow
def test_figures_are_those_of_the_public_calls(done):
    reproduced, _, _ = done
    _, data = tiny(Request(Path()))
    train, test = pooled(data.train, 2), pooled(data.test, 2)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = torch.nn.Linear(16, 10)
    options = {"lr": 1e-2, "batch_size": 100, "l2": 1e-4, "seed": 1, "progress": False}
    options |= {"device": "cpu"}
    trained = bn.prune(net, train, fraction=0.0, epochs=2, **options).module
    smaller = bn.prune(trained, train, fraction=0.5, **options).module
    again = bn.prune(trained, train, fraction=0.5, epochs=1, **options).module

    def accuracy(module):
        return float((module(test.x).argmax(-1) == test.y).double().mean())

    figures = {(c.quantity, *c.labels.values()): c.ours[0] for c in reproduced.comparisons}
    assert figures["accuracy", "L2", "magnitude", "0 %"] == accuracy(trained)
    assert figures["accuracy", "L2", "magnitude", "50 %"] == accuracy(smaller)
    assert figures["accuracy, trained again", "L2", "magnitude", "50 %"] == accuracy(again)


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_another_size_is_refused(done, monkeypatch):
    reproduced, out, said = done
    monkeypatch.setattr(pruning, "prepare", tiny)
    monkeypatch.setattr(bn, "fit", None)
    monkeypatch.setattr(bn, "prune", None)
    again = pruning.run(Request(out, say=said.append))
    assert list(again.comparisons) == list(reproduced.comparisons)
    with pytest.raises(ValueError, match="starts=2, got 3"):
        pruning.run(Request(out, seeds=3))


def test_what_is_no_better_than_chance_is_said():
    settings = Settings("digits", 400, 100, 1, 2, 1, FRACTIONS, (2, 4))
    by_family = {}
    for family in FAMILIES:
        curves = {by: [0.9, 0.8] for by in family.rows} | {"random": [0.5, 0.3]}
        by_family[family.key] = [Measured(0.95, curves, dict(curves))]
    assert pruning.remarks(by_family, settings)[-1].endswith("random order: none.")
    by_family["l1"][0].pruned["obd"] = [0.9, 0.3]
    assert pruning.remarks(by_family, settings)[-1].endswith(": L1, obd, 90 % pruned.")


def test_images_are_averaged_over_squares():
    data = bn.data.load("digits").train
    small = pooled(data.first(3), 4)
    assert small.x.shape == (3, 4)
    expected = np.asarray(data.x[0]).reshape(8, 8)[4:, :4].mean()
    assert float(small.x[0, 2]) == pytest.approx(expected, rel=1e-6)
    assert len(small) == small.info.n == 3


def test_settings_of_a_quick_run_without_mnist(tmp_path, monkeypatch):
    def load(name, **options):
        if name == "mnist":
            raise FileNotFoundError
        return original(name, **options)

    original = bn.data.load
    monkeypatch.setattr(settings_module.bn.data, "load", load)
    settings, data = settings_module.prepare(Request(tmp_path, quick=True))
    assert (settings.data, settings.pooling, settings.starts) == ("digits", (1, 2), 1)
    assert data.name == "digits"
