"""The frontier of error against bytes, at a tiny size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

import bayesnas as bn
from bayesnas.inference.compression.plain_networks.pretraining import Pretraining
from bayesnas.reproductions import Request, small_nets
from bayesnas.reproductions.bayesian_compression import fits
from bayesnas.reproductions.bayesian_compression.settings import QUICK, QUICK_LENET_5, Stage
from bayesnas.reproductions.small_nets import codes
from bayesnas.reproductions.small_nets.measure import architecture
from bayesnas.reproductions.small_nets.published import LENET_5, Row
from bayesnas.reproductions.small_nets.settings import Coding, SmallNet

CODING = Coding((330, 420), 1.0, 1, 1, 1, 6, 2, 5e-3)


def of_one_stage(recipe, build):
    return replace(
        recipe,
        build=build,
        pretraining=Pretraining(4, 5e-3, recipe.pretraining.dropout),
        first=Stage(1.0, 0.05, 1, 1e-2),
        groups=(Stage(0.5, 0.05, 1, 1e-2),),
        weights=(),
    )


TINY = (
    SmallNet(
        "flat",
        of_one_stage(QUICK, lambda: bn.nn.mlp([64, 12, 8, 10])),
        CODING,
        (Row("other", 2.0, 1.5, 800), Row("third", 3.0, None, None, 4.0)),
        {420: 100.0, 330: 0.0},
    ),
    SmallNet(
        "images",
        of_one_stage(QUICK_LENET_5, lambda: bn.nn.convnet((3, 4), (8,), image=8, kernel=3, pool=1)),
        CODING,
        LENET_5,
        {},
    ),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished reproduction, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("reproduction"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_nets, "SMALL", TINY)
        for module in (fits, codes):
            patch.setattr(module, "COMPILE", False)  # a trace takes longer than these fits
        request = Request(out, quick=True, device="cpu", say=said.append)
        reproduced = small_nets.run(request)
    return reproduced, out, said


def test_files_are_as_large_as_asked_for_and_hold_the_nets_whose_errors_are_told(done):
    reproduced, out, _ = done
    test = bn.data.load("digits").test
    told = {
        (c.labels["done"], c.labels["prior"], c.quantity): c.ours
        for c in reproduced.comparisons
        if c.labels["net"] == QUICK.title
    }
    for prior in ("normal-jeffreys", "horseshoe"):
        for size in (330, 420):
            path = out / "flat" / f"{prior}-0" / f"{size}.bin"
            assert size - 1 <= path.stat().st_size <= size  # whole blocks of 6 bits
            with torch.no_grad():
                wrong = (bn.decode(path)(test.x).argmax(1) != test.y).double().mean()
            of_file = f"coded, {size} bytes", prior
            assert told[*of_file, "test error, %"] == (pytest.approx(100 * float(wrong)),)
            assert told[*of_file, "bytes on disk"] == (path.stat().st_size,)
            assert told[*of_file, "weights in matrices"][0] < 64 * 12 + 12 * 8 + 8 * 10
        assert told["dense", prior, "weights in matrices"] == (64 * 12 + 12 * 8 + 8 * 10,)


def test_a_file_of_fewer_inputs_takes_all(done):
    _, out, _ = done
    net = bn.decode(out / "flat" / "horseshoe-0" / "420.bin")
    assert type(net.inputs) is bn.nn.SelectInputs
    assert net(torch.zeros(2, 64)).shape == (2, 10)
    images = bn.decode(out / "images" / "horseshoe-0" / "420.bin")
    assert images(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_places_of_maps_that_nothing_reads_are_left_out_and_outputs_stay():
    torch.manual_seed(0)
    net = bn.nn.convnet((3, 4), (8,), image=8, kernel=3, pool=1).eval()
    with torch.no_grad():
        net.layer1.weight[:, 5::3] = 0
        net.layer2.weight[:, 2] = 0
    smaller = codes.reading_what_it_needs(net)
    x = torch.randn(20, 1, 8, 8)
    torch.testing.assert_close(smaller(x), net(x))
    assert smaller.layer1.in_features == int(net.layer1.weight.any(0).sum()) < 64
    assert smaller.layer2.weight.shape == (10, 7)
    assert all(layer.weight.any(0).all() for layer in (smaller.layer1, smaller.layer2))
    assert net.layer1.in_features == 64


def test_goals_and_published_nets_are_told(done):
    reproduced, out, _ = done
    text = " ".join(reproduced.remarks)
    assert (
        "Published: other: 2 % (dense net 1.5 %), 0.8 kB; third: 3 %, 4 % of the weights." in text
    )
    assert "MIRACLE (Havasi 2019): 0.69 %, 3.03 kB" in text
    assert "At most 100 % in 420 bytes, horseshoe:" in text
    assert text.count(" %, met.") == 2
    assert text.count(" %, missed by ") == 2
    with Image.open(out / "frontier.png") as picture:
        assert picture.width > 900
    assert len((out / "points.csv").read_text().splitlines()) == 1 + 2 * 2 * 4


def test_a_second_call_reads_what_is_there_and_other_settings_are_refused(done, monkeypatch):
    reproduced, out, said = done
    monkeypatch.setattr(small_nets, "SMALL", TINY)
    monkeypatch.setattr(codes, "COMPILE", False)
    again = []
    second = small_nets.run(Request(out, quick=True, device="cpu", say=again.append))
    assert second.comparisons == reproduced.comparisons
    assert again == [line for line in said if "test error" in line]
    (out / "flat" / "horseshoe-0" / "330.bin").unlink()
    once_more = []
    third = small_nets.run(Request(out, quick=True, device="cpu", say=once_more.append))
    assert third.comparisons == reproduced.comparisons  # the same file again, from the same fit
    assert [line for line in once_more if line not in again] == [
        f"{QUICK.title}, horseshoe, seed 0: code in 330 bytes"
    ]
    other = replace(TINY[0], coding=replace(CODING, lr=1e-3))
    monkeypatch.setattr(small_nets, "SMALL", (other, TINY[1]))
    with pytest.raises(ValueError, match="is of a reproduction with flat="):
        small_nets.run(Request(out, quick=True, device="cpu"))


def test_architectures_name_inputs_and_filters():
    net = bn.nn.convnet((20, 50), (500,))
    layers = [m for m in net if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert architecture(layers) == "20-50-800-500"
