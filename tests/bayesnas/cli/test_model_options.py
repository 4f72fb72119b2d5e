"""Every model that the command line fits, and the options that each takes."""

from __future__ import annotations

import pytest

import bayesnas as bn

SHORT = ("--steps", "3", "--lr", "0.01", "--draws", "2", "--quiet")


@pytest.mark.slow_except("compression net", "ARD regression")
@pytest.mark.parametrize(
    ("words", "described"),
    [
        (
            ("bayesian-compression", "--data", "digits", "--hidden", "7", "--prior", "horseshoe"),
            "BayesianCompressionNet (horseshoe) 64–7–10",
        ),
        (
            ("spike-and-slab-net", "--data", "diabetes", "--hidden", "none", "--gates", "neurons"),
            "SpikeAndSlabNet 10–1",
        ),
        (
            ("spike-and-slab-regression", "--data", "diabetes", "--standardise"),
            "SpikeAndSlabRegression of 10 features",
        ),
        (
            ("ard-regression", "--data", "diabetes", "--hyperparameters", "posterior"),
            "ArdRegression of 10 features",
        ),
    ],
    ids=["compression net", "spike-and-slab net", "spike-and-slab regression", "ARD regression"],
)
def test_a_model_is_fitted_saved_and_reported(call, call_json, tmp_path, words, described):
    """The numbers are those of the library, and report reads the run."""
    out = tmp_path / "run"
    output = call_json("fit", *words, *SHORT, "--out", out)
    assert output["model"] == described
    data = bn.data.load(words[2], standardise="--standardise" in words)
    post = bn.load(out)
    assert output["metrics"]["test"] == post.evaluate(data.test, draws=2)
    code, text, err = call("report", out, "--draws", "2")
    assert code == 0, err
    assert described in " ".join(text.split())
    assert (out / "report.png").exists()


def test_groups_and_then_weights_of_a_run_are_pruned(call, call_json, tmp_path):
    run, smaller = tmp_path / "run", tmp_path / "smaller"
    call_json("fit", "bayesian-compression", "--hidden", "7", *SHORT, "--out", run)
    options = ("--draws", "0")
    output = call_json(
        "prune", run, "--by", "group", "--fraction", "0.3", *options, "--out", smaller
    )
    expected = bn.load(run).prune(by="group", fraction=0.3).complexity()
    assert output["weights"]["before"]["parameters"] == 64 * 7 + 7 + 7 * 10 + 10
    assert output["weights"]["after"]["kept"] == expected["parameters_kept"]
    groups = bn.load(smaller).model.keep_groups.masks()
    assert not groups["layer1"].all() or not groups["layer2"].all()
    output = call_json("prune", smaller, "--fraction", "0.8", *options)
    assert output["weights"]["after"]["kept"] == 535 - round(0.8 * 535)
    code, _, err = call("prune", run, "--by", "group", "--threshold=-1e9")
    assert (code, "would remove all groups of layer" in err) == (2, True)
    call_json("fit", "gaussian-net", "--hidden", "3", *SHORT, "--out", tmp_path / "plain")
    code, _, err = call("prune", tmp_path / "plain", "--by", "group", "--fraction", "0.5")
    assert (code, "--by: the GaussianNet 64–3–10" in err) == (2, True)


def test_an_autoencoder_is_fitted_and_reported(call, call_json, tmp_path):
    """To the inputs as their own targets; the report counts dimensions and draws traversals."""
    out = tmp_path / "run"
    words = ("--latents", "4", "--hidden", "6", "--binarize", "--relevance-prior", "gamma")
    output = call_json("fit", "ard-vae", *words, *SHORT, "--out", out)
    post, data = bn.load(out), bn.data.load("digits").reconstructing()
    config = post.model.config()
    assert (config["latents"], config["hidden"], config["likelihood"]) == (4, [6], "bernoulli")
    assert (config["binarize"], config["relevance_prior"]) == (True, "gamma")
    assert output["metrics"]["test"] == post.evaluate(data.test, draws=2)
    report = call_json("report", out, "--draws", "2")
    assert len(report["latents"]["variance"]) == 4
    assert set(report["latents"]["active"]) == {"gamma", "variance", "sensitivity"}
    assert report["complexity"]["kl_nats"] == report["metrics"]["train"]["kl"]
    code, text, err = call("report", out, "--draws", "0")
    assert code == 0, err
    assert "latent dimensions in use, of 4:" in text
    assert "parameters_kept" not in text


