"""The bound of an autoencoder of features, with the features binary or relaxed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, kl_divergence

from bayesnas.checks import draw_count, seed_number
from bayesnas.distributions import BinaryConcrete
from bayesnas.distributions.relaxed.straight_through import StraightThroughBernoulli
from bayesnas.models.autoencoders.decoder_likelihood import Observation
from bayesnas.models.autoencoders.encoder_decoder import Networks
from bayesnas.models.nonparametric.stick_breaking import StickBreaking


class FeatureAutoencoder(Protocol):
    """What is asked of an ``IndianBuffetVae``, which describes each."""

    factors: bool
    latents: int
    temperature: float
    observation: Observation
    networks: Networks
    sticks: StickBreaking
    first: torch.nn.Linear

    def gate_logits(self, evidence: Tensor, prior_logits: Tensor) -> Tensor:
        """Logits of q(z | x, ν)."""
        ...

    def factor_posterior(self, parts: Sequence[Tensor], gate: Tensor) -> TorchDistribution:
        """q(a | x, z)."""
        ...

    def decode(self, code: Tensor) -> Tensor:
        """Logits or means given z ⊙ a."""
        ...

    def scales(self) -> Tensor:
        """E π."""
        ...

    def activity(self, x: Tensor) -> Tensor:
        """q(z = 1 | x)."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """E[z ⊙ a | x]."""
        ...

    def evidence_of_nothing(self) -> Tensor:
        """The h of features of which examples tell nothing."""
        ...


def bound(model: FeatureAutoencoder, x: Tensor, draws: int, *, relaxed: bool, seed: int) -> Tensor:
    """Evidence lower bound of every example, ``[n]``; see ``IndianBuffetVae.bound``."""
    draws, seed = draw_count("draws", draws), seed_number("seed", seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bounds = [_bound_of_draw(model, x, relaxed) for _ in range(draws)]
    return torch.stack(bounds).mean(0)


def _bound_of_draw(model: FeatureAutoencoder, x: Tensor, relaxed: bool) -> Tensor:
    seen, _ = model.observation.seen(x, None)
    prior_logits = model.sticks.logits(model.sticks.posterior().sample())
    evidence, *parts = model.networks.encode(seen)
    logits = model.gate_logits(evidence, prior_logits)
    if relaxed:
        q, p = (BinaryConcrete(model.temperature, logits=v) for v in (logits, prior_logits))
        gate, divergence = q.rsample().sigmoid(), kl_divergence(q, p)
    else:
        # Its divergence is finite where a probability rounds to 0 or 1.
        binary = StraightThroughBernoulli(logits=logits)
        gate = binary.sample()
        divergence = kl_divergence(binary, Bernoulli(logits=prior_logits))
    code = gate
    if model.factors:
        posterior = model.factor_posterior(parts, gate)
        divergence = divergence + kl_divergence(posterior, standard_normal(gate))
        code = gate * posterior.sample()
    log_lik: Tensor = model.observation(model.decode(code)).log_prob(seen)
    return log_lik - divergence.sum(-1)


def standard_normal(like: Tensor) -> TorchDistribution:
    """N(0, 1) of every entry of a tensor."""
    return Normal(torch.zeros_like(like), 1.0)
