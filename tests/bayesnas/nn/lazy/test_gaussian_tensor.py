"""Gaussian weights in layers: moments, gradients, and what draws them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from bayesnas.nn import GaussianTensor

DRAWS = 20_000


def weight(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(*shape, generator=generator)
    return loc, 0.1 + torch.rand(*shape, generator=generator)


@pytest.mark.parametrize(
    ("layer", "x_shape", "weight_shape", "bias_shape", "options"),
    [
        (F.linear, (3, 4), (5, 4), (5,), {}),
        (F.linear, (2, 3, 4), (5, 4), (5,), {}),
        (F.linear, (3, 4), (5, 4), None, {}),
        (F.conv1d, (2, 3, 6), (4, 3, 2), (4,), {"stride": 2}),
        (F.conv2d, (2, 2, 5, 5), (4, 1, 3, 3), (4,), {"padding": 1, "groups": 2}),
        (F.conv3d, (1, 2, 3, 3, 3), (2, 2, 2, 2, 2), (2,), {}),
        (F.conv_transpose2d, (2, 3, 3, 3), (3, 2, 2, 2), (2,), {"stride": 2}),
    ],
)
def test_layer_outputs_have_the_moments_of_sampled_weights(
    layer: Callable[..., Tensor],
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    options: dict[str, int],
) -> None:
    """Mean and variance of every output, against explicit draws of weight and bias."""
    x = torch.randn(*x_shape)
    w, b = weight(*weight_shape), None if bias_shape is None else weight(*bias_shape, seed=1)
    ours = torch.stack(
        [
            layer(x, GaussianTensor(*w), None if b is None else GaussianTensor(*b), **options)
            for _ in range(2000)
        ]
    )
    explicit = torch.stack(
        [
            layer(
                x,
                w[0] + w[1] * torch.randn_like(w[0]),
                None if b is None else b[0] + b[1] * torch.randn_like(b[0]),
                **options,
            )
            for _ in range(2000)
        ]
    )
    error = explicit.std(0) * math.sqrt(2 / 2000)
    assert ((ours.mean(0) - explicit.mean(0)).abs() < 6 * error + 1e-6).all()
    assert torch.allclose(ours.std(0), explicit.std(0), rtol=6 / math.sqrt(2000))


def test_examples_get_independent_noise_and_outputs_of_one_example_too() -> None:
    """For one example the joint of a linear layer's outputs is exact: they are independent."""
    loc, scale = weight(2, 3)
    x = torch.randn(1, 3).expand(DRAWS, 3)
    out = F.linear(x, GaussianTensor(loc, scale))
    correlation = torch.corrcoef(out.T)[0, 1]
    assert abs(correlation) < 5.5 / math.sqrt(DRAWS)
    assert out[:, 0].unique().numel() > DRAWS // 2


def test_gradients_are_those_of_the_expectation() -> None:
    """d/dμ and d/dσ of E[(x·w)²] = (x·μ)² + x²·σ², from 20,000 examples of one x."""
    loc, scale = (value.requires_grad_() for value in weight(1, 3))
    x = torch.tensor([[0.5, -1.0, 2.0]])
    out = F.linear(x.expand(DRAWS, 3), GaussianTensor(loc, scale))
    out.square().mean().backward()
    assert torch.allclose(loc.grad, 2 * (x @ loc.T) * x, rtol=0.1, atol=0.1)
    assert torch.allclose(scale.grad, 2 * x.square() * scale, rtol=0.1, atol=0.1)


def test_an_all_zero_input_has_finite_gradients() -> None:
    loc, scale = (value.requires_grad_() for value in weight(2, 3))
    F.linear(torch.zeros(4, 3), GaussianTensor(loc, scale)).sum().backward()
    assert torch.isfinite(loc.grad).all()
    assert torch.isfinite(scale.grad).all()


def test_products_scale_the_distribution() -> None:
    loc, scale = weight(2, 3)
    gate = torch.tensor([[1.0], [-2.0]])
    for product in (GaussianTensor(loc, scale) * gate, gate * GaussianTensor(loc, scale)):
        assert isinstance(product, GaussianTensor)
        assert torch.equal(product.loc, loc * gate)
        assert torch.equal(product.scale, scale * gate.abs())
    both = GaussianTensor(loc, scale) * GaussianTensor(loc, scale)
    assert not isinstance(both, GaussianTensor)


def test_any_other_operation_draws_once() -> None:
    gaussian = GaussianTensor(*weight(2, 3))
    first = gaussian + 0.0
    assert not isinstance(first, GaussianTensor)
    assert torch.equal(first, torch.cat([gaussian], dim=0))
    assert torch.equal(first, gaussian.draw())
    assert torch.equal(gaussian.flatten(), first.flatten())
    assert gaussian.shape == (2, 3)
    assert "GaussianTensor(shape=(2, 3)" in repr(gaussian)


def test_arguments_may_be_named() -> None:
    loc, scale = weight(2, 3)[0], torch.zeros(2, 3)
    x = torch.ones(1, 3)
    out = F.linear(input=x, weight=GaussianTensor(loc, scale), bias=torch.ones(2))
    assert torch.allclose(out, F.linear(x, loc, torch.ones(2)))


def test_a_random_bias_beside_a_fixed_weight_is_drawn() -> None:
    bias = GaussianTensor(torch.zeros(5), torch.ones(5))
    out = F.linear(torch.zeros(2, 4), torch.zeros(5, 4), bias)
    assert torch.equal(out[0], out[1])
    assert torch.equal(out[0], bias.draw())


def test_a_second_layer_call_is_refused() -> None:
    gaussian = GaussianTensor(*weight(4, 4))
    hidden = F.linear(torch.ones(1, 4), gaussian)
    with pytest.raises(RuntimeError, match="two layer calls"):
        F.linear(hidden, gaussian)


def test_multi_head_attention_draws_its_weights() -> None:
    """A module that passes its weight to something other than a layer gets a plain draw."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 3, 8)
    loc = attention.out_proj.weight.detach()
    gaussian = GaussianTensor(loc, torch.zeros_like(loc))
    out, _ = functional_call(attention, {"out_proj.weight": gaussian}, (x, x, x))
    assert torch.allclose(out, attention(x, x, x)[0], atol=1e-6)
