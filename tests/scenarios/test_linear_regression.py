"""Fits of Bayesian linear regression against its exact tempered posterior."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import bayesnas as bn
from bayesnas.data import Split

NOISE, PRIOR = 0.5, 2.0
KL_WEIGHTS = (
    0.5,
    pytest.param(1.0, marks=pytest.mark.slow),
    pytest.param(2.0, marks=pytest.mark.slow),
    10.0,
)


def regression_data(correlated: bool) -> tuple[Tensor, Tensor]:
    """120 examples of 4 features whose coefficients stand well clear of the noise."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(120, 4, generator=generator)
    if correlated:
        x[:, 1] = 0.7 * x[:, 0] + 0.3 * x[:, 1]
    noise = NOISE * torch.randn(120, generator=generator)
    return x, x @ torch.tensor([1.0, -2.0, 0.7, 1.5]) + 0.8 + noise


def exact_mean_field(x: Tensor, y: Tensor, kl_weight: float) -> tuple[Tensor, Tensor, float]:
    """Mean, variances and bound of the best mean-field Gaussian, in closed form.

    The tempered posterior has precision P = XᵀX/(λσ²) + I/s² and mean P⁻¹Xᵀy/(λσ²); the best
    mean-field Gaussian has its mean and the variances 1/diag(P).
    """
    design = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    gram, target = design.T @ design, y.double()
    precision = gram / (kl_weight * NOISE**2) + torch.eye(len(gram)) / PRIOR**2
    mean = torch.linalg.solve(precision, design.T @ target / (kl_weight * NOISE**2))
    variance = 1 / precision.diagonal()
    squares = (target - design @ mean).square().sum() + (gram.diagonal() * variance).sum()
    log_lik = -0.5 * squares / NOISE**2 - len(x) * math.log(NOISE * math.sqrt(2 * math.pi))
    ratio = variance / PRIOR**2
    kl = 0.5 * (ratio + mean.square() / PRIOR**2 - 1 - ratio.log()).sum()
    return mean, variance, float(log_lik - kl_weight * kl)


def linear_net(**options: object) -> bn.models.GaussianNet:
    return bn.models.GaussianNet(
        bn.nn.mlp([4, 1]),
        prior_scale=PRIOR,
        likelihood="gaussian",
        noise_scale=NOISE,
        **options,  # type: ignore[arg-type]
    )


def fitted_moments(post: bn.Posterior) -> tuple[Tensor, Tensor]:
    weights = post.model.weight_posteriors()
    loc = torch.cat([weights["layer1.weight"][0].flatten(), weights["layer1.bias"][0]])
    scale = torch.cat([weights["layer1.weight"][1].flatten(), weights["layer1.bias"][1]])
    return loc.double(), scale.double().square()


SIXTEEN: dict[str, Any] = {"restarts": 16, "batched": True, "compile": "trace"}


def mean_moments(post: bn.Posterior) -> tuple[Tensor, Tensor]:
    """Means and variances of the weights in the mean of all starts."""
    moments = [fitted_moments(post.chain(c)) for c in range(post.chains)]
    locs, variances = zip(*moments, strict=True)
    return torch.stack(locs).mean(0), torch.stack(variances).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize("kl_weight", KL_WEIGHTS)
def test_fit_reaches_the_exact_mean_field_optimum(kl_weight: float) -> None:
    """In the mean of 32 starts.

    That of one start varies by 0.5 % in its means and 4 % in its variances, so this by 0.1 % and
    0.8 %: the bounds are 7 and 6 standard errors away.
    """
    x, y = regression_data(correlated=True)
    post = bn.fit(
        linear_net(), (x, y), kl_weight=kl_weight, steps=3000, batch_size=120, lr=0.03,
        restarts=32, batched=True, compile="trace",
    )  # fmt: skip
    mean, variance, bound = exact_mean_field(x, y, kl_weight)
    loc, fitted_variance = mean_moments(post)
    assert torch.allclose(loc, mean, rtol=0.01, atol=0)
    assert torch.allclose(fitted_variance, variance, rtol=0.05, atol=0)
    fitted = bn.inference.evaluation.metrics.evaluate(
        post.model, Split.as_given((x, y)), kl_weight, draws=500, seed=0
    )
    assert fitted["elbo"] == pytest.approx(bound, rel=0.005)
    assert fitted["elbo"] <= bound + 5 * fitted["elbo_error"]


