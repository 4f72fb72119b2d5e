"""GroupScales: sums over kept groups, removed ones at zero, lazily sampled draws."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch.distributions import kl_divergence

from bayesnas.distributions import GroupScales, LogUniform, TruncatedLogNormal
from bayesnas.nn.lazy.scaled_tensor import LazyScales

LOC = torch.tensor([-0.5, 0.0, 0.4], dtype=torch.float64)
SCALE = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
KEEP = torch.tensor([True, False, True])
HALF = torch.full_like(LOC, 0.5)


def test_density_and_kl_are_sums_over_the_kept_groups() -> None:
    q_base, p_base = dist.LogNormal(LOC, SCALE), dist.Gamma(HALF, HALF)
    value = torch.tensor([0.7, 3.0, 1.2], dtype=torch.float64)
    for keep, kept in ((None, [0, 1, 2]), (KEEP, [0, 2])):
        q, p = GroupScales(q_base, keep), GroupScales(p_base, keep)
        assert torch.allclose(q.log_prob(value), q_base.log_prob(value)[kept].sum())
        assert torch.allclose(kl_divergence(q, p), kl_divergence(q_base, p_base)[kept].sum())
        batch = torch.stack([value, 2 * value])
        assert q.log_prob(batch).shape == (2,)


def test_removed_groups_are_zero_and_their_density_is_one() -> None:
    q = GroupScales(dist.LogNormal(LOC, SCALE), KEEP)
    with torch.random.fork_rng(devices=[]):
        draws = q.rsample(torch.Size([5]))
    assert torch.all(draws[:, 1] == 0)
    assert torch.all(draws[:, [0, 2]] > 0)
    assert float(q.mean[1]) == float(q.variance[1]) == 0.0
    assert torch.isfinite(q.log_prob(draws)).all()


def test_local_draws_wait_for_a_layer() -> None:
    q = GroupScales(dist.LogNormal(LOC, SCALE), KEEP, local=True)
    with torch.random.fork_rng(devices=[]):
        draw = q.rsample()
        assert isinstance(draw, LazyScales)
        assert draw.shape == (3,)
        each = draw.draw_each(4)
    assert each.shape == (4, 3)
    assert torch.all(each[:, 1] == 0)
    with torch.random.fork_rng(devices=[]):
        assert type(q.rsample(torch.Size([2]))) is torch.Tensor


def test_a_scale_shared_by_all_groups_is_a_single_number() -> None:
    q = GroupScales(dist.LogNormal(torch.tensor(0.3), torch.tensor(0.6)))
    p = GroupScales(dist.InverseGamma(torch.tensor(0.5), torch.tensor(1.0)))
    assert q.event_shape == ()
    assert abs(float(kl_divergence(q, p)) - 0.701172) < 1e-6
    assert q.log_prob(torch.tensor(0.5)).shape == ()


def test_gradients_reach_the_guide_past_a_removed_group_at_the_edge() -> None:
    loc = LOC.clone().requires_grad_()
    low, high = torch.full_like(LOC, 1e-6), torch.ones_like(LOC)
    q = GroupScales(TruncatedLogNormal(loc, SCALE, low, high, validate_args=False), KEEP)
    p = GroupScales(LogUniform(low, high, validate_args=False), KEEP)
    with torch.random.fork_rng(devices=[]):
        draw = q.rsample()
    (q.log_prob(draw) - p.log_prob(draw) + kl_divergence(q, p)).backward()
    assert loc.grad is not None
    assert torch.isfinite(loc.grad).all()
    assert float(loc.grad[1]) == 0.0
