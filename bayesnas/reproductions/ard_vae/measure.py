"""What is measured of a fitted model of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.densities import log_mean_exp
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.models import ArdVae
from bayesnas.models.autoencoders.active_units import MEASURES
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

_ROWS = 2_000  # images at once
_SAMPLES = 20_000  # decoded at once
_BOUND_DRAWS = 4


@dataclass(frozen=True)
class Measured:
    """Figures of one model, in nats an image of the test part.

    Attributes:
        log_likelihood: E_q log p(x | z, W, γ).
        latent_kl: KL of z.
        shared_kl: KL of γ and W, by the number of training images.
        nll: −ln p(x) by importance sampling; see :func:`importance_nll`; None where not asked for.
        active: number of active dimensions, by measure.
    """

    log_likelihood: float
    latent_kl: float
    shared_kl: float
    nll: float | None
    active: dict[str, int]

    @property
    def negative_bound(self) -> float:
        """−(E log p(x | z) − KL(z)); the KL of what all images share is left out."""
        return self.latent_kl - self.log_likelihood


def measured(model: ArdVae, x: Tensor, trained_on: int, importance_draws: int = 0) -> Measured:
    """Measure a model of images.

    Args:
        model: fitted.
        x: test images ``[n, *shape]``, grey values being probabilities of a pixel.
        trained_on: number of training images.
        importance_draws: for the likelihood; 0: without it.
    """
    model.eval()
    log_lik, local, shared = 0.0, 0.0, 0.0
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)):
        for _ in range(_BOUND_DRAWS):
            for rows in x.split(_ROWS):
                terms = bound_terms(model, rows, rows, differentiable=False)
                log_lik += float(terms.expected_log_lik())
                local += sum(float(terms.kl[name]) for name in terms.local)
        shared = sum(float(kl) for name, kl in terms.kl.items() if name not in terms.local)
    seen = _BOUND_DRAWS * len(x)
    pixels = binary(x)
    active = {by: int(model.active(pixels[:_ROWS], by).sum()) for by in MEASURES}
    nll = importance_nll(model, pixels, importance_draws) if importance_draws else None
    return Measured(log_lik / seen, local / seen, shared / trained_on, nll, active)


def binary(x: Tensor, seed: int = 0) -> Tensor:
    """Draw pixels once, 1 with the probability that a grey value gives."""
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
    return (noise < x).to(x)


@torch.no_grad()
def importance_nll(model: ArdVae, pixels: Tensor, draws: int, seed: int = 0) -> float:
    r"""−mean ln (1/S) Σ_s p(x | z_s) p(z_s) / q(z_s | x), at the means of γ and W.

    An upper bound of the negative log-likelihood in expectation, the tighter the more draws
    (Burda, Grosse, Salakhutdinov 2016).

    Args:
        model: fitted.
        pixels: images ``[n, *shape]``, zeros and ones.
        draws: S.
        seed: of z.
    """
    gamma, weight = model.scales(), model.point_weight()
    total = 0.0
    stream = RandomStream(seed, pixels.device)
    for rows in pixels.split(max(1, _SAMPLES // draws)):
        with stream.active():
            q = model.latent_posterior(rows, gamma)
            z = q.sample(torch.Size([draws]))  # [draws, rows, L]
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        output = model.decode((z * gamma).flatten(0, 1), weight)
        targets = rows.expand(draws, *rows.shape).flatten(0, 1)
        log_lik = model.observation(output).log_prob(targets).reshape(draws, len(rows))
        log_weights = log_lik + prior - q.log_prob(z).sum(-1)
        total += float(log_mean_exp(log_weights.double()).sum())
    return -total / len(pixels)
