"""Piecewise linear maps over several metaparameters, against scipy's interpolation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

import bayesnas as bn
from bayesnas.nn.hypernetworks.base import ModuleNet
from bayesnas.nn.hypernetworks.intervals import LinearInterval, LogInterval
from bayesnas.nn.hypernetworks.low_rank import LowRankNet
from bayesnas.nn.hypernetworks.piecewise import REFINED_AT, PiecewiseLinearNet

AXES = ([0.0, 0.2, 0.7, 1.0], [0.0, 1.0], [0.0, 0.5, 1.0])
PLACES = [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.1, 0.3, 0.9), (0.2, 0.5, 0.5), (0.99, 0.01, 0.4)]


def randomised(net: PiecewiseLinearNet) -> PiecewiseLinearNet:
    generator = torch.Generator().manual_seed(0)
    for leaf in net.leaves:
        leaf.data.copy_(torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype))
    return net


def test_the_map_is_multilinear_interpolation_of_the_knots() -> None:
    net = randomised(PiecewiseLinearNet(torch.zeros(5).double(), *AXES, coarse_to_fine=False))
    grid = torch.stack(list(net.leaves)).detach().numpy().reshape(4, 2, 3, 5)
    expected = RegularGridInterpolator(AXES, grid)
    for place in PLACES:
        assert np.allclose(net.at(*place).numpy(), np.squeeze(expected(place)))


def test_a_step_uses_the_corners_of_its_cell_and_moves_those_with_a_share() -> None:
    net = PiecewiseLinearNet(torch.zeros(2), *AXES, coarse_to_fine=False)
    for place in PLACES:
        inputs = net.place(*place)
        assert len(inputs.leaves) == len(inputs.inputs) == 8
        assert sum(inputs.inputs) == pytest.approx(1.0)
        assert inputs.moves == tuple(share > 0 for share in inputs.inputs)


def test_gradients_go_to_the_knots_by_their_shares() -> None:
    net = randomised(PiecewiseLinearNet(torch.zeros(3), *AXES, coarse_to_fine=False))
    place = net.place(0.1, 0.3, 0.9)
    slope = torch.tensor([1.0, -2.0, 0.5])
    for share, gradient in zip(place.inputs, net.pull_back(place, slope), strict=True):
        assert torch.allclose(gradient, share * slope)


@pytest.mark.parametrize("counts", [(5, 5), (5, 3), (6, 2), (3, 4, 2)])
def test_refinement_ends_with_every_knot_and_changes_nothing(counts) -> None:
    """θ(t) is the same before and after knots come in, along axes of different numbers too."""
    axes = [np.linspace(0, 1, count).tolist() for count in counts]
    net = PiecewiseLinearNet(torch.zeros(3), *axes)
    generator = torch.Generator().manual_seed(0)
    places = list(itertools.product(np.linspace(0, 1, 7).tolist(), repeat=len(counts)))
    count = 2 ** len(counts)
    for progress in (*REFINED_AT, 0.9):
        for leaf in net.leaves:
            leaf.data.add_(torch.randn(3, generator=generator))
        before = [net.at(*place) for place in places]
        filled = net.refine(progress)
        assert all(sum(knot.shares) == pytest.approx(1.0) for knot in filled)
        count += len(filled)
        for place, value in zip(places, before, strict=True):
            assert torch.allclose(net.at(*place), value, atol=1e-5)
    assert count == len(net.leaves) == np.prod(counts)
    assert net.active == [list(range(number)) for number in counts]


def test_refinement_is_part_of_the_state() -> None:
    net, other = (randomised(PiecewiseLinearNet(torch.zeros(2), *AXES)) for _ in range(2))
    net.refine(0.2)
    assert net.active == [[0, 2, 3], [0, 1], [0, 2]]
    other.load_state_dict(net.state_dict())
    assert other.active == net.active
    assert torch.equal(other.at(0.3, 0.2, 0.1), net.at(0.3, 0.2, 0.1))


def test_a_low_rank_map_of_two_is_the_one_of_one_along_a_line() -> None:
    """h = ReLU(C t + d): with C's second row zero, t₂ does not matter."""
    shapes = [torch.Size([3, 4])]
    torch.manual_seed(0)
    net = LowRankNet(torch.zeros(12), shapes, hidden=6, axes=2)
    net.leaves[0].data.normal_()
    with torch.no_grad():
        net.leaves[0][12 + 6 : 12 + 12] = 0.0
    assert torch.equal(net.at(0.3, 0.1), net.at(0.3, 0.9))
    line = LowRankNet(torch.zeros(12), shapes, hidden=6)
    line.leaves[0].data.copy_(torch.cat([net.leaves[0][:18], net.leaves[0][24:]]))
    assert torch.allclose(line.at(0.3), net.at(0.3, 0.5))


def test_a_module_of_ones_own_is_called_with_a_number_for_each() -> None:
    net = ModuleNet(torch.nn.Linear(3, 4), torch.zeros(4), 3)
    weight, bias = net.leaves[0].detach().split([12, 4])
    expected = weight.view(4, 3) @ torch.tensor([0.1, 0.2, 0.3]) + bias
    assert torch.allclose(net.at(0.1, 0.2, 0.3), expected)


def test_knots_go_by_the_name_of_a_metaparameter() -> None:
    axes = LogInterval(0.1, 10.0), LinearInterval(-1.0, 3.0, "shift"), LogInterval(1.0, 4.0, "s")
    positions = bn.nn.PiecewiseMap({"kl_weight": (0.1, 1, 10), "shift": 5}).positions(*axes)
    assert positions == [[0.0, 0.5, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.5, 1.0]]
    assert axes[1].normalised(0.0) == 0.25
    assert (axes[1].value(0.0), axes[1].value(0.5), axes[1].value(1.0)) == (-1.0, 1.0, 3.0)
    with pytest.raises(ValueError, match=r"shift must be in the fitted range \[-1, 3\], got 3.1"):
        axes[1].normalised(3.1)
    with pytest.raises(ValueError, match="knots must increase from -1 to 3, the range of shift"):
        bn.nn.PiecewiseMap({"shift": (-1, 2)}).check(*axes)
