"""Linear-Gaussian data, of which the number of factors is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import bayesnas as bn
from bayesnas.inference import AmortizedPosterior, Posterior
from bayesnas.inference.training.fit_options import FitOptions
from bayesnas.models import ArdVae
from bayesnas.models.autoencoders.active_units import MEASURES

EXAMPLES, FEATURES, NOISE = 1_000, 40, 0.3


def factor_data(factors: int, seed: int) -> Tensor:
    """Examples of d factors with Gaussian loadings, and noise, ``[1000, 40]``."""
    generator = torch.Generator().manual_seed(seed)
    loadings = torch.randn(FEATURES, factors, generator=generator) / factors**0.5
    z = torch.randn(EXAMPLES, factors, generator=generator)
    noise = NOISE * torch.randn(EXAMPLES, FEATURES, generator=generator)
    return torch.addmm(noise, z, loadings.T)


def active_factors(factors: int, seed: int, latents: int, steps: int) -> dict[str, int]:
    """Active dimensions of a linear ARD-VAE fitted to d factors, by measure."""
    x = factor_data(factors, seed)
    model = ArdVae(FEATURES, latents, hidden=(), likelihood="gaussian")
    post = bn.fit(
        model, (x, x), steps=steps, lr=0.02, batch_size=len(x), seed=seed, device="cpu",
        progress=False,
    )  # fmt: skip
    fitted = post.model
    assert isinstance(fitted, ArdVae)
    return {by: int(fitted.active(x, by).sum()) for by in MEASURES}


# Along λ ----------------------------------------------------------------------------------

VARIANCES = (4.0, 1.0, 0.25, 0.0625, 0.01, 0.01)
"""Eigenvalues of the covariance of :func:`curve_data`; the last two are noise alone."""
CURVE_NOISE = 0.1
CURVE_WEIGHTS = (1.0, 3.0, 12.0, 50.0, 200.0, 1000.0)
BOUND_DRAWS = 32
_CURVE_EXAMPLES, _CURVE_LATENTS = 400, 5


@dataclass(frozen=True)
class CurvePoint:
    """One λ of a curve.

    Attributes:
        kl_weight: λ.
        exact: number of eigenvalues of the covariance above λ σ².
        active: dimensions of the fit over all λ, by variance.
        bound: 𝓛(λ) of it.
        separate_active: the same of a fit at this λ alone.
        separate_bound: 𝓛(λ) of it.
    """

    kl_weight: float
    exact: int
    active: int
    bound: float
    separate_active: int
    separate_bound: float


def curve_data() -> Tensor:
    """Examples whose sample covariance has exactly the eigenvalues :data:`VARIANCES`."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(_CURVE_EXAMPLES, len(VARIANCES), generator=generator)
    scores = torch.linalg.qr(draws - draws.mean(0))[0] * _CURVE_EXAMPLES**0.5
    rotation = torch.linalg.qr(torch.randn(len(VARIANCES), len(VARIANCES), generator=generator))[0]
    return torch.mm(scores * torch.tensor(VARIANCES).sqrt(), rotation.T)


def exact_count(kl_weight: float) -> int:
    """Number of eigenvalues above λ σ²."""
    return sum(variance > kl_weight * CURVE_NOISE**2 for variance in VARIANCES)


def curve(steps: int, seed: int = 0) -> list[CurvePoint]:
    """One fit over λ beside a fit at each.

    The best q at λ is the posterior with noise λ σ², so a factor counts where its eigenvalue is
    above λ σ², as in probabilistic principal components (Tipping, Bishop 1999).

    Args:
        steps: of a fit at one λ; the fit over all of them takes three times as many.
        seed: of the fits.
    """
    x = curve_data()
    options: FitOptions = {
        "lr": 0.02, "batch_size": len(x), "kl_warmup": 0.3, "seed": seed, "device": "cpu",
        "progress": False,
    }  # fmt: skip

    def model() -> ArdVae:
        return ArdVae(
            len(VARIANCES), _CURVE_LATENTS, hidden=(), likelihood="gaussian",
            noise_scale=CURVE_NOISE,
        )  # fmt: skip

    # The piecewise map is that of the figures of docs/reproductions/ard-vae.md.
    of_range: FitOptions = {**options, "steps": 3 * steps, "amortize": "piecewise"}
    post: AmortizedPosterior = bn.fit(
        model(),
        (x, x),
        kl_weight=bn.LogUniform(CURVE_WEIGHTS[0], CURVE_WEIGHTS[-1]),
        **of_range,
    )
    options["steps"] = steps
    points = []
    for kl_weight in CURVE_WEIGHTS:
        alone = bn.fit(model(), (x, x), kl_weight=kl_weight, **options)
        point = (*_read(post.at(kl_weight), x), *_read(alone, x))
        points.append(CurvePoint(kl_weight, exact_count(kl_weight), *point))
    return points


def _read(post: Posterior, x: Tensor) -> tuple[int, float]:
    model = post.model
    assert isinstance(model, ArdVae)
    return int(model.active(x, "variance").sum()), post.evaluate((x, x), draws=BOUND_DRAWS)["elbo"]
