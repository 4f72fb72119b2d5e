"""The net that a first fit starts at."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.compression.plain_networks.pretraining import Pretraining, pretrained
from bayesnas.likelihoods import Categorical, Gaussian

CPU = torch.device("cpu")


def digits_net(seed):
    data = bn.data.load("digits")
    how = Pretraining(3, 1e-2, (0.1, 0.0))
    build = lambda: bn.nn.mlp([64, 12, 10])  # noqa: E731
    return pretrained(build, Categorical(), data.train, how, 128, seed, CPU), data.test


def test_it_is_seeded_learns_and_leaves_the_random_state():
    before = torch.get_rng_state()
    nets = [digits_net(seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    net, test = nets[0]
    assert float((net(test.x).argmax(-1) != test.y).float().mean()) < 0.5  # 0.9 by guessing
    first, same, other = (trained.layer1.weight for trained, _ in nets)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_maximum_likelihood_of_a_linear_regression_is_least_squares():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 3, generator=generator)
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(80, generator=generator)
    net = nn.Linear(3, 1, bias=False)
    how = Pretraining(400, 0.05, (0.0,))
    trained = pretrained(lambda: net, Gaussian(), Split.of((x, y)), how, 80, 0, CPU)
    exact = torch.linalg.lstsq(x, y[:, None]).solution.T
    assert trained.weight.detach().flatten().tolist() == pytest.approx(
        exact.flatten().tolist(), abs=1e-3
    )
