"""The map of logits that turn to what costs less: its formula, what it trains, what it promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas.models import LatentStructureNet
from bayesnas.nn.hypernetworks.intervals import LogInterval
from bayesnas.nn.hypernetworks.monotone import MonotoneNet

COSTS = torch.tensor([[0.0, 800.0, 400.0, 0.0], [30.0, 0.0, 10.0, 30.0], [7.0] * 4])
KNOTS = [0.0, 0.25, 1.0]


def made(seed: int) -> MonotoneNet:
    net = MonotoneNet(torch.zeros(12), COSTS.flatten(), 4, KNOTS)
    generator = torch.Generator().manual_seed(seed)
    for leaf in net.leaves:
        leaf.data.copy_(3 * torch.randn(leaf.shape, generator=generator))
    return net


def test_it_is_the_documented_formula() -> None:
    """Entry by entry: its start, less the falls g of all gaps between costs up to its own."""
    net = made(0)
    base, *increases = [leaf.detach().numpy() for leaf in net.leaves]
    heights = np.cumsum([np.zeros(9), *(np.log1p(np.exp(rho)) for rho in increases)], axis=0)
    for t in np.linspace(0, 1, 9):
        falls = [np.interp(t, KNOTS, heights[:, gap]) for gap in range(9)]
        by_cost = [
            {0.0: 0.0, 400.0: falls[1], 800.0: falls[1] + falls[2]},  # the first two are equal
            {0.0: 0.0, 10.0: falls[3], 30.0: falls[3] + falls[4]},
            {7.0: 0.0},
        ]
        fallen = [[by_cost[row][c] for c in costs] for row, costs in enumerate(COSTS.tolist())]
        expected = base.reshape(3, 4) - np.array(fallen)
        assert np.allclose(net.at(float(t)).view(3, 4).numpy(), expected, atol=1e-5)


def test_costs_that_differ_by_one_are_told_apart() -> None:
    """Also where single precision does not: multiply-adds come in tens of millions."""
    costs = (2.0**25, 2.0**25 + 1)
    net = bn.nn.MonotoneMap(costs, knots=2).build(
        torch.zeros(2), [torch.Size([1, 2])], LogInterval(0.1, 1.0)
    )
    assert net.at(1.0)[1] < net.at(1.0)[0]


def test_a_step_trains_its_own_stretch() -> None:
    moves = {t: made(0).place(t).moves for t in (0.0, 0.1, 0.25, 0.5, 1.0)}
    assert moves == {
        0.0: (True, False, False),
        0.1: (True, True, False),
        0.25: (False, False, False),
        0.5: (False, False, True),
        1.0: (False, False, True),
    }


@pytest.mark.parametrize("seed", range(20))
def test_the_likeliest_operation_never_costs_more_at_a_larger_weight(seed: int) -> None:
    net = made(seed)
    chosen = torch.stack([net.at(t).view(3, 4).argmax(1) for t in torch.linspace(0, 1, 40)])
    costs = COSTS.expand(40, 3, 4).gather(2, chosen.unsqueeze(2)).squeeze(2)
    assert (costs.diff(dim=0) <= 0).all()


@pytest.mark.slow_except("0")
@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))]
)
def test_architectures_never_get_larger(seed: int) -> None:
    """Whole networks without dead edges, for any α and g: an edge that died stays dead."""
    space = bn.nn.cells(["reduction"], channels=2, nodes=3, image=8)
    model = LatentStructureNet(space, "point-mass", cost="parameters")
    (group,) = model.groups
    costs = torch.tensor([space.parameter_counts[edge] for edge in group.edges]).float()
    net = MonotoneNet(torch.zeros(costs.numel()), costs.flatten(), 8, [0.0, 1.0])
    generator = torch.Generator().manual_seed(seed)
    base, increases = net.leaves
    base.data.copy_(2 * torch.randn(base.shape, generator=generator))
    increases.data.copy_(10 * torch.rand(increases.shape, generator=generator))
    sizes = []
    for t in torch.linspace(0, 1, 15):
        model.structural.assign("gamma.logits", net.at(float(t)).view_as(costs))
        sizes.append(model.architecture().parameter_count)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
