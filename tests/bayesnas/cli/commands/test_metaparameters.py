"""Fits over metaparameters besides λ on the command line, and what is asked of them."""

from __future__ import annotations

import pytest

import bayesnas as bn
from bayesnas.cli.main import main

FIT = ["fit", "gaussian-net", "--hidden", "6", "--draws", "2", "--quiet", "--steps", "20"]
BOX = ["--kl-weight", "0.5:2", "--metaparameters", "prior_scale=0.1:1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run over λ and the prior scale; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "box"
    assert main([*FIT, *BOX, "--out", str(folder)]) == 0
    return folder


def test_a_fit_gives_the_choice_of_the_library(call_json) -> None:
    printed = call_json(*FIT, *BOX)
    data = bn.data.load("digits")
    post = bn.fit(
        bn.models.GaussianNet(bn.nn.mlp([64, 6, 10])), data.train, steps=20,
        kl_weight=bn.LogUniform(0.5, 2), metaparameters={"prior_scale": bn.LogUniform(0.1, 1)},
    )  # fmt: skip
    assert printed["metaparameters"] == dict(post.choose(data.train, points=5, draws=8).values)
    at = post.at(0.5, **printed["metaparameters"]).evaluate(data.test, draws=2)
    assert printed["frontier"][0]["nll"] == pytest.approx(at["nll"])


def test_what_is_asked_of_a_run_says_where(call, call_json, run) -> None:
    at = ["--kl-weight", "1", "--metaparameters", "prior_scale=0.3"]
    printed = call_json("evaluate", run, "--draws", "2", *at)
    post = bn.load(run).at(1.0, prior_scale=0.3)
    expected = post.evaluate(bn.data.load("digits").test, draws=2)
    assert printed["metrics"]["test"]["nll"] == pytest.approx(expected["nll"])
    code, _, error = call("evaluate", run, "--kl-weight", "1")
    assert code != 0
    assert "--metaparameters prior_scale=VALUE" in error
    code, _, error = call("evaluate", run, "--kl-weight", "1", "--metaparameters", "prior_scale=2")
    assert code != 0
    assert "prior_scale must be in the fitted range [0.1, 1], got 2.0" in error


@pytest.mark.parametrize(
    "text", ["prior_scale", "prior_scale=1", "=1:2", "s=2:1", "s=0:1", "s=1:2:cubic", "s=a:b"]
)
def test_a_range_must_be_one(capsys, text) -> None:
    with pytest.raises(SystemExit):
        main([*FIT, "--kl-weight", "0.5:2", "--metaparameters", text])
    assert "must be NAME=LOW:HIGH with 0 < LOW < HIGH" in capsys.readouterr().err


def test_a_range_of_others_needs_one_of_the_kl_weight(call) -> None:
    code, _, error = call(*FIT, "--metaparameters", "prior_scale=0.1:1")
    assert code != 0
    assert "metaparameters needs a range of KL weights" in error
