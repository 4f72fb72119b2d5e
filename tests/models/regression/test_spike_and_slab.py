"""SpikeAndSlabRegression against enumeration of all supports."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.datasets import load_diabetes
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.models.base import BayesianModel
from bayesnas.models.regression.spike_and_slab import SpikeAndSlabRegression
from bayesnas.testing import ModelContract

Array = NDArray[np.float64]
Data = tuple[Tensor, Tensor]


class TestSupports(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabRegression(4, inclusion=0.3)

    def make_data(self) -> Data:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(20, 4, generator=generator)
        return x, x[:, 0] - 2 * x[:, 1] + 0.3 * torch.randn(20, generator=generator)


class TestMeanField(TestSupports):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabRegression(
            4, slab_scale="learned", noise_scale=0.3, guide="mean-field", intercept=False
        )


class TestLogistic(TestSupports):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabRegression(4, slab_scale=2.0, likelihood="bernoulli")

    def make_data(self) -> Data:
        x, y = super().make_data()
        return x, (y > 0).long()


class TestLogisticMeanField(TestLogistic):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabRegression(4, likelihood="bernoulli", guide="mean-field")


def inclusion_by_enumeration(features: int, log_evidence, prior: float) -> Array:
    """Σ over supports of p(Γ | y) Γ, given ln p(y | Γ) of a tuple of feature indices."""
    supports = list(itertools.product((0, 1), repeat=features))
    logs = np.array(
        [
            log_evidence(np.flatnonzero(support))
            + sum(support) * math.log(prior)
            + (features - sum(support)) * math.log(1 - prior)
            for support in supports
        ]
    )
    weights = np.exp(logs - logs.max())
    inclusion: Array = weights / weights.sum() @ np.array(supports, dtype=float)
    return inclusion


def linear_inclusion(
    x: Array, y: Array, noise: float, slab: float = 1.0, prior: float = 0.5
) -> Array:
    x, y = x - x.mean(0), y - y.mean()

    def log_evidence(on: NDArray[np.intp]) -> float:
        z = x[:, on]
        precision = z.T @ z / noise**2 + np.eye(len(on)) / slab**2
        linear = z.T @ y / noise**2
        gain = 0.5 * linear @ np.linalg.solve(precision, linear)
        return float(gain - 0.5 * np.linalg.slogdet(precision)[1] - len(on) * math.log(slab))

    return inclusion_by_enumeration(x.shape[1], log_evidence, prior)


def logistic_inclusion(
    x: Array, y: Array, intercept: float, slab: float = 1.0, prior: float = 0.5
) -> Array:
    """Evidence of every support by Laplace's approximation."""

    def log_evidence(on: NDArray[np.intp]) -> float:
        z, w = x[:, on], np.zeros(len(on))
        for _ in range(50):
            p = expit(intercept + z @ w)
            hessian = (z.T * (p * (1 - p))) @ z + np.eye(len(on)) / slab**2
            w = w + np.linalg.solve(hessian, z.T @ (y - p) - w / slab**2)
        f = intercept + z @ w
        log_joint = (y * f - np.logaddexp(0, f)).sum() - 0.5 * w @ w / slab**2
        return float(log_joint - 0.5 * np.linalg.slogdet(hessian)[1] - len(on) * math.log(slab))

    return inclusion_by_enumeration(x.shape[1], log_evidence, prior)


