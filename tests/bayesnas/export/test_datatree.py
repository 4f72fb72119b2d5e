"""The export, read by the ArviZ that is installed: 0.23 and 1.x take different roads."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray
from scipy.stats import multivariate_normal, norm

from bayesnas.export.arviz_version import arviz, has_inference_data
from bayesnas.export.datatree import pareto_k, tempered_log_weights, to_datatree, to_inference_data

NOISE, SCALE = 0.7, 1.5


class Regression:
    """Linear regression on orthogonal features: the mean-field optimum is the exact posterior."""

    def __init__(self, features, kl_weight=1.0, chains=2, draws=2000, n=24):
        rng = np.random.Generator(np.random.PCG64(features))  # the same data in all runs
        self.x = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, features - 1))]))[0]
        self.x *= np.sqrt(n)
        self.y = self.x @ rng.normal(size=features) + NOISE * rng.normal(size=n)
        rng = np.random.default_rng(features)
        self.kl_weight = kl_weight
        precision = n / (kl_weight * NOISE**2) + 1 / SCALE**2
        self.mean = self.x.T @ self.y / (kl_weight * NOISE**2) / precision
        self.sd = precision**-0.5
        self.weight = self.mean + self.sd * rng.normal(size=(chains, draws, features))
        self.log_q = norm.logpdf(self.weight, self.mean, self.sd).sum(-1)
        self.log_prior = norm.logpdf(self.weight, 0, SCALE).sum(-1)
        self.fitted = self.weight @ self.x.T
        self.log_lik = norm.logpdf(self.y, self.fitted, NOISE)
        self.replicated = self.fitted + NOISE * rng.normal(size=self.fitted.shape)

    def tree(self, **changes):
        arguments = {
            "posterior": {"layer1.weight": self.weight[:, :, None]},
            "dims": {
                "layer1.weight": ("layer1.out", "layer1.in"),
                "y": ("observation",),
                "x": ("observation", "feature"),
            },
            "coords": {"layer1.in": [f"x{i}" for i in range(self.weight.shape[-1])]},
            "log_prior": {"layer1.weight": self.log_prior},
            "log_q": self.log_q,
            "kl_weight": self.kl_weight,
            "log_lik_total": self.log_lik.sum(-1),
            "log_likelihood": {"y": self.log_lik},
            "posterior_predictive": {"y": self.replicated},
            "observed_data": {"y": self.y},
            "constant_data": {"x": self.x},
            "svi": {"loss": np.arange(10.0).reshape(2, 5), "pareto_k": np.zeros(2)},
            "attrs": {"model": "regression", "seed": 3},
        }
        return to_datatree(**(arguments | changes))

    def log_evidence(self):
        """Log of the integral of p(w) p(y|w)^(1/λ) over w, since N^(1/λ) ∝ N(y | xw, λ·NOISE²)."""
        n, tempered = len(self.y), self.kl_weight * NOISE**2
        cov = tempered * np.eye(n) + SCALE**2 * self.x @ self.x.T
        constant = n / 2 * np.log(2 * np.pi * tempered)
        constant -= n / (2 * self.kl_weight) * np.log(2 * np.pi * NOISE**2)
        return constant + multivariate_normal.logpdf(self.y, np.zeros(n), cov)

    def exact_loo(self):
        """Each log p(y_i | all others), from a fit that never saw y_i."""
        densities = []
        for i in range(len(self.y)):
            x, y = np.delete(self.x, i, 0), np.delete(self.y, i)
            cov = np.linalg.inv(x.T @ x / NOISE**2 + np.eye(x.shape[1]) / SCALE**2)
            mean = cov @ x.T @ y / NOISE**2
            variance = NOISE**2 + self.x[i] @ cov @ self.x[i]
            densities.append(norm.logpdf(self.y[i], self.x[i] @ mean, variance**0.5))
        return np.array(densities)


def readable(tree):
    return to_inference_data(tree) if has_inference_data() else tree


def loo(tree, **options):
    """Pointwise values and shapes, which the two generations name differently."""
    result = arviz().loo(readable(tree), pointwise=True, **options)
    values = result.loo_i if has_inference_data() else result.elpd_i
    return np.asarray(values), np.asarray(result.pareto_k)


@pytest.mark.parametrize("features", [1, 3])  # 1: the mean of a normal sample
@pytest.mark.parametrize("kl_weight", [0.1, 1.0])
def test_summary_gives_the_exact_tempered_posterior(features, kl_weight):
    fit = Regression(features, kl_weight)
    summary = arviz().summary(readable(fit.tree()), var_names=["layer1.weight"], round_to="none")
    error = fit.sd / np.sqrt(fit.weight[..., 0].size)
    np.testing.assert_allclose(summary["mean"], fit.mean, atol=5.5 * error)
    np.testing.assert_allclose(summary["sd"], fit.sd, rtol=0.06)
    assert summary.index[-1] == f"layer1.weight[0, x{features - 1}]"


@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("options", [{}, {"reff": 1.0}])
def test_loo_equals_refitting_without_each_observation(features, options):
    """Over seeds the sum has a standard error of 0.015, single values have 0.003."""
    fit = Regression(features, draws=8000, n=100)
    values, shapes = loo(fit.tree(), **options)
    np.testing.assert_allclose(values, fit.exact_loo(), atol=0.03)
    assert abs(values.sum() - fit.exact_loo().sum()) < 0.09
    assert (shapes < 0.7).all()


@pytest.mark.parametrize("kl_weight", [0.1, 1.0, 10.0])
def test_lp_less_log_q_is_the_tempered_log_evidence(kl_weight):
    fit = Regression(3, kl_weight)
    stats = fit.tree().sample_stats
    np.testing.assert_allclose(stats["lp"] - stats["log_q"], fit.log_evidence(), rtol=1e-9)
    weights = tempered_log_weights(fit.log_prior, fit.log_lik.sum(-1), fit.log_q, kl_weight)
    np.testing.assert_allclose(weights, fit.log_evidence(), rtol=1e-9)


def test_lp_is_left_out_without_training_likelihood_or_tempered_target():
    fit = Regression(1)
    assert list(fit.tree(log_lik_total=None).sample_stats.data_vars) == ["log_q"]
    assert list(fit.tree(kl_weight=0.0).sample_stats.data_vars) == ["log_q"]


def test_the_groups_hold_what_they_were_given_under_named_dims():
    fit = Regression(3, 0.1)
    tree = fit.tree()
    assert set(tree.children) == {
        *("posterior", "posterior_predictive", "log_likelihood", "log_prior", "sample_stats"),
        *("svi", "observed_data", "constant_data"),
    }
    weight = tree.posterior["layer1.weight"]
    assert weight.dims == ("chain", "draw", "layer1.out", "layer1.in")
    assert list(weight.coords["layer1.in"].values) == ["x0", "x1", "x2"]
    assert list(tree.posterior.coords["draw"].values) == list(range(2000))
    np.testing.assert_array_equal(tree.log_likelihood["y"], fit.log_lik)
    assert tree.log_likelihood["y"].dims == ("chain", "draw", "observation")
    assert tree.posterior_predictive["y"].dims == ("chain", "draw", "observation")
    assert tree.observed_data["y"].dims == ("observation",)
    assert tree.constant_data["x"].dims == ("observation", "feature")
    assert tree.svi["loss"].dims == ("chain", "step")
    assert tree.svi["pareto_k"].dims == ("chain",)
    assert tree.log_prior["layer1.weight"].dims == ("chain", "draw")
    for name, group in tree.children.items():
        assert group.attrs["model"] == "regression"
        assert group.attrs["seed"] == 3
        assert group.attrs["kl_weight"] == 0.1
        assert group.attrs["inference_library"] == "bayesnas"
        assert ("kl_weight" in group.coords) == (name not in ("observed_data", "constant_data"))
    assert tree.posterior.coords["kl_weight"].dtype == np.float64
    assert tree.posterior.coords["kl_weight"].ndim == 0


def test_dims_that_are_not_named_are_named_as_in_arviz():
    tree = Regression(1).tree(dims={}, coords=None)
    assert tree.posterior["layer1.weight"].dims[2:] == (
        "layer1.weight_dim_0",
        "layer1.weight_dim_1",
    )
    assert tree.log_likelihood["y"].dims[2:] == tree.observed_data["y"].dims == ("y_dim_0",)


def test_history_may_hold_the_kl_weight_of_each_step():
    svi = Regression(1).tree(svi={"kl_weight": np.full((2, 4), 0.5)}).svi
    assert svi["kl_weight"].dims == ("chain", "step")
    assert (svi["kl_weight"] == 0.5).all()


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_draws_are_not_copied(kind):
    weight = kind(np.zeros((1, 30, 4), dtype=np.float32))
    log_density = kind(np.zeros((1, 30)))
    log_lik = np.random.default_rng(0).normal(size=(1, 30, 5))
    tree = to_datatree(
        posterior={"w": weight}, dims={}, log_prior={"w": log_density}, log_q=log_density,
        kl_weight=1.0, log_likelihood={"y": kind(log_lik)},
    )  # fmt: skip
    tree = readable(tree)
    assert tree.posterior["w"].dtype == np.float32
    weight[0, 7, 2] = 42.0
    assert tree.posterior["w"].values[0, 7, 2] == 42.0


def test_tensors_with_gradients_are_taken():
    scale = torch.ones((), requires_grad=True)
    weight = scale * torch.ones(1, 30, 2)
    tree = Regression(1).tree(
        posterior={"w": weight}, log_prior={"w": weight.sum(-1)}, log_q=weight.sum(-1),
        log_lik_total=None, log_likelihood=None, posterior_predictive=None, svi=None,
    )  # fmt: skip
    assert (tree.posterior["w"] == 1).all()
    assert tree.sample_stats["log_q"].dtype == np.float64


def test_netcdf_round_trip_of_the_tree(tmp_path):
    tree = Regression(3, 0.1).tree()
    tree.to_netcdf(tmp_path / "tree.nc")
    with xarray.open_datatree(tmp_path / "tree.nc") as opened:
        xarray.testing.assert_identical(opened.load(), tree)
    read = arviz().from_netcdf(str(tmp_path / "tree.nc"))
    for name, group in tree.children.items():
        xarray.testing.assert_identical(_data_set(read[name]), group.to_dataset())
    assert dict(read.attrs) == tree.attrs
    values, _ = loo(tree)
    again = arviz().loo(read, pointwise=True)
    reread = again.loo_i if has_inference_data() else again.elpd_i
    np.testing.assert_array_equal(np.asarray(reread), values)
    read.close()


def _data_set(group):
    return (group.to_dataset() if isinstance(group, xarray.DataTree) else group).load()


def test_inference_data_round_trip_or_what_to_use_instead(tmp_path):
    tree = Regression(3, 0.1).tree()
    if not has_inference_data():
        with pytest.raises(RuntimeError, match=r"only versions below 1 do.*az\.loo\(tree\)"):
            to_inference_data(tree)
        return
    data = to_inference_data(tree)
    assert isinstance(data, arviz().InferenceData)
    assert set(data.groups()) == set(tree.children)
    data.to_netcdf(str(tmp_path / "data.nc"))
    read = arviz().from_netcdf(str(tmp_path / "data.nc"))
    for name, group in tree.children.items():
        xarray.testing.assert_identical(read[name].load(), group.to_dataset())
    assert read.attrs == tree.attrs
    with xarray.open_datatree(tmp_path / "data.nc") as opened:  # what ArviZ 1.x will do
        xarray.testing.assert_identical(opened.load(), tree)


def test_attributes_that_netcdf_cannot_hold_are_written_as_json(tmp_path):
    extras = {"early": None, "compiled": True, "fit": {"lr": [0.1, 0.2]}, "seed": 2**64, "λ": 0.5}
    tree = Regression(1).tree(attrs=extras)
    tree.to_netcdf(tmp_path / "tree.nc")
    with xarray.open_datatree(tmp_path / "tree.nc") as opened:
        attrs = opened.posterior.attrs
    assert {name: json.loads(str(attrs[name])) for name in extras} == extras


def test_plots_read_the_dims():
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("Agg")
    tree = readable(Regression(3).tree())
    arviz().plot_forest(tree, var_names=["layer1.weight"])
    arviz().plot_loo_pit(tree, **({"y": "y"} if has_inference_data() else {}))
    assert pyplot.get_fignums()
    pyplot.close("all")


@pytest.mark.parametrize("sure", [slice(4, 7), slice(None)], ids=["some", "all"])
@pytest.mark.parametrize("value", [0.0, -2.3, -1e5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loo_takes_observations_whose_likelihood_is_the_same_in_every_draw(sure, value, dtype):
    fit = Regression(3)
    log_lik = fit.log_lik.astype(dtype)
    log_lik[:, :, sure] = value
    before = log_lik.copy()
    tree = fit.tree(log_likelihood={"y": log_lik})
    values, shapes = loo(tree, reff=1.0)
    np.testing.assert_allclose(values[sure], dtype(value), rtol=1e-6, atol=1e-9)
    assert (shapes < 0.7).all()
    assert tree.log_likelihood.attrs["ties_separated"] == len(values[sure])
    np.testing.assert_array_equal(log_lik, before)
    np.testing.assert_allclose(tree.log_likelihood["y"], before, rtol=1.1e-10, atol=1.1e-10)
    untouched = np.ones(log_lik.shape[-1], bool)
    untouched[sure] = False
    np.testing.assert_array_equal(tree.log_likelihood["y"][..., untouched], before[..., untouched])


def test_exact_tempered_guide_is_a_good_sampler_of_its_own_target_only():
    """Of 2,000 draws k̂ has a standard deviation of 0.18 about 1.0: the mean of 16 has 0.045."""
    fit = Regression(5, kl_weight=0.1, chains=16)
    ks = {
        kl_weight: np.mean(
            [
                pareto_k(tempered_log_weights(*totals, kl_weight=kl_weight))
                for totals in zip(fit.log_prior, fit.log_lik.sum(-1), fit.log_q, strict=True)
            ]
        )
        for kl_weight in (0.1, 1.0)
    }
    assert ks[0.1] < 0.5
    assert ks[1.0] > 0.7


@pytest.mark.parametrize(
    ("stretch", "low", "high"), [(1.05, -1, 0.5), (0.98, -1, 0.5), (0.3, 0.7, 9)]
)
def test_k_of_a_guide_that_is_nearly_exact_or_far_too_narrow(stretch, low, high):
    """The mean of 16 k̂, of which one has a standard deviation of 0.09, and 0.18 about 1.0."""
    fit = Regression(5, kl_weight=0.1, chains=16)
    draws = fit.mean + stretch * (fit.weight - fit.mean)
    weights = tempered_log_weights(
        norm.logpdf(draws, 0, SCALE).sum(-1),
        norm.logpdf(fit.y, draws @ fit.x.T, NOISE).sum(-1),
        norm.logpdf(draws, fit.mean, stretch * fit.sd).sum(-1),
        kl_weight=0.1,
    )
    assert low < np.mean([pareto_k(each) for each in weights]) < high


@pytest.mark.parametrize("k", [0.2, 0.5, 0.8])
def test_k_of_a_two_dimensional_normal_that_is_too_narrow(k):
    # |w|²/2 of a standard normal in the plane is exponential, so that the weights of N(0, 1 - k)
    # against N(0, 1), exp(k |w|²/2), are exactly Pareto with shape k.
    squares = np.random.default_rng(1).exponential(size=200_000)
    # PSIS pulls k̂ towards 1/2 as ten more draws in the tail would.
    assert pareto_k(k * squares) == pytest.approx(k, abs=5.5 * (1 + k) / np.sqrt(1341))


@pytest.mark.parametrize(("growth", "expected"), [(0.3, 0.7), (0.0, 0.4), (-0.2, 0.4)])
def test_k_of_an_expectation_is_that_of_the_heavier_tail(growth, expected):
    # As above with k = 0.4: h = exp(g |w|²/2), of either sign, has h r exactly Pareto of 0.4 + g.
    rng = np.random.default_rng(3)
    squares = rng.exponential(size=200_000)
    values = np.exp(growth * squares) * rng.choice([-1.0, 1.0], len(squares))
    error = 5.5 * (1 + expected) / np.sqrt(1341)
    assert pareto_k(0.4 * squares, values) == pytest.approx(expected, abs=error)


def test_k_of_what_takes_no_other_values_is_that_of_the_weights():
    weights = np.random.default_rng(4).normal(size=400)
    k = pareto_k(weights)
    for values in (np.zeros(400), np.ones(400), weights > 0, np.where(weights > 1, 1e-9, 0)):
        assert pareto_k(weights, values) == k
    shorter = np.where(weights < 0, weights, 0)  # none where the weights are large
    assert pareto_k(weights, shorter) == k
    for values in (np.ones(399), np.full(400, np.nan), np.ones((400, 2))):
        with pytest.raises(ValueError, match="values must be a finite number for each of 400"):
            pareto_k(weights, values)


def zhang_stephens(log_weights):
    """The estimator of Zhang and Stephens (2009) with the tail of Vehtari et al. (2024)."""
    ordered = np.sort(log_weights - log_weights.max())
    n = int(min(len(ordered) / 5, 3 * len(ordered) ** 0.5))
    x = np.exp(ordered[-n:]) - np.exp(ordered[-n - 1])
    m = 30 + int(n**0.5)
    quartile = x[int(n / 4 + 0.5) - 1]
    theta = 1 / x[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * quartile)
    shape = -np.log1p(-theta[:, None] * x).mean(1)
    log_profile = n * (np.log(theta / shape) + shape - 1)
    weights = np.exp(log_profile - log_profile.max())
    k = np.log1p(-(theta @ weights) / weights.sum() * x).mean()
    return (n * k + 5) / (n + 10)


# Left to itself, either generation takes a tail of its own length at most of these sizes.
@pytest.mark.parametrize("draws", [30, 34, 100, 225, 226, 1000, 1001, 4000])
def test_k_equals_the_published_estimator_under_every_arviz(draws):
    weights = 2 * np.random.default_rng(draws).normal(size=draws)
    assert pareto_k(weights) == pytest.approx(zhang_stephens(weights), abs=1e-9)


def test_k_takes_weight_zero_and_the_order_and_level_do_not_matter():
    rng = np.random.default_rng(2)
    weights = 0.6 * rng.exponential(size=100_000)  # k̂ is 0.60 ± 0.05; of a thousand ± 0.15
    weights[::3] = -np.inf
    k = pareto_k(torch.from_numpy(weights))
    assert pareto_k(rng.permutation(weights) - 1e5) == pytest.approx(k, abs=1e-6)
    assert 0.3 < k < 0.9


def test_k_of_equal_weights_is_zero_and_of_a_single_weight_infinite():
    assert pareto_k(np.full(1000, -1234.5)) == 0.0
    assert pareto_k(np.r_[0.0, np.full(999, -np.inf)]) == np.inf


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros((2, 50)), r"one dimension.*\(2, 50\)"),
        (np.zeros(29), "at least 30 draws, got 29"),
        (np.r_[np.zeros(50), np.nan], "NaN"),
        (np.r_[np.zeros(50), np.inf], r"\+inf"),
        (np.full(50, -np.inf), "no draw has any weight"),
    ],
)
def test_weights_without_a_shape_are_refused(weights, message):
    with pytest.raises(ValueError, match=f"log_weights.*{message}"):
        pareto_k(weights)


@pytest.mark.parametrize(
    ("kl_weight", "message"),
    [
        (0.0, "kl_weight must be > 0 .*got 0: the tempered target is then a point"),
        (-1.0, r"kl_weight must be a finite number >= 0, got -1\.0"),
        (float("nan"), "kl_weight must be a finite number >= 0, got nan"),
        ("much", "kl_weight must be a finite number >= 0, got 'much'"),
    ],
)
def test_weights_need_a_positive_kl_weight(kl_weight, message):
    with pytest.raises(ValueError, match=message):
        tempered_log_weights(np.zeros(3), np.zeros(3), np.zeros(3), kl_weight)


def test_totals_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"log_q_total must .*\(3,\), got \(3, 1\)"):
        tempered_log_weights(np.zeros(3), np.zeros(3), np.zeros((3, 1)), 1.0)


def test_totals_in_float32_are_summed_in_float64():
    large = np.full(3, 2.0**25, np.float32)
    weights = tempered_log_weights(large, np.ones(3, np.float32), large, 1.0)
    np.testing.assert_array_equal(weights, 1.0)


ZEROS = np.zeros((2, 2000))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"posterior": {}}, "posterior must hold at least one site"),
        ({"posterior": {"w": np.zeros(5)}}, r"posterior\['w'\] must be chain x draw, got .*\(5,\)"),
        (
            {"posterior": {"layer1.weight": np.zeros((2, 2000, 3))}},
            r"posterior\['layer1.weight'\] must be chain x draw x layer1.out x layer1.in, got",
        ),
        (
            {"posterior": {"a": ZEROS, "b": ZEROS[:, :-1]}},
            r"posterior\['b'\] must have 2000 along 'draw', got 1999",
        ),
        ({"posterior": {"a/b": ZEROS}}, "without '/', got 'a/b'"),
        ({"posterior": {"draw": ZEROS}}, r"posterior\['draw'\] must not have the name"),
        ({"posterior": {"kl_weight": ZEROS}}, r"posterior\['kl_weight'\] must not have the name"),
        (
            {"posterior": {"w": np.zeros((2, 2000, 3, 3))}, "dims": {"w": ("in", "in")}},
            r"dims\['w'\] must name each dimension once",
        ),
        (
            {"posterior": {"a": ZEROS[..., None], "b": np.zeros((2, 2000, 3))},
             "dims": {"a": ("in",), "b": ("in",)}},
            r"posterior\['b'\] must have 1 along 'in', got 3",
        ),
        ({"coords": {"layer1.in": ["x0"]}}, r"coords\['layer1.in'\] must have 3 labels, got 1"),
        ({"log_prior": {"w": ZEROS[0]}}, r"log_prior\['w'\] must be chains x draws, \(2, 2000\)"),
        ({"log_q": ZEROS[..., None]}, r"log_q must be chains x draws, \(2, 2000\)"),
        ({"log_lik_total": ZEROS[:1]}, r"log_lik_total must be chains x draws, \(2, 2000\)"),
        ({"log_likelihood": {"y": ZEROS}}, r"log_likelihood\['y'\] must be chain x draw x obs"),
        (
            {"observed_data": {"y": np.zeros(25)}},
            r"observed_data\['y'\] must have 24 along 'observation', got 25",
        ),
        ({"svi": {"loss": np.zeros((3, 5))}}, r"svi\['loss'\] must have 2 along 'chain', got 3"),
        ({"svi": {"loss": np.float64(1.0)}}, r"svi\['loss'\] must be chains x steps"),
        ({"kl_weight": -0.1}, r"kl_weight must be a finite number >= 0, got -0\.1"),
        ({"kl_weight": float("inf")}, "kl_weight must be a finite number >= 0, got inf"),
    ],
)  # fmt: skip
def test_arguments_that_disagree_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Regression(3).tree(**changes)


def test_only_trees_become_inference_data():
    with pytest.raises(TypeError, match=r"tree must be an xarray\.DataTree, got dict"):
        to_inference_data({})


@pytest.mark.slow
def test_importing_the_module_loads_neither_arviz_nor_xarray():
    heavy = "{'arviz', 'arviz_stats', 'xarray', 'matplotlib', 'pandas'}"
    code = f"import sys, bayesnas.export.datatree; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
