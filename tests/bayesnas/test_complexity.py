"""Complexity measures against brute force."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from bayesnas.complexity import nats_to_bits, smallest_gaussian_kl
from bayesnas.distributions import GaussianWeights


def test_parametric_complexity_is_the_smallest_kl_over_prior_scales() -> None:
    generator = torch.Generator().manual_seed(0)
    locs = [torch.randn(3, 4, generator=generator), torch.randn(3, generator=generator)]
    scales = [0.1 + torch.rand(3, 4, generator=generator), 0.1 + torch.rand(3, generator=generator)]
    found = smallest_gaussian_kl(
        [GaussianWeights(loc, scale) for loc, scale in zip(locs, scales, strict=True)]
    ).item()
    grid = [
        sum(
            kl_divergence(Normal(loc, scale), Normal(0.0, s)).sum().item()
            for loc, scale in zip(locs, scales, strict=True)
        )
        for s in torch.linspace(0.2, 4.0, 2000).tolist()
    ]
    assert found == pytest.approx(min(grid), rel=1e-4)
    assert found <= min(grid) + 1e-4


def test_removed_weights_do_not_count() -> None:
    loc, scale = torch.tensor([1.0, 50.0]), torch.tensor([0.5, 0.5])
    keep = torch.tensor([True, False])
    some = smallest_gaussian_kl([GaussianWeights(loc, scale, keep=keep)])
    alone = smallest_gaussian_kl([GaussianWeights(loc[:1], scale[:1])])
    assert torch.allclose(some, alone)
    none = smallest_gaussian_kl([GaussianWeights(loc, scale, keep=~keep & keep)])
    assert none.item() == 0.0


def test_bits() -> None:
    assert nats_to_bits(math.log(2)) == pytest.approx(1.0)
