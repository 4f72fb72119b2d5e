"""Trees along λ: ArviZ takes no rows of several λ together, and one λ comes out as it went in."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
import torch
import xarray

import bayesnas as bn
from bayesnas.export import at_kl_weight, tempered_loo, to_inference_data

WEIGHTS, DRAWS = [0.1, 1.0, 10.0], 40


def readable(tree):
    return tree if int(az.__version__.split(".")[0]) > 0 else to_inference_data(tree)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 2, generator=generator)
    return x, x[:, 0] + 0.3 * torch.randn(20, generator=generator)


@pytest.fixture(scope="module")
def post(data):
    model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian", noise_scale=0.5)
    return bn.fit(model, data, kl_weight=WEIGHTS, steps=30, lr=0.05, progress=False)


@pytest.fixture(scope="module")
def tree(post, data):
    return post.to_arviz(WEIGHTS, DRAWS, data)


@pytest.mark.parametrize("function", ["loo", "waic", "plot_ppc", "plot_ppc_dist"])
def test_arviz_takes_no_rows_of_several_kl_weights_together(tree, function) -> None:
    if not hasattr(az, function):
        pytest.skip(f"this ArviZ has no {function}")
    with pytest.raises((KeyError, TypeError, ValueError)):
        getattr(az, function)(readable(tree))


@pytest.mark.parametrize("kl_weight", WEIGHTS)
def test_one_kl_weight_is_the_tree_of_its_posterior(tree, post, data, kl_weight, tmp_path) -> None:
    alone = post.at(kl_weight).to_arviz(DRAWS, data)
    tree.to_netcdf(tmp_path / "tree.nc")
    with xarray.open_datatree(tmp_path / "tree.nc") as read:
        for whole in (tree, read):
            taken = at_kl_weight(whole, kl_weight)
            assert set(taken.children) == set(alone.children)
            for name in set(alone.children) - {"svi"}:
                xarray.testing.assert_equal(taken[name].to_dataset(), alone[name].to_dataset())
            assert taken["posterior"].attrs["kl_weight"] == kl_weight


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_leave_one_out_at_one_kl_weight_has_its_rows(tree, data) -> None:
    loo = az.loo(readable(at_kl_weight(tree, 1.0)), reff=1.0)
    assert loo.n_data_points == len(data[0])
    elpd = loo.elpd if hasattr(loo, "elpd") else loo.elpd_loo
    assert float(tempered_loo(tree)["elpd"].sel(kl_weight=1.0)) == pytest.approx(elpd, abs=1e-5)


def test_metaparameters_are_chosen_with_it(data) -> None:
    model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian", noise_scale=0.5)
    options = {"metaparameters": {"prior_scale": bn.LogUniform(0.1, 3)}, "steps": 5}
    post = bn.fit(model, data, kl_weight=bn.LogUniform(0.1, 10), progress=False, **options)
    tree = post.to_arviz([0.1, 1.0], 4, data, prior_scale=[0.5, 2.0])
    taken = at_kl_weight(tree, 1.0, prior_scale=0.5)["log_likelihood"]["y"]
    alone = post.at(1.0, prior_scale=0.5).to_arviz(4, data)["log_likelihood"]["y"]
    assert np.array_equal(taken.values, alone.values)
    with pytest.raises(ValueError, match="got one of several kl_weight, prior_scale"):
        at_kl_weight(tree, 1.0)


def test_a_kl_weight_that_is_not_there_is_named(tree, post) -> None:
    with pytest.raises(ValueError, match=r"kl_weight must be one of \[0.1, 1.0, 10.0\], got 2"):
        at_kl_weight(tree, 2.0)
    with pytest.raises(ValueError, match="got one of several draws alone"):
        at_kl_weight(post.at(1.0).to_arviz(4), 1.0)
