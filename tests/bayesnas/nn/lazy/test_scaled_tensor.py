"""Scaled weights in layers: moments of the outputs against those of w = z w̃ drawn by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import LogNormal, Normal

from bayesnas.nn import GaussianTensor
from bayesnas.nn.lazy.scaled_tensor import LazyScales, ScaledWeights, scaled

DRAWS = 60_000


def normal_scales(loc: Tensor, scale: Tensor) -> LazyScales:
    return LazyScales(loc, [Normal(loc, scale)])


def test_a_linear_layer_has_the_moments_of_the_product() -> None:
    """E w = μ_z μ and Var w = μ_z² σ² + σ_z² (μ² + σ²), summed over the inputs."""
    loc, sd = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[0.1, 0.3, 0.2]])
    z_loc, z_sd = torch.tensor([1.0, 0.5, -0.8]), torch.tensor([0.2, 0.4, 0.1])
    x = torch.tensor([1.0, -2.0, 0.5])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weight = scaled(GaussianTensor(loc, sd), normal_scales(z_loc, z_sd), 1, "in")
        assert isinstance(weight, ScaledWeights)
        y = F.linear(x.expand(DRAWS, 3), weight, torch.tensor([0.7])).double()
    mean = (x * z_loc * loc).sum() + 0.7
    variance = (x**2 * (z_loc**2 * sd**2 + z_sd**2 * (loc**2 + sd**2))).sum()
    assert abs(y.mean() - mean) < 5.5 * (variance / DRAWS).sqrt()
    assert torch.allclose(y.var().float(), variance, rtol=0.05)


def test_every_example_has_scales_of_its_own_that_its_outputs_share() -> None:
    """Two outputs that read one input are correlated through its z; two examples are not."""
    weight_loc = torch.ones(2, 1)
    z_loc = torch.ones(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gaussian = GaussianTensor(weight_loc, 1e-6 * weight_loc)
        y = F.linear(torch.ones(2000, 1), scaled(gaussian, normal_scales(z_loc, z_loc), 1, "in"))
    assert torch.allclose(y[:, 0], y[:, 1], atol=1e-4)
    assert y[:, 0].std() > 0.9


def test_a_filters_scale_multiplies_its_output_bias_included() -> None:
    z = LogNormal(torch.zeros(3), 0.5 * torch.ones(3))
    loc = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    bias_loc = torch.tensor([1.0, -2.0, 0.5])
    x = torch.ones(20, 2, 5, 5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        scales = LazyScales(z.loc, [z])
        weight = scaled(GaussianTensor(loc, 1e-7 * loc.abs()), scales, 0, "out")
        bias = scaled(GaussianTensor(bias_loc, 1e-7 * bias_loc.abs()), scales, 0, "out")
        y = F.conv2d(x, weight, bias)
    factor = y / F.conv2d(x, loc, bias_loc)
    assert torch.allclose(factor, factor[:, :, :1, :1].expand_as(factor), rtol=1e-3)
    assert factor[:, 0, 0, 0].log().std() > 0.2  # one for each example


def test_a_removed_group_gives_nothing() -> None:
    keep = torch.tensor([True, False])
    scales = LazyScales(torch.ones(2), [Normal(torch.ones(2), torch.ones(2))], keep)
    with torch.random.fork_rng(devices=[]):
        assert torch.all(scales.draw_each(5)[:, 1] == 0)
        weight = scaled(GaussianTensor(torch.ones(1, 2), torch.ones(1, 2)), scales, 1, "in")
        only_second = torch.tensor([[0.0, 1.0]])
        assert torch.all(F.linear(only_second, weight).abs() < 1e-10)


def test_factors_without_a_group_are_shared_by_all_groups() -> None:
    local, shared = Normal(torch.ones(3), 1e-7 * torch.ones(3)), LogNormal(torch.tensor(0.0), 1.0)
    with torch.random.fork_rng(devices=[]):
        z = LazyScales(local.loc, [local, shared]).draw_each(50)
    assert torch.allclose(z, z[:, :1].expand_as(z), rtol=1e-4)
    assert z[:, 0].std() > 0.1


def test_other_operations_draw_once_and_agree() -> None:
    with torch.random.fork_rng(devices=[]):
        scales = normal_scales(torch.ones(2), torch.ones(2))
        weight = scaled(GaussianTensor(torch.ones(3, 2), torch.ones(3, 2)), scales, 1, "in")
        assert torch.equal(weight + 0, weight * 1)
        assert weight.shape == (3, 2)
        assert torch.equal(scales + 0, 1 * scales)


def test_a_single_example_without_a_batch_axis() -> None:
    with torch.random.fork_rng(devices=[]):
        scales = normal_scales(torch.ones(2), torch.zeros(2) + 1e-7)
        weight = scaled(GaussianTensor(torch.ones(3, 2), torch.zeros(3, 2)), scales, 1, "in")
        y = F.linear(torch.ones(2), weight)
        assert torch.allclose(y, torch.full((3,), 2.0))
        kernel = torch.ones(2, 1, 3, 3)
        filters = scaled(GaussianTensor(kernel, 0 * kernel), scales, 0, "out")
        image = F.conv2d(torch.ones(1, 4, 4), filters)
        assert torch.allclose(image, torch.full((2, 2, 2), 9.0))
