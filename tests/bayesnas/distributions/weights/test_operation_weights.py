"""Weights of operations: densities and divergences against those of plain Gaussians."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from bayesnas.distributions import GaussianWeights
from bayesnas.distributions.deferred.per_example import EveryExample, LazyForExamples
from bayesnas.distributions.weights.operation_weights import AveragedWeights, PresentWeights

LOC, SCALE = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([0.5, 1.0, 0.2])
KEEP = torch.tensor([True, False, True])


def test_present_weights_count_as_far_as_they_are_there():
    value = torch.tensor([0.1, 0.2, 0.3])
    plain_q = GaussianWeights(LOC, SCALE, keep=KEEP)
    plain_p = GaussianWeights(torch.tensor(0.0), torch.tensor(1.0), torch.Size([3]), KEEP)
    for presence in (0.0, 0.25, 1.0):
        share = torch.tensor(presence, requires_grad=True)
        q = PresentWeights(LOC, SCALE, share, keep=KEEP)
        p = PresentWeights(torch.tensor(0.0), torch.tensor(1.0), share, torch.Size([3]), KEEP)
        kl = kl_divergence(q, p)
        assert torch.allclose(kl, presence * kl_divergence(plain_q, plain_p))
        assert torch.allclose(q.log_prob(value), presence * plain_q.log_prob(value))
        (gradient,) = torch.autograd.grad(kl, share)
        assert torch.allclose(gradient, kl_divergence(plain_q, plain_p))


def test_averaged_weights_average_log_densities():
    scales = torch.tensor([0.1, 0.7, 1.0, 3.0])
    p = AveragedWeights(scales, torch.Size([3]), KEEP)
    value = torch.tensor([0.4, 0.0, -1.0])
    each = torch.stack([Normal(0.0, s).log_prob(value)[KEEP].sum() for s in scales])
    assert torch.allclose(p.log_prob(value), each.mean(), rtol=1e-5)
    q = GaussianWeights(LOC, SCALE, keep=KEEP)
    each = [GaussianWeights(torch.tensor(0.0), s, torch.Size([3]), KEEP) for s in scales]
    expected = torch.stack([kl_divergence(q, one) for one in each]).mean()
    assert torch.allclose(kl_divergence(q, p), expected, rtol=1e-5)


def test_a_draw_for_every_example_is_one_draw_where_it_is_asked_for_once():
    q = EveryExample(GaussianWeights(LOC, SCALE))
    torch.manual_seed(0)
    value = q.rsample()
    assert isinstance(value, LazyForExamples)
    each = value.each(5)
    assert each.shape == (5, 3)
    assert value.each(5) is each
    expected = Normal(LOC, SCALE).log_prob(each).sum(-1).mean()
    assert torch.allclose(q.log_prob(value), expected)
    single = value.draw()
    assert single.shape == (3,)
    assert torch.equal(value + 0.0, single)
    assert torch.allclose(q.log_prob(single), Normal(LOC, SCALE).log_prob(single).sum())
    assert q.rsample((4,)).shape == (4, 3)
    prior = EveryExample(GaussianWeights(LOC, SCALE), deferred=False)
    assert not isinstance(prior.rsample(), LazyForExamples)
    other = EveryExample(GaussianWeights(LOC + 1, SCALE))
    assert torch.allclose(kl_divergence(q, other), kl_divergence(q.source, other.source))
