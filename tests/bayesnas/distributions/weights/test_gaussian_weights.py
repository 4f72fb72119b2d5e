"""GaussianWeights against torch's Normal and quadrature."""

from __future__ import annotations

import torch
from torch.distributions import Independent, Normal, kl_divergence

from bayesnas.distributions import GaussianWeights
from bayesnas.nn import GaussianTensor

LOC = torch.tensor([[0.5, -1.0, 0.0], [2.0, 0.3, -0.2]], dtype=torch.float64)
SCALE = torch.tensor([[0.1, 0.2, 1.0], [0.5, 3.0, 0.01]], dtype=torch.float64)
KEEP = torch.tensor([[True, False, True], [True, True, False]])


def test_density_entropy_and_moments_equal_torchs_normal() -> None:
    ours, theirs = GaussianWeights(LOC, SCALE), Independent(Normal(LOC, SCALE), 2)
    value = LOC + 0.3
    assert torch.allclose(ours.log_prob(value), theirs.log_prob(value))
    assert torch.allclose(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mean, LOC)
    assert torch.equal(ours.variance, SCALE.square())
    batch = torch.stack([value, value + 1])
    assert torch.allclose(ours.log_prob(batch), theirs.log_prob(batch))


def test_removed_entries_are_zero_and_leave_density_and_kl() -> None:
    q = GaussianWeights(LOC, SCALE, keep=KEEP)
    p = GaussianWeights(torch.zeros(()).double(), torch.ones(()).double(), LOC.shape, KEEP)
    with torch.random.fork_rng(devices=[]):
        draws = q.rsample(torch.Size([5]))
    assert torch.all(draws[:, ~KEEP] == 0)
    kept = Normal(LOC[KEEP], SCALE[KEEP])
    assert torch.allclose(q.log_prob(draws)[2], kept.log_prob(draws[2][KEEP]).sum())
    assert torch.allclose(q.entropy(), kept.entropy().sum())
    assert torch.allclose(kl_divergence(q, p), kl_divergence(kept, Normal(0.0, 1.0)).sum())


def test_kl_equals_quadrature() -> None:
    """∫ q (ln q − ln p) on a fine grid, over the scales that training visits."""
    for scale in (1e-3, 0.02, 0.5, 1.0, 3.0):
        for loc in (0.0, 0.1, -2.0):
            q = GaussianWeights(torch.tensor([loc]).double(), torch.tensor([scale]).double())
            p = GaussianWeights(
                torch.tensor(0.0).double(), torch.tensor(0.5).double(), q.event_shape
            )
            grid = torch.linspace(loc - 12 * scale, loc + 12 * scale, 20001).double()[:, None]
            log_q, log_p = q.log_prob(grid), p.log_prob(grid)
            expected = torch.trapezoid(log_q.exp() * (log_q - log_p), grid[:, 0])
            assert torch.allclose(kl_divergence(q, p), expected, atol=1e-6)


def test_local_draws_are_distributions_and_expanded_ones_are_tensors() -> None:
    q = GaussianWeights(LOC, SCALE, local=True)
    assert isinstance(q.rsample(), GaussianTensor)
    with torch.random.fork_rng(devices=[]):
        draws = q.rsample(torch.Size([4]))
        batch = q.expand(torch.Size([4])).sample()
    assert type(draws) is torch.Tensor
    assert draws.shape == batch.shape == (4, 2, 3)


def test_draws_have_the_moments() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = GaussianWeights(LOC, SCALE).rsample(torch.Size([40_000]))
    assert torch.allclose(draws.mean(0), LOC, atol=0.08)
    assert torch.allclose(draws.std(0), SCALE, rtol=0.03)
