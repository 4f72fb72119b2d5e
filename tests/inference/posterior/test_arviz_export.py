"""Draws for ArviZ and k̂, through the posterior of a fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor
from torch.distributions import Normal

import bayesnas as bn

MEMORY = """
import pathlib, torch, bayesnas as bn
x = torch.randn(300, 784, generator=torch.Generator().manual_seed(0))
data = (x, torch.arange(300) % 10)
model = bn.models.GaussianNet(bn.nn.mlp([784, 100, 10]))
post = bn.fit(model, data, steps=1, device="cpu", progress=False)
tree = post.to_arviz(draws=1000, data=data)
assert tree["posterior"]["layer1.weight"].shape == (1, 1000, 100, 784)
print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def classes_data() -> tuple[Tensor, Tensor]:
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


@pytest.fixture(scope="module")
def post() -> bn.Posterior:
    model = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)
    return bn.fit(
        model, classes_data(), kl_weight=0.5, steps=150, lr=0.02, restarts=2, progress=False
    )


@pytest.fixture(scope="module")
def tree(post: bn.Posterior) -> xr.DataTree:
    return post.to_arviz(draws=400, data=classes_data(), seed=7)


def test_draws_have_the_moments_of_every_chains_guide(
    post: bn.Posterior, tree: xr.DataTree
) -> None:
    for chain in range(2):
        for site, (loc, scale) in post.chain(chain).model.weight_posteriors().items():
            draws = torch.tensor(tree["posterior"][site].values[chain])
            assert torch.all((draws.mean(0) - loc).abs() < 5.5 * scale / 20)
            assert torch.allclose(draws.std(0), scale, rtol=0.25)


def test_log_densities_are_those_of_normals_at_the_draws(
    post: bn.Posterior, tree: xr.DataTree
) -> None:
    q = post.chain(1).model.weight_posteriors()
    log_q = 0.0
    for site, (loc, scale) in q.items():
        draw = torch.tensor(tree["posterior"][site].values[1, 3])
        log_q += Normal(loc, scale).log_prob(draw).sum().item()
        log_prior = Normal(0.0, 0.5).log_prob(draw).sum().item()
        assert float(tree["log_prior"][site][1, 3]) == pytest.approx(log_prior, rel=1e-4)
    assert float(tree["sample_stats"]["log_q"][1, 3]) == pytest.approx(log_q, rel=1e-4)


def test_pointwise_log_likelihoods_are_unscaled_and_of_the_same_draw(
    tree: xr.DataTree,
) -> None:
    x, y = classes_data()
    w = {site: torch.tensor(v.values[0, 9]) for site, v in tree["posterior"].data_vars.items()}
    hidden = torch.relu(x @ w["layer1.weight"].T + w["layer1.bias"])
    logits = hidden @ w["layer2.weight"].T + w["layer2.bias"]
    expected = torch.log_softmax(logits, -1)[torch.arange(40), y]
    log_lik = tree["log_likelihood"]["y"].values[0, 9]
    assert np.allclose(log_lik, expected.numpy(), rtol=1e-4, atol=1e-5)
    total = sum(float(v[0, 9]) for v in tree["log_prior"].data_vars.values())
    lp = float(tree["sample_stats"]["lp"][0, 9])
    assert lp == pytest.approx(total + log_lik.sum() / 0.5, rel=1e-5)


def test_predictive_draws_follow_the_predicted_probabilities(
    post: bn.Posterior, tree: xr.DataTree
) -> None:
    x, _ = classes_data()
    expected = post.chain(0).predict(x, draws=400).mean(0)[:, 1].numpy()
    shares = (tree["posterior_predictive"]["y"].values[0] == 1).mean(0)
    assert np.all(np.abs(shares - expected) < 5 * 0.5 / 20)


def test_groups_dims_and_coordinates(tree: xr.DataTree) -> None:
    assert set(tree.children) == {
        "posterior", "posterior_predictive", "log_likelihood", "log_prior", "observed_data",
        "constant_data", "sample_stats", "structure", "svi",
    }  # fmt: skip
    assert tree["posterior"]["layer1.weight"].dims == ("chain", "draw", "layer1.out", "layer1.in")
    assert tree["svi"]["loss"].dims == ("chain", "step")
    assert tree["svi"].sizes["step"] == 150
    kl_weight = tree["posterior"]["kl_weight"]
    assert kl_weight.dtype == np.float64
    assert float(kl_weight) == 0.5


def test_lp_is_left_out_for_data_that_was_not_trained_on(post: bn.Posterior) -> None:
    x, y = classes_data()
    tree = post.to_arviz(draws=2, data=(x[:10], y[:10]))
    assert "lp" not in tree["sample_stats"]
    assert "log_q" in tree["sample_stats"]


def test_chosen_sites_leave_the_log_densities_complete(post: bn.Posterior) -> None:
    some = post.to_arviz(draws=3, var_names=["layer2.bias"])
    whole = post.to_arviz(draws=3)
    assert list(some["posterior"].data_vars) == ["layer2.bias"]
    assert some["posterior"]["layer2.bias"].equals(whole["posterior"]["layer2.bias"])
    assert some["log_prior"].to_dataset().equals(whole["log_prior"].to_dataset())
    for names in (["layer9"], [], "layer2.bias"):
        with pytest.raises(ValueError, match="var_names must be"):
            post.to_arviz(draws=3, var_names=names)  # type: ignore[arg-type]


def test_arviz_reads_the_export(post: bn.Posterior, tree: xr.DataTree, tmp_path: Path) -> None:
    import arviz as az

    old = int(az.__version__.split(".")[0]) < 1
    readable = post.to_inference_data(400, classes_data(), seed=7) if old else tree
    summary = az.summary(readable, var_names=["layer2.bias"])
    means = tree["posterior"]["layer2.bias"].mean(("chain", "draw")).values
    assert np.allclose(summary["mean"].astype(float), means, atol=0.06)
    loo = az.loo(readable, reff=1.0)
    assert np.isfinite(float(loo.elpd_loo if old else loo.elpd))
    tree.to_netcdf(tmp_path / "a.nc")
    read = az.from_netcdf(tmp_path / "a.nc")
    values = read.posterior["layer1.weight"] if old else read["posterior"]["layer1.weight"]
    assert np.array_equal(values.values, tree["posterior"]["layer1.weight"].values)


@pytest.mark.slow
def test_a_thousand_draws_of_eighty_thousand_weights_stay_below_two_gibibytes() -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert int(run.stdout.split()[-1]) < 2 * 1024**2  # KiB
