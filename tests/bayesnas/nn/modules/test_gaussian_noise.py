import math

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.nn import GaussianNoise


def test_it_adds_noise_of_that_scale_in_training_and_none_else():
    layer, x = GaussianNoise(0.3), torch.full((200, 500), 2.0)
    torch.manual_seed(0)
    noise = layer(x) - x

    assert abs(float(noise.mean())) < 5.5 * 0.3 / math.sqrt(x.numel())
    torch.testing.assert_close(noise.std(), torch.tensor(0.3), rtol=0.01, atol=0)
    assert layer.eval()(x) is x


@pytest.mark.parametrize("scale", [-0.1, math.inf, math.nan, "0.2", None])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be a finite number >= 0, got"):
        GaussianNoise(scale)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [pytest.param(False, marks=pytest.mark.slow), "trace"])
def test_in_a_linear_fit_it_is_ridge_regression(compiled):
    """E (y − w(x + ε))² = (y − wx)² + σ²|w|², so the optimum is ridge with n σ² (Bishop 1995)."""
    torch.manual_seed(0)
    n, scale = 400, 0.7
    x = torch.randn(n, 3) * torch.tensor([1.0, 0.5, 2.0])
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.3 * torch.randn(n)
    net = nn.Sequential(GaussianNoise(scale), nn.Linear(3, 1, bias=False), nn.Flatten(0))
    model = bn.models.GaussianNet(net, likelihood="gaussian", noise_scale=1.0, prior_scale=100.0)

    post = bn.fit(
        model, (x, y), epochs=3000, lr=2e-2, schedule="cosine", batch_size=n, compile=compiled
    )

    ridge = torch.linalg.solve(x.T @ x + n * scale**2 * torch.eye(3), x.T @ y)
    weight = post.compact()[1].weight.detach().squeeze()
    torch.testing.assert_close(weight, ridge, rtol=0.05, atol=0.02)
    assert float((weight - torch.linalg.solve(x.T @ x, x.T @ y)).norm()) > 0.5
