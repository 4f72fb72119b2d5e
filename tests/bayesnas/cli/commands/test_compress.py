"""`bayesnas compress` is `bn.compress`, and what it writes gives the figures it prints."""

from __future__ import annotations

import json

import pytest
import torch

import bayesnas as bn
from bayesnas.nn.graphs.module_file import load_net

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
    found = json.loads(text)
    net = load_net(path)
    assert found["encoded"] == {"path": str(small), "bytes": small.stat().st_size}
    same = bn.decode(small).state_dict()
    assert all(torch.equal(same[name], value) for name, value in net.state_dict().items())
    assert sum(p.numel() for p in net.parameters()) == found["parameters"]
    assert sum(p.numel() for p in net.parameters() if p.ndim > 1) == found["weights"]["after"]
    assert found["weights"]["before"] == 30 * 8 + 8 * 2
    test = bn.data.load("breast-cancer", standardise=True).test
    with torch.no_grad():
        logits = net(test.x)
    assert found["part"] == "test"
    accuracy = (logits.argmax(-1) == test.y).double().mean().item()
    nll = torch.nn.functional.cross_entropy(logits, test.y).item()
    assert found["metrics"] == pytest.approx({"nll": nll, "accuracy": accuracy}, rel=1e-5)
    stages = found["stages"]
    (chosen,) = [stage for stage in stages if stage["chosen"]]
    assert chosen["weights"] == found["weights"]["after"]


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
    assert "test part: nll" in text
    assert "validation loss" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tolerance", "-1"), "tolerance must be"),
        (("--seed", "-1"), "seed must be"),
        (("--activation", "sine"), "activation must be"),
        (("--validation", "2"), "validation must be"),
        (("--out", "small.onnx"), "out must"),
    ],
)
def test_bad_input_is_a_line(call, words, message):
    code, text, err = call(*WORDS, *words)
    assert (code, text) == (2, "")
    assert message in err
    assert "Traceback" not in err