@pytest.mark.slow
def test_weight_sampling_reaches_the_same_optimum() -> None:
    x, y = regression_data(correlated=False)
    post = bn.fit(
        linear_net(estimator="weight"), (x, y), steps=2000, batch_size=120, lr=0.03, **SIXTEEN
    )
    mean, _, _ = exact_mean_field(x, y, 1.0)
    loc, _ = mean_moments(post)  # of one start they vary by 0.3 %
    assert torch.allclose(loc, mean, rtol=0.01, atol=0)


@pytest.mark.slow
def test_minibatches_reach_the_same_optimum() -> None:
    x, y = regression_data(correlated=False)
    post = bn.fit(
        linear_net(), (x, y), kl_weight=2.0, epochs=500, batch_size=32, lr=0.02, **SIXTEEN
    )
    mean, variance, _ = exact_mean_field(x, y, 2.0)
    loc, fitted_variance = mean_moments(post)  # of one start the variances vary by 4 %
    assert torch.allclose(loc, mean, rtol=0.02, atol=0)
    assert torch.allclose(fitted_variance, variance, rtol=0.1, atol=0)


def test_kl_weight_zero_is_least_squares() -> None:
    x, y = regression_data(correlated=True)
    post = bn.fit(linear_net(), (x, y), kl_weight=0.0, steps=1500, lr=0.03, compile="trace")
    design = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    least_squares = torch.linalg.lstsq(design, y[:, None]).solution.flatten().double()
    assert torch.allclose(fitted_moments(post)[0], least_squares, rtol=0.01, atol=0)


@pytest.mark.slow
def test_pareto_k_tells_the_tempered_target_from_the_posterior() -> None:
    """An orthogonal design, where the mean-field optimum is the tempered posterior itself.

    Towards the posterior k̂ of 400 draws is 0.98 ± 0.22: the mean of 16 varies by 0.055.
    """
    x, _ = regression_data(correlated=False)
    basis = torch.linalg.qr(torch.cat([x, torch.ones(len(x), 1)], dim=1).double()).Q
    x = (basis[:, :4] * math.sqrt(len(x))).float()
    x = x - x.mean(0)
    y = x @ torch.tensor([1.0, -2.0, 0.7, 1.5]) + 0.8
    y = y + NOISE * torch.randn(120, generator=torch.Generator().manual_seed(4))
    post = bn.fit(linear_net(), (x, y), kl_weight=0.1, steps=3000, batch_size=120, lr=0.03, seed=1)
    assert post.pareto_k((x, y), draws=1000) < 0.5
    ks = [post.pareto_k((x, y), draws=400, kl_weight=1.0, seed=seed) for seed in range(16)]
    assert sum(ks) / 16 > 0.7


def test_learned_noise_scale_is_the_maximum_likelihood_one() -> None:
    """At λ = 0 the noise variance is the mean squared residual of least squares."""
    x, y = regression_data(correlated=False)
    model = bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian", initial_scale=1e-3)
    post = bn.fit(model, (x, y), kl_weight=0.0, steps=2000, batch_size=120, lr=0.03, seed=1)
    design = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    residual = y - design @ torch.linalg.lstsq(design, y[:, None]).solution.flatten()
    learned = post.model.likelihood.noise_scale.item()  # type: ignore[union-attr]
    assert learned == pytest.approx(residual.square().mean().sqrt().item(), rel=0.01)


@pytest.mark.slow_except("piecewise", "curvature")
@pytest.mark.parametrize(
    "amortize", ["piecewise", "curvature", bn.nn.LowRankMap(rank=2, hidden=20)]
)
def test_one_fit_reaches_the_exact_mean_field_optimum_along_kl_weight(amortize) -> None:
    """Linear regression, where it is known in closed form at every λ."""
    x, y = regression_data(correlated=True)
    post = bn.fit(
        linear_net(), (x, y), kl_weight=bn.LogUniform(0.5, 50), amortize=amortize,
        steps=1500, batch_size=120, lr=0.05, seed=1, compile="trace",
    )  # fmt: skip
    for kl_weight in (0.5, 1.3, 5.0, 17.0, 50.0):
        _, _, bound = exact_mean_field(x, y, kl_weight)
        metrics = post.at(kl_weight).evaluate((x, y), draws=100)
        assert metrics["elbo"] <= bound + 5 * metrics["elbo_error"]
        assert metrics["elbo"] == pytest.approx(bound, rel=0.02)
