"""The reproduction of Bayesian compression, at a tiny size."""

from __future__ import annotations

import csv
import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import bayesnas as bn
from bayesnas.inference.compression.plain_networks.pretraining import Pretraining
from bayesnas.reproductions import REPRODUCTIONS, Request, bayesian_compression
from bayesnas.reproductions.bayesian_compression import compare, fits, run, settings
from bayesnas.reproductions.bayesian_compression.figures import plot_frontier
from bayesnas.reproductions.bayesian_compression.settings import Stage

TINY = dataclasses.replace(
    settings.QUICK,
    build=lambda: bn.nn.mlp([64, 12, 10]),
    pretraining=Pretraining(3, 1e-2, (0.1, 0.0)),
    first=Stage(1.0, 0.2, 4, 2e-2),
    groups=(Stage(0.6, 0.2, 1, 1e-2), Stage(0.4, 0.2, 1, 1e-2)),
    weights=(Stage(0.3, 0.2, 1, 1e-2),),
    published=settings.LENET_300_100.published,
)
SIZE = 64 * 12 + 12 * 10


@pytest.fixture(scope="module", autouse=True)
def unrecorded():
    """Recording a step takes longer than the few that are taken here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fits, "COMPILE", False)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished reproduction, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("reproduction"), []
    reproduced = run(TINY, TINY, Request(out, seeds=1, say=said.append))
    return reproduced, out, said


@pytest.mark.slow
def test_every_published_figure_has_ours_beside_it(done):
    rows = {(c.quantity, *c.labels.values()): c for c in done[0].comparisons}
    published = TINY.published
    for prior in settings.PRIORS:
        groups = rows["test error, %", "groups", prior]
        assert (groups.published, len(groups.ours)) == (published[prior].error, 1)
        assert rows["weights kept, %", "groups", prior].published == published[prior].kept
        weights = rows["times smaller, maximum", "weights", prior]
        assert weights.published == published["sparse-vd"].maximum
        assert 0 < rows["test error, %", "groups, at the knee", prior].mean < 100


@pytest.mark.slow
def test_each_stage_keeps_what_it_is_told_and_its_net_makes_the_errors_given(done):
    rows = list(csv.DictReader((done[1] / "stages.csv").read_text().splitlines()))
    ways = [(row["prior"], row["way"], row["index"]) for row in rows]
    stages = [("whole", "0"), ("groups", "0"), ("groups", "1"), ("weights", "0")]
    assert ways == [(prior, *stage) for prior in settings.PRIORS for stage in stages]
    data = bn.data.load("digits")
    for row in rows:
        keep = {"whole": 1.0, "groups": (0.6, 0.4)[int(row["index"])], "weights": 0.3}[row["way"]]
        name = row["way"] if row["way"] == "whole" else f"{row['way']}-{row['index']}"
        folder = done[1] / "fits" / f"{row['prior']}-0" / name
        post = bn.load(folder)
        net = post.model.plain_module()
        left = sum(int((p != 0).sum()) for n, p in net.named_parameters() if n.endswith("weight"))
        assert float(row["kept"]) == pytest.approx(100 * left / SIZE)
        assert 0.5 * keep < left / SIZE <= keep
        assert float(row["pruning"]) == pytest.approx(SIZE / left)
        kept_inputs = folder / "inputs.json"
        inputs = (
            json.loads(kept_inputs.read_text())["inputs"] if kept_inputs.exists() else range(64)
        )
        assert net.layer1.in_features == len(inputs)
        assert row["architecture"].split("-")[0] == str(len(inputs))
        wrong = net(data.test.x[:, list(inputs)]).argmax(1) != data.test.y
        assert float(row["error"]) == pytest.approx(100 * wrong.double().mean().item())


@pytest.mark.slow
def test_a_second_call_reads_what_is_there_and_other_settings_are_refused(done):
    reproduced, out, said = done
    before = {path: path.stat().st_mtime_ns for path in (out / "fits").rglob("*")}
    said_again: list[str] = []
    again = run(TINY, TINY, Request(out, seeds=1, say=said_again.append))
    assert again.comparisons == reproduced.comparisons
    assert {path: path.stat().st_mtime_ns for path in (out / "fits").rglob("*")} == before
    assert not any("epochs" in line or line.startswith("train") for line in said_again)
    assert any("epochs" in line for line in said)
    other = dataclasses.replace(TINY, batch_size=64)
    with pytest.raises(ValueError, match="is of a reproduction with batch_size=128, got 64"):
        run(other, other, Request(out, seeds=1))


def test_a_stage_of_the_whole_net_removes_nothing(tmp_path):
    whole, some = Stage(1.0, 0.2, 1, 1e-2), Stage(0.4, 0.2, 1, 1e-2)
    two = dataclasses.replace(TINY, groups=(whole, some), weights=())
    data = bn.data.load("digits").train
    net = tmp_path / "net.safetensors"
    start = fits.Start(two, "horseshoe", 0, data, tmp_path / "fits", net, Request(tmp_path))
    first, all_left, fewer = start.fitted()
    assert all_left.inputs is None
    sizes = [
        sum(p.numel() for p in f.posterior.model.plain_module().parameters() if p.ndim > 1)
        for f in (all_left, fewer)
    ]
    assert sizes[0] == SIZE
    assert sizes[1] <= 0.4 * SIZE
    means = [f.posterior.model.plain_module().layer1.weight for f in (first, all_left)]
    assert not torch.equal(*means)  # it was fitted on


@pytest.mark.slow
def test_pictures_and_tables_are_written(done):
    for path in done[0].files.values():
        assert path.stat().st_size > 0
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert np.asarray(picture.convert("L")).std() > 5
    assert set(done[0].files) == {
        "comparison.csv", "comparison.md", "stages.csv", "frontier.png", "sweep.png",
        "first-layer.png",
    }  # fmt: skip


def test_a_net_with_fewer_wrong_guesses_comes_first_in_no_row():
    """The table takes all starts, in their order."""

    def row(seed, way, value):
        return bayesian_compression.Measured(
            "horseshoe", seed, way, 0, "1-2", 2.0, value, 3.0, 4.0, 5.0, last=True
        )  # fmt: skip

    rows = [row(0, "groups", 2.5), row(1, "groups", 1.5), row(0, "weights", 7.0)]
    ours = {(c.quantity, *c.labels.values()): c.ours for c in compare(rows, TINY)}
    assert ours["test error, %", "groups", "horseshoe"] == (2.5, 1.5)
    assert ours["test error, %", "weights", "horseshoe"] == (7.0,)


@pytest.mark.parametrize("ways", [("groups", "weights"), ("weights",)])
def test_every_way_has_a_line_from_the_first_fit_and_its_epochs(ways):
    def row(way, index, kept):
        return bayesian_compression.Measured(
            "horseshoe", 0, way, index, "1-2", kept, 2.0, 3.0, 4.0, 5.0, last=True
        )  # fmt: skip

    kept = {"groups": [60, 40], "weights": [9]}
    stages = {way: tuple(Stage(at / 100, 0.2, 3, 1e-2) for at in kept[way]) for way in ways}
    mixed = dataclasses.replace(TINY, **{"groups": (), **stages})
    rows = [row("whole", 0, 100)]
    rows += [row(way, index, at) for way in ways for index, at in enumerate(kept[way])]
    drawn = plot_frontier(rows, mixed, Figure().subplots()).lines
    lines = {
        line.get_label(): list(line.get_xdata()) for line in drawn if len(line.get_xdata()) > 1
    }
    assert lines == {f"horseshoe, {way}": [100, *kept[way]] for way in ways}
    said = bayesian_compression.remarks(mixed, 1)[0]
    assert "3 while single weights go." in said
    assert ("then 6 while groups go, or 3" in said) == ("groups" in ways)
    assert {c.labels["removed"] for c in compare(rows, mixed)} == set(ways)


@pytest.mark.slow
def test_single_weights_may_go_where_groups_have_gone(tmp_path):
    """The second way then begins where the first one ends, and has the one row in the table."""
    both = dataclasses.replace(TINY, weights_from="groups", groups=TINY.groups[:1])
    reproduced = run(both, both, Request(tmp_path, seeds=1, say=lambda _: None))
    ours = [c for c in reproduced.comparisons if c.quantity == "test error, %"]
    published = {c.labels["removed"]: c.published for c in ours if c.labels["prior"] == "horseshoe"}
    assert published == {
        "groups, then weights": TINY.published["horseshoe"].error, "groups, at the knee": None
    }  # fmt: skip
    assert "1 while groups go, then 1 while single weights go." in reproduced.remarks[0]
    rows = list(csv.DictReader((tmp_path / "stages.csv").read_text().splitlines()))
    for prior in settings.PRIORS:
        whole, groups, weights = (row for row in rows if row["prior"] == prior)
        assert [row["last"] for row in (whole, groups, weights)] == ["False", "False", "True"]
        widths = [list(map(int, row["architecture"].split("-"))) for row in (groups, weights)]
        assert all(left <= before for before, left in zip(*widths, strict=True))
        masks = bn.load(tmp_path / "fits" / f"{prior}-0" / "weights-0").model.keep_masks()
        assert not masks["layer1.weight"].all()
        assert float(weights["kept"]) <= 30 < float(groups["kept"])
    measured = [
        bayesian_compression.Measured(
            "horseshoe", 0, way, 0, "1-2", kept, 2.0, 3.0, 4.0, 5.0, last=True
        )
        for way, kept in (("whole", 100), ("groups", 60), ("weights", 30))
    ]
    drawn = plot_frontier(measured, both, Figure().subplots()).lines
    assert [list(line.get_xdata()) for line in drawn[:2]] == [[100, 60], [60, 30]]


@pytest.mark.slow
def test_the_noise_of_a_recipe_acts_in_training_alone_and_is_kept_by_every_stage(done):
    layers = dict(TINY.net().named_children())
    assert layers["noise"].scale == TINY.input_noise > 0
    assert list(layers)[1:] == [name for name, _ in TINY.build().named_children()]
    assert "noise" not in dict(dataclasses.replace(TINY, input_noise=0.0).net().named_children())
    last = bn.load(done[1] / "fits" / "horseshoe-0" / "groups-1")
    noise = last.model.net.noise
    assert (noise.scale, noise.training) == (TINY.input_noise, False)


@pytest.mark.slow
def test_a_net_of_convolutions_shows_its_filters(tmp_path):
    stage = Stage(0.6, 0.2, 1, 1e-2)
    small = dataclasses.replace(
        settings.QUICK_LENET_5,
        pretraining=Pretraining(1, 1e-2, (0.0, 0.0, 0.1, 0.1)),
        first=Stage(1.0, 0.2, 2, 2e-2),
        groups=(stage,),
        weights=(stage,),
    )
    reproduced = run(settings.LENET_5, small, Request(tmp_path, quick=True))
    rows = list(csv.DictReader((tmp_path / "stages.csv").read_text().splitlines()))
    for row in rows:
        filters, _, inputs, hidden = map(int, row["architecture"].split("-"))
        assert 1 <= filters <= 6
        if row["way"] == "groups":
            assert (filters, inputs, hidden) != (6, 128, 20)
    assert reproduced.name == "bayesian-compression-lenet-5"
    with Image.open(reproduced.files["first-layer.png"]) as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_both_nets_are_registered_and_start_as_published():
    names = ("bayesian-compression", "bayesian-compression-lenet-5")
    recipes = [REPRODUCTIONS[name].run.args[0] for name in names]
    assert all(isinstance(REPRODUCTIONS[name].run, partial) for name in names)
    sizes = [
        sum(p.numel() for n, p in recipe.net().named_parameters() if n.endswith("weight"))
        for recipe in recipes
    ]
    assert sizes == [266_200, 430_500]
    for recipe, layers in zip(recipes, (3, 4), strict=True):
        assert len(recipe.pretraining.dropout) == layers
    assert recipes[0].groups[-1].keep <= 0.108
    assert recipes[0].weights[-1].keep <= 0.022
    assert recipes[1].weights[-1].keep <= 0.009
