"""Positive scales that say how relevant a latent dimension is: their priors and guides."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, positive
from bayesnas.distributions import LogUniform, TruncatedLogNormal
from bayesnas.distributions.gaussian_divergence import positive_exp

PRIORS = ("half-normal", "half-cauchy", "gamma", "log-uniform")
GUIDES = ("log-normal", "point")
_DECADES = 3.0  # to either side of prior_scale, of a log-uniform prior
_START_SCALE = 0.1  # of ln γ under the guide


class Relevance(nn.Module):
    r"""γ_1 … γ_L, independent and positive, with a prior and a guide.

    Args:
        latents: L.
        prior: ``"half-normal"`` or ``"half-cauchy"`` of scale s; ``"gamma"``, of shape ½ and
            mean s; ``"log-uniform"`` on [s/1000, 1000 s].
        scale: s > 0.
        guide: ``"log-normal"`` (truncated to the interval of a log-uniform prior), or
            ``"point"``: one value, the maximum of the bound.

    Raises:
        ValueError: naming the argument, what came and what was expected.
    """

    def __init__(self, latents: int, prior: str, scale: float, guide: str) -> None:
        """Create the parameters of the guide; see the class."""
        super().__init__()
        self._prior_kind = choice("relevance_prior", prior, PRIORS)
        self._guide_kind = choice("relevance_guide", guide, GUIDES)
        self._scale = positive("relevance_scale", scale)
        self.loc = nn.Parameter(torch.zeros(latents))
        if guide == "log-normal":
            self.log_scale = nn.Parameter(torch.zeros(latents))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Start with all dimensions at the scale of the prior."""
        self.loc.fill_(math.log(self._scale))
        if self._guide_kind == "log-normal":
            self.log_scale.fill_(math.log(_START_SCALE))

    def prior(self) -> TorchDistribution:
        """p(γ), event ``[L]``."""
        scale = torch.full_like(self.loc, self._scale)
        scales: TorchDistribution
        if self._prior_kind == "half-normal":
            scales = dist.HalfNormal(scale)
        elif self._prior_kind == "half-cauchy":
            scales = dist.HalfCauchy(scale)
        elif self._prior_kind == "gamma":
            half = torch.full_like(scale, 0.5)
            scales = dist.Gamma(half, half / scale)
        else:
            scales = LogUniform(*self._interval(), validate_args=False)
        return dist.Independent(scales, 1)

    def posterior(self) -> TorchDistribution:
        """q(γ), event ``[L]``."""
        if self._guide_kind == "point":
            return dist.Delta(self.median(), event_dim=1)
        scales: TorchDistribution
        if self._prior_kind == "log-uniform":
            scales = TruncatedLogNormal(
                self.loc, positive_exp(self.log_scale), *self._interval(), validate_args=False
            )
        else:
            scales = dist.LogNormal(self.loc, positive_exp(self.log_scale))
        return dist.Independent(scales, 1)

    def median(self) -> Tensor:
        """Exponential of the guide's location, ``[L]``, within the prior's interval."""
        centre: Tensor = self.loc.exp()
        if self._prior_kind == "log-uniform":
            low, high = self._interval()
            centre = centre.clamp(low, high)
        return centre

    def probability_above(self, threshold: Tensor) -> Tensor:
        """q(γ > threshold), ``[L]``."""
        log_threshold = threshold.log().to(self.loc)
        if self._guide_kind == "point":
            return (self.loc > log_threshold).to(self.loc)
        q = self.posterior().base_dist
        if isinstance(q, TruncatedLogNormal):
            above = q.log.probability_above(threshold.double().log())
        else:
            scale = self.log_scale.double().exp()
            above = torch.special.ndtr((self.loc.double() - log_threshold) / scale)
        probability: Tensor = above.clamp(0.0, 1.0).to(self.loc)
        return probability

    def _interval(self) -> tuple[Tensor, Tensor]:
        scale = torch.full_like(self.loc, self._scale)
        return scale * 10**-_DECADES, scale * 10**_DECADES
