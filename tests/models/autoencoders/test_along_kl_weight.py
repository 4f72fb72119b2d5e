"""One fit of a linear autoencoder over λ, beside probabilistic principal components at each."""

from __future__ import annotations

import math

import pytest
import torch

import bayesnas as bn
from bayesnas.reproductions.ard_vae.factors import (
    CURVE_NOISE,
    CURVE_WEIGHTS,
    VARIANCES,
    curve_data,
    exact_count,
)

TOLERANCE = 0.3  # nats an example, of 𝓛(λ)/λ


def exact_bound(kl_weight: float, examples: int) -> float:
    """The largest 𝓛(λ): λ times the evidence with noise λσ² (Tipping, Bishop 1999).

    The best covariance has the eigenvalues of the sample where these are above λσ², else λσ²; the
    likelihood to the power 1/λ is that with noise λσ² but for its constant.
    """
    noise = kl_weight * CURVE_NOISE**2
    kept = [max(variance, noise) for variance in VARIANCES]
    fits = zip(kept, VARIANCES, strict=True)
    evidence = -0.5 * sum(math.log(2 * math.pi * c) + v / c for c, v in fits)
    tempered = evidence + 0.5 * len(VARIANCES) * math.log(2 * math.pi * noise)
    constant = 0.5 * len(VARIANCES) * math.log(2 * math.pi * CURVE_NOISE**2)
    return examples * (kl_weight * tempered - constant)


@pytest.mark.slow
def test_one_fit_has_the_exact_bound_and_number_of_dimensions_at_every_kl_weight() -> None:
    """Also at the small λ whose dimensions large λ close.

    Draws of the bound have a standard error below 0.01 of these units, and the training converges
    to the same numbers from any seed within some hundredths.
    """
    x = curve_data()
    model = bn.models.ArdVae(
        len(VARIANCES), 5, hidden=(), likelihood="gaussian", noise_scale=CURVE_NOISE,
        relevance_prior=None, decoder_prior=None,
    )  # fmt: skip
    post = bn.fit(
        model, (x, x), kl_weight=bn.LogUniform(CURVE_WEIGHTS[0], CURVE_WEIGHTS[-1]),
        amortize=bn.nn.CurvatureMap(knots=9), steps=6000, lr=0.02, batch_size=len(x),
        kl_warmup=0.3, progress=False,
    )  # fmt: skip
    for kl_weight in CURVE_WEIGHTS:
        at = post.at(kl_weight)
        gap = exact_bound(kl_weight, len(x)) - at.evaluate((x, x), draws=32)["elbo"]
        assert -0.03 < gap / (len(x) * kl_weight) < TOLERANCE, kl_weight
        assert int(at.model.active(x, "variance").sum()) == exact_count(kl_weight), kl_weight


def test_the_exact_bound_is_that_of_the_integral() -> None:
    """Of one dimension at λ = 1: the evidence of the sample under its own covariance."""
    x = curve_data().double()
    covariance = x.T @ x / len(x)
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp_min(CURVE_NOISE**2)
    evidence = torch.distributions.MultivariateNormal(
        torch.zeros(len(VARIANCES), dtype=torch.float64), covariance
    ).log_prob(x)
    assert eigenvalues.tolist() == pytest.approx(sorted(VARIANCES), rel=1e-5)
    assert exact_bound(1.0, len(x)) == pytest.approx(float(evidence.sum()), rel=1e-5)