def test_a_plain_autoencoder_of_numbers(call_json, tmp_path):
    words = ("--data", "diabetes", "--standardise", "--latents", "2", "--hidden", "none")
    priors = ("--relevance-prior", "none", "--decoder-prior", "none")
    call_json("fit", "ard-vae", *words, *priors, *SHORT, "--out", tmp_path / "run")
    config = bn.load(tmp_path / "run").model.config()
    assert (config["relevance_prior"], config["decoder_prior"]) == (None, None)
    assert (config["hidden"], config["likelihood"]) == ([], "gaussian")
    assert "latents" in call_json("report", tmp_path / "run", "--draws", "2")


def test_options_reach_the_model(call_json, tmp_path):
    call_json(
        "fit", "spike-and-slab-net", "--inclusion", "0.3", "--slab-scale", "2", "--hidden", "5",
        "--estimator", "weight", *SHORT, "--out", tmp_path / "run",
    )  # fmt: skip
    config = bn.load(tmp_path / "run").model.config()
    assert (config["inclusion"], config["slab_scale"], config["estimator"]) == (0.3, 2.0, "weight")


def test_the_coefficients_of_the_objective_reach_the_fit(call_json, tmp_path):
    words = ("--data", "diabetes", "--kl-weight", "2", "--likelihood-weight", "0.5")
    call_json("fit", "ard-regression", *words, *SHORT, "--out", tmp_path / "joint")
    said = bn.load(tmp_path / "joint").settings.objective
    assert (said["kl_weight_lower"], said["likelihood_weight"]) == (2.0, 0.5)
    assert (said["kl_weight_upper"], said["joint"]) == (1.0, True)
    two_levels = ("--data", "diabetes", "--kl-weight-upper", "0.1", *SHORT)
    output = call_json("fit", "ard-regression", *two_levels)
    assert output["settings"]["bilevel"]["kl_weight"] == 0.1
    net = ("fit", "spike-and-slab-net", "--hidden", "5", *SHORT, "--out", tmp_path / "net")
    call_json(*net, "--inclusion", "learned", "--kl-weight-upper", "1")
    assert bn.load(tmp_path / "net").model.config()["inclusion"] == "learned"


def test_two_classes_are_regressed_logistically(call_json):
    output = call_json("fit", "spike-and-slab-regression", "--data", "breast-cancer", *SHORT)
    assert "accuracy" in output["metrics"]["test"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ard-regression", "--hidden", "3"), "ard-regression does not take --hidden"),
        (
            ("gaussian-net", "--prior", "horseshoe", "--slab-scale", "1"),
            "gaussian-net does not take --prior, --slab-scale",
        ),
        (("ard-vae", "--activation", "tanh"), "ard-vae does not take --activation"),
        (("ard-vae", "--decoder-prior", "free"), "--decoder-prior must be one of"),
        (("pyro-pair",), "'pyro-pair' can't be fitted from here: fit it from Python"),
        (("spike-and-slab-net", "--inclusion", "1.5"), "inclusion must be a probability"),
        (("gaussian-net", "--kl-weight-upper", "1"), "objective needs a model with trained"),
        (
            ("gaussian-net", "--kl-weight-upper", "1", "--kl-weight", "0.1:1"),
            "--kl-weight must be one number beside",
        ),
        (
            ("gaussian-net", "--prior-scale", "ard", "--likelihood-weight", "-1"),
            "--likelihood-weight must be a finite number >= 0",
        ),
        (("ard-regression", "--data", "digits"), "for regression, got data for classification"),
    ],
)
def test_options_that_do_not_fit_are_named(call, words, message):
    code, out, err = call("fit", *words, *SHORT)
    assert code == 2
    assert out == ""
    assert message in err
