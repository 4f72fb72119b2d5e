"""ArdRegression against scikit-learn, the exact evidence, and noise features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, make_regression
from sklearn.linear_model import ARDRegression
from torch import Tensor

import bayesnas as bn
from bayesnas.models.base import BayesianModel
from bayesnas.models.regression.ard import ArdRegression
from bayesnas.testing import ModelContract

Data = tuple[Tensor, Tensor]


class TestMaximum(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.ArdRegression(4)

    def make_data(self) -> Data:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(20, 4, generator=generator)
        return x, x[:, 0] - 2 * x[:, 1] + 0.3 * torch.randn(20, generator=generator)


class TestPosterior(TestMaximum):
    def make_model(self) -> BayesianModel:
        return bn.models.ArdRegression(4, hyperparameters="posterior")


class TestKnownNoise(TestMaximum):
    def make_model(self) -> BayesianModel:
        return bn.models.ArdRegression(
            4, noise_scale=0.3, hyperparameters="posterior", intercept=False
        )


def fitted(x: np.ndarray, y: np.ndarray, **options: object) -> tuple[bn.Posterior, ArdRegression]:
    model = bn.models.ArdRegression(
        x.shape[1], hyperparameters=str(options.pop("hyperparameters", "maximum"))
    )
    data = (torch.tensor(x).float(), torch.tensor(y).float())
    settings: dict[str, object] = {
        "batch_size": len(x), "compile": "trace", "progress": False, **options
    }  # fmt: skip
    post = bn.fit(model, data, **settings)  # type: ignore[arg-type]
    assert isinstance(post.model, ArdRegression)
    return post, post.model


def well_determined(reference: ARDRegression) -> np.ndarray:
    """MacKay's γ of scikit-learn's fit; 0 for the features that it removed."""
    kept = reference.lambda_ < reference.threshold_lambda
    gamma = np.zeros(len(kept))
    gamma[kept] = 1 - np.diag(reference.sigma_) * reference.lambda_[kept]
    return gamma


def test_diabetes_agrees_with_scikit_learn() -> None:
    x, y = load_diabetes(return_X_y=True)
    reference = ARDRegression().fit(x, y)
    post, model = fitted(x, y, steps=1500, lr=0.05)
    kept = well_determined(reference) > 0.5
    assert kept.tolist() == (post.structure()["inclusion"].values > 0.5).tolist()
    ours = model.coefficients().numpy()
    assert kept.sum() == 6
    assert np.allclose(ours[kept], reference.coef_[kept], rtol=0.02)
    assert np.abs(ours[~kept] - reference.coef_[~kept]).max() < 0.02 * np.abs(ours).max()
    assert float(model.likelihood.noise_scale.detach()) == pytest.approx(
        reference.alpha_**-0.5, rel=0.01
    )
    plain = model.plain_module()
    predicted = plain(torch.tensor(x).float())[:, 0].detach().numpy()
    assert np.abs(predicted - reference.predict(x)).max() < 0.02 * y.std()


@pytest.mark.slow
def test_scikit_learns_own_example_run_to_convergence() -> None:
    """As many features as examples; the example itself stops after 30 of about 800 iterations."""
    x, y, _ = make_regression(
        n_samples=100, n_features=100, n_informative=10, noise=8, coef=True, random_state=42
    )
    reference = ARDRegression(max_iter=20_000, tol=1e-9).fit(x, y)
    post, model = fitted(x, y, steps=12_000, lr=0.01)
    kept = well_determined(reference) > 0.5
    assert kept.tolist() == (post.structure()["inclusion"].values > 0.5).tolist()
    ours = model.coefficients().numpy()
    assert np.allclose(ours[kept], reference.coef_[kept], rtol=0.02)
    assert np.abs(ours - reference.coef_).max() < 1e-3 * np.abs(ours).max()


@pytest.mark.slow
def test_scikit_learns_own_example_as_it_stands() -> None:
    """After its 30 iterations: all within 2 % of the largest coefficient, true ones within 5 %."""
    x, y, coefficients = make_regression(
        n_samples=100, n_features=100, n_informative=10, noise=8, coef=True, random_state=42
    )
    reference = ARDRegression(compute_score=True, max_iter=30).fit(x, y)
    _, model = fitted(x, y, steps=1000, lr=0.05)
    ours, true = model.coefficients().numpy(), coefficients != 0
    assert np.abs(ours - reference.coef_).max() < 0.02 * np.abs(reference.coef_).max()
    assert np.allclose(ours[true], reference.coef_[true], rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("hyperparameters", ["maximum", "posterior"])
def test_prior_variances_of_noise_features_go_to_zero(hyperparameters: str) -> None:
    """Features built to be orthogonal to y and to each other, so no chance correlation is left."""
    generator = np.random.default_rng(0)
    basis, _ = np.linalg.qr(np.c_[np.ones(80), generator.standard_normal((80, 7))])
    x = basis[:, 1:7] * np.sqrt(80)
    y = x[:, 0] - 0.5 * x[:, 1] + 0.4 * basis[:, 7] * np.sqrt(80)
    before = None
    for steps in (300, 1000):
        post, model = fitted(x, y, steps=steps, lr=0.05, hyperparameters=hyperparameters)
        variance = model.prior_variance().numpy()
        if before is not None:  # it keeps falling
            assert (variance[2:] < 0.5 * before).all()
        before = variance[2:]
    assert (variance[2:] < 1e-3).all()
    assert (variance[:2] > 0.1).all()
    inclusion = post.structure()["inclusion"]
    assert inclusion.dims == ("feature",)
    assert (inclusion[:2] > 0.95).all()
    assert (inclusion[2:] < 0.1).all()


def exact_evidence(x: np.ndarray, y: np.ndarray, variances: np.ndarray, noise: float) -> float:
    """ln N(y; 0, σ² I + X A Xᵀ) of centred data."""
    x, y = x - x.mean(0), y - y.mean()
    covariance = noise**2 * np.eye(len(y)) + (x * variances) @ x.T
    _, log_det = np.linalg.slogdet(covariance)
    square = y @ np.linalg.solve(covariance, y)
    return float(-0.5 * (log_det + square + len(y) * np.log(2 * np.pi)))


def test_the_bound_is_the_log_evidence() -> None:
    x, y = load_diabetes(return_X_y=True)
    post, model = fitted(x, y, steps=300, lr=0.05)
    noise = float(model.likelihood.noise_scale.detach())
    exact = exact_evidence(x, y, model.prior_variance().double().numpy(), noise)
    bound = -float(post.history()["loss"].values[0, -1])
    assert bound == pytest.approx(exact, abs=0.05)


@pytest.mark.slow
def test_full_bayes_has_the_posterior_of_the_conjugate_updates() -> None:
    """Coordinate ascent of Bishop and Tipping (2000), iterated to convergence."""
    generator = np.random.default_rng(1)
    x = generator.standard_normal((60, 3))
    y = x @ np.array([1.0, 0.5, 0.25]) + 0.5 * generator.standard_normal(60)
    x, y = x - x.mean(0), y - y.mean()
    _, model = fitted(x, y, steps=1500, lr=0.05, hyperparameters="posterior")
    alpha, tau = np.ones(3), 1.0
    for _ in range(2000):
        covariance = np.linalg.inv(np.diag(alpha) + tau * x.T @ x)
        mean = tau * covariance @ x.T @ y
        alpha = (1e-6 + 0.5) / (1e-6 + 0.5 * (mean**2 + np.diag(covariance)))
        error = ((y - x @ mean) ** 2).sum() + np.trace(x @ covariance @ x.T)
        tau = (1e-6 + 30) / (1e-6 + 0.5 * error)
    with torch.no_grad():
        posterior = model.weight_posterior()
        precision = model.noise_precision()[0]
    assert np.allclose(posterior.mean.numpy(), mean, rtol=0.01)
    assert np.allclose(posterior.variance.sqrt().numpy(), np.sqrt(np.diag(covariance)), rtol=0.02)
    assert np.allclose(1 / model.prior_variance().numpy(), alpha, rtol=0.05)
    assert precision.item() == pytest.approx(tau, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_features": 0}, "in_features must be a whole number >= 1, got 0"),
        ({"in_features": 3, "noise_scale": 0.0}, "noise_scale must be a number > 0"),
        ({"in_features": 3, "hyperparameters": "both"}, "hyperparameters must be one of"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bn.models.ArdRegression(**arguments)  # type: ignore[arg-type]


def test_data_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x must have shape \[n, 3\], got \[5, 2\]"):
        bn.fit(bn.models.ArdRegression(3), (torch.zeros(5, 2), torch.zeros(5)), steps=1)
