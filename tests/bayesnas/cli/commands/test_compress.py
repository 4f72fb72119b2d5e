"""`bayesnas compress` is `bn.compress`, and what it writes gives the figures it prints."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.cli.main import main
from bayesnas.nn.network_files.save import load_net

WORDS = ("compress", "--data", "breast-cancer", "--standardise", "--hidden", "8")


@pytest.fixture(scope="module")
def few_steps():
    """The recipe with 40 eager steps a fit, or a pass, and two stages."""
    module = bn.inference.compression.compress
    effort = module.Effort
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_PRETRAINING", "_FIRST", "_SORTING", "_SHORT", "_LONG"):
            patch.setattr(module, name, effort(1, 40))
        patch.setattr(module, "_MOST_STAGES", 2)
        patch.setattr(module, "_COMPILE", False)
        yield


@pytest.mark.usefixtures("few_steps")
def test_the_file_gives_the_figures_that_are_printed(call, tmp_path):
    path = tmp_path / "small.safetensors"
    small = tmp_path / "small.bin"
    code, text, err = call(*WORDS, "--out", path, "--encode", small, "--json", "--quiet")
    assert code == 0, err
    output = json.loads(text)
    net = load_net(path)
    assert output["encoded"] == {"path": str(small), "bytes": small.stat().st_size}
    same = bn.decode(small).state_dict()
    assert all(torch.equal(same[name], value) for name, value in net.state_dict().items())
    assert sum(p.numel() for p in net.parameters()) == output["parameters"]
    assert sum(p.numel() for p in net.parameters() if p.ndim > 1) == output["weights"]["after"]
    assert output["weights"]["before"] == 30 * 8 + 8 * 2
    test = bn.data.load("breast-cancer").test  # rows as they came: the file standardises them
    with torch.no_grad():
        logits = net(test.x)
    assert output["part"] == "test"
    accuracy = (logits.argmax(-1) == test.y).double().mean().item()
    nll = torch.nn.functional.cross_entropy(logits, test.y).item()
    assert output["metrics"] == pytest.approx({"nll": nll, "accuracy": accuracy}, rel=1e-4)
    stages = output["stages"]
    (chosen,) = [stage for stage in stages if stage["chosen"]]
    assert chosen["weights"] == output["weights"]["after"]


@pytest.mark.slow
@pytest.mark.usefixtures("few_steps")
def test_the_weights_at_the_start_are_of_the_seed(call):
    first, again = (json.loads(call(*WORDS, "--json", "--quiet")[1]) for _ in range(2))
    assert first["stages"] == again["stages"]


@pytest.mark.slow
@pytest.mark.usefixtures("few_steps")
def test_a_regression_is_told_in_words(call):
    code, text, err = call("compress", "--data", "diabetes", "--standardise", "--hidden", "6")
    assert code == 0, err
    assert "of 66 weights" in text
    assert "test part  weights" in text
    assert "validation squared error" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tolerance", "-1"), "tolerance must be"),
        (("--seed", "-1"), "seed must be"),
        (("--activation", "sine"), "activation must be"),
        (("--validation", "2"), "validation must be"),
        (("--out", "small.pkl"), "out must"),
        (("--picture", "small.txt"), "picture must"),
        (("--kl-weights", "1"), "kl-weights needs RUN"),
        (("--seed", "1", "runs/a"), "--hidden, --seed can't come with RUN"),
    ],
)
def test_bad_input_is_a_line(call, words, message):
    code, text, err = call(*WORDS, *words)
    assert (code, text) == (2, "")
    assert message in err
    assert "Traceback" not in err


# of a run ------------------------------------------------------------------------------------

FIT = ("fit", "bayesian-compression", "--hidden", "10", "--steps", "40", "--kl-weight", "0.1:1")
FIT += ("--compile", "off", "--draws", "0", "--quiet")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, words in (("held-out", ["--validation", "0.2"]), ("bare", [])):
        assert main([*FIT, *words, "--out", str(folder / name)]) == 0
    return folder


def test_a_run_gives_the_smallest_network_of_the_library(call, run_folder, tmp_path):
    path, picture = tmp_path / "small.pt2", tmp_path / "small.png"
    words = ["compress", run_folder / "held-out", "--kl-weights", 0.1, 1, "--out", path]
    code, text, err = call(*words, "--picture", picture, "--json")
    assert code == 0, err
    output = json.loads(text)
    data = bn.data.load("digits", validation=0.2)
    small = bn.inference.smallest(
        bn.load(run_folder / "held-out"), data.validation, kl_weights=[0.1, 1]
    )
    assert output["weights"]["after"] == small.weights
    assert output["kl_weight"] == small.posterior.kl_weight
    net = torch.export.load(path).module()
    accuracy = (net(data.test.x).argmax(-1) == data.test.y).double().mean().item()
    assert output["metrics"]["accuracy"] == pytest.approx(accuracy)
    assert output["bytes"] == path.stat().st_size < 60_000  # of at most 760 numbers
    assert output["limit"] == small.limit
    assert output["before"]["bytes"] > output["bytes"]
    before = (small.whole(data.test.x).argmax(-1) == data.test.y).double().mean().item()
    assert output["before"]["metrics"]["accuracy"] == pytest.approx(before)
    with Image.open(picture) as image:
        image.load()
        assert len(image.getcolors(maxcolors=10**6)) > 50


@pytest.mark.slow
def test_the_picture_lies_in_the_run(call, run_folder):
    code, text, err = call("compress", run_folder / "held-out", "--kl-weights", "1")
    assert code == 0, err
    assert text.rstrip().endswith(f"picture: {run_folder / 'held-out' / 'compressed.png'}")
    assert "before         740  64–10–10" in text
    assert "<: the smallest whose validation error is at most" in text


def test_a_run_without_a_validation_part_is_refused(call, run_folder):
    code, _, err = call("compress", run_folder / "bare")
    assert code == 2
    assert "RUN must be fitted with --validation" in err
    code, _, err = call("frontier", run_folder / "bare", "--part", "validation")
    assert code == 2
    assert "--part must be one that the run has" in err


@pytest.mark.slow
def test_frontier_on_the_validation_part(call_json, run_folder, tmp_path):
    words = ["--kl-weights", 1, "--draws", 0, "--out", tmp_path / "f.png"]
    output = call_json("frontier", run_folder / "held-out", "--part", "validation", *words)
    post = bn.load(run_folder / "held-out").at(1.0)
    validation = bn.data.load("digits", validation=0.2).validation
    assert output["part"] == "validation"
    expected = post.evaluate(validation, draws=0)["accuracy"]
    assert output["frontier"][0]["accuracy"] == expected
