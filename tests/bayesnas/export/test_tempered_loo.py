"""Leave-one-out along λ, beside the mean of a Gaussian, where it is known, and ArviZ."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
import xarray

from bayesnas.export import along_kl_weight, elpd_data, tempered_loo, to_datatree, to_inference_data

Y = np.random.default_rng(0).normal(0.5, 1.0, size=25)
PRIOR = 2.0


def gaussian(y, mean, variance):
    return -0.5 * np.log(2 * np.pi * variance) - (y - mean) ** 2 / (2 * variance)


def posterior(y, kl_weight):
    """Mean and variance of w for y ~ N(w, 1) to the power 1/λ, w ~ N(0, PRIOR²)."""
    precision = PRIOR**-2 + len(y) / kl_weight
    return y.sum() / kl_weight / precision, 1 / precision


def tree_at(kl_weight):
    mean, variance = posterior(Y, kl_weight)
    draws = np.random.default_rng(1).normal(mean, variance**0.5, size=(2, 20_000))
    return to_datatree(
        posterior={"w": draws},
        dims={"y": ("obs",)},
        log_prior={"w": gaussian(draws, 0.0, PRIOR**2)},
        log_q=gaussian(draws, mean, variance),
        log_likelihood={"y": gaussian(Y, draws[..., None], 1.0)},
        observed_data={"y": Y},
        kl_weight=kl_weight,
    )


def exact(kl_weight):
    tempered = []
    for i, value in enumerate(Y):
        mean, variance = posterior(np.delete(Y, i), kl_weight)
        tempered.append(gaussian(value, mean, variance + 1))
    return np.array(tempered)


def test_it_is_that_of_the_posterior_without_the_row():
    kl_weights = [0.3, 1.0, 10.0]
    tempered = tempered_loo(along_kl_weight([tree_at(weight) for weight in kl_weights]))
    assert tempered["kl_weight"].values.tolist() == kl_weights
    assert int(tempered["large_k"].sum()) == 0
    for weight in kl_weights:
        here = tempered.sel(kl_weight=weight)
        assert np.abs(here["elpd_i"].values - exact(weight)).max() < 0.03
        assert float(here["elpd"]) == pytest.approx(exact(weight).sum(), abs=0.1)


def test_at_one_it_is_that_of_arviz():
    tree = tree_at(1.0)
    tempered = tempered_loo(tree)
    data = tree if int(az.__version__.split(".")[0]) > 0 else to_inference_data(tree)
    loo = az.loo(data, reff=1.0)
    elpd = loo.elpd if hasattr(loo, "elpd") else loo.elpd_loo
    assert float(tempered["elpd"][0]) == pytest.approx(elpd, abs=1e-6)
    assert float(tempered["se"][0]) == pytest.approx(loo.se, rel=0.03)  # ArviZ 1.x divides by n - 1


@pytest.mark.filterwarnings("ignore:The inplace keyword:Warning")
def test_arviz_compares_what_is_left_out_of_other_targets():
    trees = {weight: tree_at(weight) for weight in (0.3, 1.0, 10.0)}
    scores = {f"{weight}": elpd_data(tree) for weight, tree in trees.items()}
    old = int(az.__version__.split(".")[0]) < 1
    table = az.compare(scores, **({} if old else {"round_to": "none"}))
    column = "elpd_loo" if "elpd_loo" in table else "elpd"
    for weight in trees:
        assert table.loc[f"{weight}", column] == pytest.approx(exact(weight).sum(), abs=0.1)
    assert scores["1.0"].n_samples == 40_000
    assert "Computed from 40000 posterior samples" in str(scores["0.3"])
    with pytest.raises(ValueError, match="tree must be at one kl_weight"):
        elpd_data(along_kl_weight(list(trees.values())))


def test_what_has_no_leave_one_out_is_refused():
    with pytest.raises(ValueError, match="kl_weight must be > 0"):
        tempered_loo(
            to_datatree(
                posterior={"w": np.zeros((1, 40))},
                dims={},
                log_prior={"w": np.zeros((1, 40))},
                log_q=np.zeros((1, 40)),
                log_likelihood={"y": np.random.default_rng(0).normal(size=(1, 40, 3))},
                kl_weight=0.0,
            )
        )
    without = to_datatree(
        posterior={"w": np.zeros((1, 40))},
        dims={},
        log_prior={"w": np.zeros((1, 40))},
        log_q=np.zeros((1, 40)),
        kl_weight=1.0,
    )
    with pytest.raises(ValueError, match="tree must have log_likelihood"):
        tempered_loo(without)


def test_sample_dims_are_a_list_that_netcdf_keeps(tmp_path):
    tree = tree_at(1.0)
    assert tree["posterior"].attrs["sample_dims"] == ["chain", "draw"]  # which ArviZ 1.x looks up
    tree.to_netcdf(tmp_path / "a.nc")
    with xarray.open_datatree(tmp_path / "a.nc") as again:
        assert list(again["posterior"].attrs["sample_dims"]) == ["chain", "draw"]
        assert again.attrs["creation_library"] == "bayesnas"