def correlated(n: int, features: int, rho: float, seed: int) -> tuple[Array, np.random.Generator]:
    """Standardised features, each correlated by ρ with the one before."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, features))
    for j in range(1, features):
        x[:, j] = rho * x[:, j - 1] + math.sqrt(1 - rho**2) * x[:, j]
    return (x - x.mean(0)) / x.std(0), generator


def diabetes() -> tuple[Array, Array]:
    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


def fitted(
    model: SpikeAndSlabRegression, x: Array, y: Array, **options: object
) -> tuple[Array, SpikeAndSlabRegression]:
    """Inclusion probabilities and the fitted model; one batch of all by default."""
    settings: dict[str, object] = {
        "batch_size": len(x), "compile": "trace", "progress": False, **options
    }  # fmt: skip
    data = (torch.tensor(x).float(), torch.tensor(y).float())
    post = bn.fit(model, data, **settings)  # type: ignore[arg-type]
    assert isinstance(post.model, SpikeAndSlabRegression)
    structure = post.structure()["inclusion"]
    assert structure.dims == ("feature",)
    return structure.values, post.model


def noise_of(model: SpikeAndSlabRegression) -> float:
    return float(model.likelihood.noise_scale.detach())  # type: ignore[union-attr]


@pytest.mark.slow_except("None")
@pytest.mark.parametrize("noise_scale", [None, 0.7])
def test_diabetes_equals_enumeration(noise_scale: float | None) -> None:
    """Ten features, some correlated by 0.9, 1024 supports; defaults of the model."""
    x, y = diabetes()
    model = bn.models.SpikeAndSlabRegression(10, noise_scale=noise_scale)
    inclusion, model = fitted(model, x, y, steps=150, lr=0.05)
    exact = linear_inclusion(x, y, noise_of(model))
    assert 0.3 < exact[4] < 0.7  # not only certain ones
    assert np.abs(inclusion - exact).max() < 0.05


@pytest.mark.slow
def test_diabetes_in_minibatches() -> None:
    """The start is the posterior of 64 examples, so training has to do the rest."""
    x, y = diabetes()
    model = bn.models.SpikeAndSlabRegression(10)
    inclusion, model = fitted(model, x, y, batch_size=64, steps=4000, lr=0.03)
    assert np.abs(inclusion - linear_inclusion(x, y, noise_of(model))).max() < 0.05


@pytest.mark.slow_except("False-0.05-0.95")
@pytest.mark.parametrize("rho", [0.5, 0.95])
@pytest.mark.parametrize("noise", [0.05, 2.0])
@pytest.mark.parametrize("noise_known", [True, False])
def test_correlated_designs_at_low_and_high_noise(
    noise: float, rho: float, noise_known: bool
) -> None:
    x, generator = correlated(100, 7, rho, seed=1)
    w = np.array([1.0, 0.0, -0.7, 0.0, 0.0, 0.4, 0.0])
    y = x @ w + noise * generator.standard_normal(100)
    model = bn.models.SpikeAndSlabRegression(
        7, inclusion=0.3, slab_scale=1.5, noise_scale=noise if noise_known else None
    )
    inclusion, model = fitted(model, x, y, steps=300, lr=0.01)
    exact = linear_inclusion(x, y, noise_of(model), slab=1.5, prior=0.3)
    assert np.abs(inclusion - exact).max() < 0.05


@pytest.mark.slow_except("0.3")
@pytest.mark.parametrize("kl_weight", [0.3, 5.0])
def test_another_kl_weight_tempers_the_noise(kl_weight: float) -> None:
    """σ² → λσ²; the start is that of λ = 1, so training has to go there."""
    x, generator = correlated(80, 5, 0.8, seed=2)
    y = x @ np.array([0.6, 0.0, -0.4, 0.0, 0.2]) + generator.standard_normal(80)
    model = bn.models.SpikeAndSlabRegression(5, noise_scale=1.0)
    inclusion, _ = fitted(model, x, y, steps=500, lr=0.05, kl_weight=kl_weight)
    exact = linear_inclusion(x, y, math.sqrt(kl_weight))
    assert np.abs(exact - linear_inclusion(x, y, 1.0)).max() > 0.1
    assert np.abs(inclusion - exact).max() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "seed"), [(0.5, 0), (0.9, 1)])
def test_logistic_regression_equals_enumeration_with_laplace(rho: float, seed: int) -> None:
    x, generator = correlated(200, 5, rho, seed)
    y = (generator.random(200) < expit(x @ np.array([1.0, 0.0, -0.7, 0.3, 0.0]) + 0.3)) * 1.0
    model = bn.models.SpikeAndSlabRegression(5, likelihood="bernoulli")
    inclusion, model = fitted(model, x, y, steps=300, lr=0.05)
    exact = logistic_inclusion(x, y, float(model.offset().detach()))
    assert ((exact > 0.1) & (exact < 0.9)).any()
    assert np.abs(inclusion - exact).max() < 0.02


@pytest.mark.slow
def test_logistic_regression_in_minibatches() -> None:
    """Batches of 64 of 2000; a start on one of them would lose the supports of weak weights."""
    x, generator = correlated(2000, 5, 0.5, seed=0)
    y = (generator.random(2000) < expit(x @ np.array([0.3, 0.0, -0.2, 0.1, 0.0]) + 0.3)) * 1.0
    model = bn.models.SpikeAndSlabRegression(5, likelihood="bernoulli")
    inclusion, model = fitted(model, x, y, batch_size=64, steps=3000, lr=0.03)
    exact = logistic_inclusion(x, y, float(model.offset().detach()))
    assert np.abs(inclusion - exact).max() < 0.05


def collinear() -> tuple[Array, Array]:
    """The first two features say the same, and y needs one of them, no matter which."""
    x, generator = correlated(100, 4, 0.0, seed=3)
    x[:, 1] = x[:, 0] + 0.02 * generator.standard_normal(100)
    return x, x[:, 0] + generator.standard_normal(100)


def separated(kind: str) -> tuple[Array, Array]:
    """Classes that a plane tells apart, in inputs that are the same for all seeds."""
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((10 if kind == "few" else 20, 2))
    if kind != "independent":
        x[:, 1] = x[:, 0] + 0.3 * x[:, 1]
    return x, (x[:, 0] > 0).astype(float)


def exact_logistic(x: Array, y: Array, slab: float) -> tuple[Array, float]:
    """Inclusion and log evidence by quadrature on every support, finer near 0."""

    def log_evidence(on: NDArray[np.intp]) -> float:
        points = {0: 1, 1: 4001, 2: 401}[len(on)]
        t = np.linspace(-1, 1, points) if points > 1 else np.zeros(1)
        grid = 8 * slab * np.sinh(8 * t) / math.sinh(8)
        log_step = np.log(64 * slab * np.cosh(8 * t) / math.sinh(8) * 2 / max(points - 1, 1))
        w = np.stack([g.ravel() for g in np.meshgrid(*[grid] * len(on))], 1) if len(on) else None
        if w is None:
            return -len(y) * math.log(2)
        steps = sum(s.ravel() for s in np.meshgrid(*[log_step] * len(on)))
        log_lik = -np.logaddexp(0, (1 - 2 * y) * (w @ x[:, on].T)).sum(1)
        log_prior = -0.5 * (w**2).sum(1) / slab**2 - len(on) * math.log(
            slab * math.sqrt(2 * math.pi)
        )
        return float(np.logaddexp.reduce(log_lik + log_prior + steps))

    logs = [log_evidence(np.flatnonzero(s)) for s in itertools.product((0, 1), repeat=2)]
    return inclusion_by_enumeration(2, log_evidence, 0.5), float(
        np.logaddexp.reduce(logs) - 2 * math.log(2)
    )


@pytest.mark.slow_except("independent-10.0-0.02-0.2")
@pytest.mark.parametrize(
    ("kind", "slab", "off", "below"),
    [
        ("independent", 1.0, 0.005, 0.02),
        ("independent", 10.0, 0.02, 0.2),
        ("independent", 100.0, 0.05, 0.6),
        ("correlated", 10.0, 0.02, 0.2),
        ("few", 10.0, 0.02, 0.2),
    ],
)
def test_separated_classes_equal_quadrature_within_the_documented_error(
    kind: str, slab: float, off: float, below: float
) -> None:
    """A support keeps its weight; under one Gaussian for all of them it lost .213 to .000."""
    x, y = separated(kind)
    exact, log_evidence = exact_logistic(x, y, slab)
    model = bn.models.SpikeAndSlabRegression(
        2, slab_scale=slab, likelihood="bernoulli", intercept=False
    )
    inclusion, model = fitted(model, x, y, steps=200, lr=0.02)
    assert inclusion == pytest.approx(exact, abs=off)
    bound = float(
        bound_terms(model, torch.tensor(x).float(), torch.tensor(y).float()).bound(1.0).detach()
    )
    assert log_evidence - below < bound < log_evidence + 1e-4


@pytest.mark.slow
def test_collinear_features_need_the_guide_over_supports() -> None:
    x, y = collinear()
    exact = linear_inclusion(x, y, 1.0)
    assert (np.abs(exact[:2] - 0.6) < 0.15).all()
    for guide, follows in (("supports", True), ("mean-field", False)):
        model = bn.models.SpikeAndSlabRegression(4, noise_scale=1.0, guide=guide)
        inclusion, _ = fitted(model, x, y, steps=600, lr=0.03)
        assert (np.abs(inclusion - exact).max() < 0.05) == follows


@pytest.mark.slow_except("gaussian")
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_mean_field_is_right_for_independent_features(likelihood: str) -> None:
    generator = np.random.default_rng(5)
    basis, _ = np.linalg.qr(np.c_[np.ones(300), generator.standard_normal((300, 5))])
    x = basis[:, 1:] * math.sqrt(300)
    f = x @ np.array([0.5, 0.12, 0.0, -0.1, 0.0])
    if likelihood == "gaussian":
        y = f + generator.standard_normal(300)
        model = SpikeAndSlabRegression(5, noise_scale=1.0, guide="mean-field")
        inclusion, _ = fitted(model, x, y, steps=1500, lr=0.03)
        exact = linear_inclusion(x, y, 1.0)
    else:
        y = (generator.random(300) < expit(2 * f)) * 1.0
        model = SpikeAndSlabRegression(5, likelihood=likelihood, guide="mean-field")
        inclusion, model = fitted(model, x, y, steps=1500, lr=0.03)
        exact = logistic_inclusion(x, y, float(model.offset().detach()))
    assert np.abs(inclusion - exact).max() < 0.05


def test_many_features_take_the_mean_field_guide() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 60, generator=generator)
    y = 2 * x[:, 3] - x[:, 41] + 0.5 * torch.randn(200, generator=generator)
    model = bn.models.SpikeAndSlabRegression(60, inclusion=0.05)
    assert model.guide_family == "mean-field"
    post = bn.fit(model, (x, y), steps=1000, lr=0.03, compile="trace", progress=False)
    inclusion = post.structure()["inclusion"].values
    assert set(np.flatnonzero(inclusion > 0.5)) == {3, 41}
    assert float(post.evaluate((x, y))["rmse"]) < 0.6


def test_the_bound_is_the_log_evidence_and_draws_have_exact_zeros() -> None:
    x, y = collinear()
    model = bn.models.SpikeAndSlabRegression(4, noise_scale=1.0, intercept=False)
    data = (torch.tensor(x).float(), torch.tensor(y).float())
    post = bn.fit(model, data, steps=300, lr=0.05, compile="trace", progress=False)
    logs = []
    for support in itertools.product((0, 1), repeat=4):
        z = x[:, np.flatnonzero(support)]
        covariance = np.eye(100) + z @ z.T
        logs.append(
            -0.5 * (np.linalg.slogdet(covariance)[1] + y @ np.linalg.solve(covariance, y))
            - 50 * math.log(2 * math.pi)
            + 4 * math.log(0.5)
        )
    exact = float(np.logaddexp.reduce(logs))
    assert -float(post.history()["loss"].values[0, -1]) == pytest.approx(exact, abs=0.01)
    draws = post.sample(draws=400)["weight"]
    share = (draws != 0).float().mean(0).numpy()
    assert np.abs(share - post.structure()["inclusion"].values).max() < 5.5 * 0.5 / 20
    assert post.evaluate(data, draws=400)["elbo"] == pytest.approx(exact, abs=0.5)


def test_the_plain_module_predicts_like_the_posterior_means() -> None:
    x, y = diabetes()
    x = x + 3.0
    _, model = fitted(bn.models.SpikeAndSlabRegression(10), x, y + 1.0, steps=20)
    inputs = torch.tensor(x).float()
    with torch.no_grad():
        expected = model.predictor(inputs, model.coefficients())
        assert torch.allclose(model.plain_module()(inputs)[:, 0], expected, atol=1e-4)


def test_a_saved_run_rebuilds_its_model(tmp_path) -> None:
    x, y = collinear()
    data = (torch.tensor(x).float(), torch.tensor(y).float())
    model = bn.models.SpikeAndSlabRegression(4, inclusion=0.2, slab_scale="learned")
    post = bn.fit(model, data, steps=5, progress=False)
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert loaded.structure().equals(post.structure())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inclusion": 1.5}, r"inclusion must be a probability in \(0, 1\), got 1.5"),
        ({"inclusion": 0.0}, r"inclusion must be a probability in \(0, 1\), got 0.0"),
        ({"inclusion": -0.1}, r"inclusion must be a probability in \(0, 1\)"),
        ({"slab_scale": 0.0}, "slab_scale must be a finite number > 0, got 0.0"),
        ({"slab_scale": "learnt"}, "slab_scale must be a finite number > 0, got 'learnt'"),
        ({"noise_scale": -1.0}, "noise_scale must be a number > 0"),
        ({"likelihood": "categorical"}, "likelihood must be one of"),
        ({"likelihood": "bernoulli", "noise_scale": 1.0}, "noise_scale goes with"),
        ({"guide": "full"}, "guide must be one of"),
        ({"in_features": 17, "guide": "supports"}, "takes in_features <= 16, got 17"),
        ({"in_features": 2.5}, "in_features must be a whole number >= 1, got 2.5"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"in_features": 4, **options}
    with pytest.raises(ValueError, match=message):
        bn.models.SpikeAndSlabRegression(**arguments)  # type: ignore[arg-type]
