"""ConcreteGate: the density of a relaxed Bernoulli, against torch's and quadrature."""

from __future__ import annotations

import torch
from torch.distributions import RelaxedBernoulli, kl_divergence

from bayesnas.distributions import BinaryConcrete, ConcreteGate

LOGITS = torch.tensor([-1.0, 0.0, 2.0])


def test_the_density_is_that_of_torch_where_that_is_finite():
    x = torch.tensor([[0.1, 0.5, 0.9]]).T
    log_prob = ConcreteGate(0.7, logits=LOGITS).log_prob(x)
    expected = RelaxedBernoulli(torch.tensor(0.7), logits=LOGITS).log_prob(x)
    assert torch.allclose(log_prob, expected, atol=1e-5)


def test_draws_are_those_of_the_binary_concrete():
    torch.manual_seed(0)
    gates = ConcreteGate(0.05, logits=LOGITS).rsample((4000,))
    torch.manual_seed(0)
    logits = BinaryConcrete(0.05, logits=LOGITS).rsample((4000,))
    assert torch.equal(gates, logits.sigmoid().clamp(torch.finfo().tiny, 1 - torch.finfo().eps / 2))
    log_prob = ConcreteGate(0.05, logits=LOGITS).log_prob(gates)
    jacobian = nn_logsigmoid(logits) + nn_logsigmoid(-logits)
    expected = BinaryConcrete(0.05, logits=LOGITS).log_prob(logits) - jacobian
    assert torch.allclose(log_prob, expected, rtol=1e-5, atol=1e-4)


def nn_logsigmoid(x):
    return torch.nn.functional.logsigmoid(x)


def test_the_divergence_is_that_of_the_logits():
    for tau in (0.3, torch.tensor(0.3)):
        q, p = ConcreteGate(tau, logits=LOGITS), ConcreteGate(tau, logits=LOGITS + 0.6)
        expected = kl_divergence(
            BinaryConcrete(tau, logits=LOGITS), BinaryConcrete(tau, logits=LOGITS + 0.6)
        )
        assert torch.allclose(kl_divergence(q, p), expected)
    wide = ConcreteGate(0.3, logits=LOGITS).expand((2, 3))
    assert isinstance(wide, ConcreteGate)
    assert wide.rsample().shape == (2, 3)
