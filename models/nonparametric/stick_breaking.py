"""How popular each of K features is: a stick broken K times, and its guide."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import kl_divergence

from bayesnas.distributions import Kumaraswamy
from bayesnas.distributions.indian_buffet.kumaraswamy import log1mexp


class StickBreaking(nn.Module):
    r"""ν_1 … ν_K and the popularities π_k = ∏ ν_i of an Indian buffet, with a prior and a guide.

    .. math:: p(\nu_k) = \mathrm{Beta}(\alpha, 1),\qquad
        q(\nu_k) = \mathrm{Kumaraswamy}(a_k, b_k)

    The guide starts at the prior, a = α, b = 1. Its divergence has a closed form.

    Args:
        features: K.
        mass: α > 0.

    References:
        Teh, Görür, Ghahramani, *Stick-breaking construction for the Indian buffet process*, 2007;
        Nalisnick, Smyth, *Stick-breaking variational autoencoders*, 2017.

    >>> StickBreaking(3, mass=1.0).popularity()
    tensor([0.5000, 0.2500, 0.1250], grad_fn=<CumprodBackward0>)
    """

    mass: Tensor
    prior_logits: Tensor

    def __init__(self, features: int, mass: float) -> None:
        """Create the parameters of the guide; see the class."""
        super().__init__()
        self.register_buffer("mass", torch.tensor(float(mass)), persistent=False)
        log_mean = math.log(mass / (1 + mass)) * torch.arange(1, features + 1)
        self.register_buffer("prior_logits", log_mean - log1mexp(-log_mean), persistent=False)
        self.log_a = nn.Parameter(torch.zeros(features))
        self.log_b = nn.Parameter(torch.zeros(features))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Go back to the prior."""
        self.log_a.copy_(self.mass.log())
        self.log_b.zero_()

    def prior(self) -> TorchDistribution:
        """p(ν), event ``[K]``."""
        a = self.mass.expand_as(self.log_a)
        return dist.Independent(dist.Beta(a, torch.ones_like(a)), 1)

    def posterior(self) -> TorchDistribution:
        """q(ν), event ``[K]``."""
        return dist.Independent(Kumaraswamy(self.log_a.exp(), self.log_b.exp()), 1)

    def divergence(self) -> Tensor:
        """KL(q(ν) ‖ p(ν)) in nats."""
        kl: Tensor = kl_divergence(self.posterior(), self.prior())
        return kl

    def logits(self, sticks: Tensor) -> Tensor:
        """Logit of π given ν, both ``[K]``; in log space, as π_K may be far below 1e-38."""
        log_popularity = sticks.log().cumsum(-1)
        return log_popularity - log1mexp(-log_popularity)

    def popularity(self) -> Tensor:
        """E π under the guide, ``[K]``."""
        mean: Tensor = self.posterior().mean.cumprod(-1)
        return mean
