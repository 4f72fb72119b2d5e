"""The reproduction of DARTS-CC on a few images of digits: files, going on, retraining, sizes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import bayesnas as bn
from bayesnas.nn.graphs.random_architectures import architecture_sizes, random_architecture
from bayesnas.reproductions import REPRODUCTIONS, Request, darts_cc
from bayesnas.reproductions.darts_cc import compare, margins
from bayesnas.reproductions.darts_cc.retraining import (
    DropPath,
    Retrained,
    accuracy,
    cut_out,
    retrained,
)
from bayesnas.reproductions.darts_cc.settings import Images, Settings, settings_of


def tiny(request: Request) -> Settings:
    return dataclasses.replace(
        settings_of(request), data=("digits",), random=2, channels=2, nodes=1, search_steps=4,
        epochs=2, cutout=2, drop_path=0.2, kinds=("reduction",),
    )  # fmt: skip


def digits(name: str, settings: Settings, root: str | None) -> Images:
    data = bn.data.load("digits")
    x, y = data.train.x.view(-1, 1, 8, 8), data.train.y
    sizes = [96, 96, 960, 96, 96]
    return Images(name, *zip(x[:1344].split(sizes), y[:1344].split(sizes), strict=True))


@pytest.fixture
def _small(monkeypatch):
    monkeypatch.setattr(darts_cc, "settings_of", tiny)
    monkeypatch.setattr(darts_cc, "images", digits)


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
def test_one_command_writes_tables_and_pictures_and_goes_on_from_them(call_json, tmp_path):
    out = tmp_path / "darts-cc"
    output = call_json("reproduce", "darts-cc", "--quick", "--device", "cpu", "--out", out)
    for name in ("frontier.png", "ends-digits.png"):
        with Image.open(out / name) as picture:
            assert picture.size[0] > 500
    rows = {(row["architecture"], row["quantity"]): row for row in output["comparisons"]}
    assert len(rows) == 7 * 2
    assert len(rows["random", "parameters"]["starts"]) == 2
    assert all(row["published"] is None for row in output["comparisons"])
    lines = (out / "architectures.csv").read_text().splitlines()
    assert len(lines) == 1 + 5 + 1 + 2
    (out / "digits" / "retrained" / "random-0.json").unlink()
    again = call_json("reproduce", "darts-cc", "--quick", "--device", "cpu", "--out", out)
    assert again["comparisons"] == output["comparisons"]
    with pytest.raises(ValueError, match="is of a reproduction with starts=1"):
        REPRODUCTIONS["darts-cc"].run(Request(out, quick=True, seeds=2))


def point(parameters: int, score: float) -> Retrained:
    return Retrained(parameters, score, 0.0, 1, {})


def test_margins_are_from_the_parabola_through_random_architectures():
    def curve(n: int) -> float:
        return 0.1 * math.log10(n) + 0.02 * math.log10(n) ** 2

    drawn = [[point(n, curve(n))] for n in (1_000, 2_000, 3_000, 10_000)]
    level = [point(n, curve(n)) for n in (10_000, 5_000, 3_000, 2_000, 1_000)]
    methods = {"random": drawn, "DARTS": drawn[:1], "DARTS-CC": [level]}
    assert margins(methods) == pytest.approx([0.0] * 5, abs=1e-9)
    other = [point(100_000, curve(10_000)), *level[1:-1], point(10, curve(1_000) - 0.05)]
    # Beyond the random ones their smallest and their largest is what counts.
    gains = margins({**methods, "DARTS-CC": [level, other]})
    assert gains == pytest.approx([0.0, 0.0, 0.0, 0.0, -0.025], abs=1e-9)


def test_published_figures_stand_beside_ours_on_fashion_mnist_alone():
    methods = {key: [[point(5, 0.9)] * 5] for key in ("DARTS-CC", "DARTS", "random")}
    rows = {c.labels["architecture"]: c for c in compare("fashion-mnist", methods)}
    assert rows["λ̃ at 0.5"].published == 0.924
    assert {c.published for c in compare("mnist", methods)} == {None}


def test_retraining_learns_is_repeatable_and_leaves_the_architecture_alone():
    settings = dataclasses.replace(tiny(Request(Path(), quick=True)), epochs=6, cutout=0)
    torch.manual_seed(0)
    space = bn.nn.cells(["reduction"], channels=4, nodes=1, image=8)
    graph = space.discrete(dict.fromkeys(space.mixed, "sep_conv_3x3"))
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    state = torch.get_rng_state()
    first, second = (retrained(graph, digits("digits", settings, None), settings, 3) for _ in "ab")
    assert first == second
    assert first.accuracy > 0.3  # chance is 0.1
    assert 1 <= first.epoch <= 6
    assert first.parameters == sum(p.numel() for p in graph.parameters())
    assert first.operations["c0in0->c0node0"] == "sep_conv_3x3"
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in graph.state_dict().items())


def test_cut_out_zeroes_one_square_of_every_image():
    torch.manual_seed(0)
    x = torch.ones(200, 2, 12, 10)
    images = cut_out(x, 4)
    assert torch.equal(images[:, 0], images[:, 1])
    gone = (images[:, 0] == 0).sum((1, 2))
    assert int(gone.max()) == 16
    assert int(gone.min()) >= 4  # a corner: a quarter is inside
    rows = (images[:, 0] == 0).any(2).sum(1)
    assert set(rows.tolist()) <= {2, 3, 4}
    assert cut_out(x, 0) is x


def test_drop_path_keeps_the_mean_and_spares_identities():
    torch.manual_seed(0)
    edges = {("x", "node0"): nn.Linear(3, 3, bias=False), ("x", "node1"): nn.Identity()}
    edges |= {("node0", "y"): nn.Identity(), ("node1", "y"): nn.Identity()}
    graph = bn.nn.Graph(edges, example=torch.zeros(1, 3), aggregation={"y": "concat"})
    paths = DropPath(graph)
    x = torch.ones(4000, 3)
    whole = graph(x)
    paths.probability = 0.25
    output = graph(x)
    assert torch.equal(output[:, 3:], whole[:, 3:])
    dropped = (output[:, :3] == 0).all(1).double().mean()
    assert float(dropped) == pytest.approx(0.25, abs=5.5 * (0.25 * 0.75 / 4000) ** 0.5)
    kept = output[(output[:, :3] != 0).all(1)][0, :3]
    assert torch.allclose(kept, whole[0, :3] / 0.75)
    assert torch.equal(graph.eval()(x), whole)


def test_accuracy_is_the_share_that_is_right():
    net = nn.Identity()
    x = torch.eye(10).repeat(60, 1)
    y = torch.arange(10).repeat(60)
    y[:150] = 0
    assert accuracy(net, (x, y)) == pytest.approx((450 + 15) / 600)


def test_random_architectures_spread_over_all_sizes():
    settings = settings_of(Request(Path(), quick=True, seeds=3))
    graph = settings.graph(14)
    least, most = architecture_sizes(graph)
    wanted = [settings.random_size(index, graph) for index in range(20)]
    assert np.ptp(np.diff(np.log(wanted))) < 1e-9
    sizes = [random_architecture(graph, i, n).parameter_count for i, n in enumerate(wanted)]
    assert min(sizes) < 1.3 * least
    assert max(sizes) > 0.8 * most
    assert np.corrcoef(np.log(sizes), np.log(wanted))[0, 1] > 0.9


def test_the_range_of_the_search_is_that_of_no_knowledge_for_the_largest_architecture():
    for quick in (True, False):
        settings = settings_of(Request(Path(), quick=quick))
        graph = settings.graph(28)
        largest = graph.discrete(dict.fromkeys(graph.mixed, "sep_conv_5x5")).parameter_count
        smallest = graph.discrete(dict.fromkeys(graph.mixed, "max_pool_3x3")).parameter_count
        weight = settings.cost_weight(1.0, graph) / settings.high
        assert weight * (largest - smallest) == pytest.approx(math.log(10))
        ratio = settings.cost_weight(0.5, graph) / settings.cost_weight(0.0, graph)
        assert ratio == pytest.approx((settings.high / settings.low) ** 0.5)
