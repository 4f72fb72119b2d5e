"""Hypernetworks over the KL weight: values, gradients, refinement, state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bayesnas.nn.hypernetworks.base import ConstantNet, Hypernet, ModuleNet
from bayesnas.nn.hypernetworks.curvature import CurvatureNet
from bayesnas.nn.hypernetworks.low_rank import LowRankNet
from bayesnas.nn.hypernetworks.monotone import MonotoneNet
from bayesnas.nn.hypernetworks.piecewise import REFINED_AT, PiecewiseLinearNet

SHAPES = [torch.Size([3, 4]), torch.Size([3]), torch.Size([2, 3, 2, 2]), torch.Size([])]
SIZE = sum(shape.numel() for shape in SHAPES)
PLACES = (0.0, 0.2, 0.25, 0.6, 0.99, 1.0)


class Sines(nn.Module):
    """A map of a user's own, with a buffer."""

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.base = nn.Parameter(initial)
        self.height = nn.Parameter(torch.linspace(0, 1, len(initial), dtype=initial.dtype))
        self.register_buffer("frequency", torch.tensor(3.0))

    def forward(self, t: Tensor) -> Tensor:
        return self.base + self.height * torch.sin(self.frequency * t)


def randomised(net: Hypernet) -> Hypernet:
    generator = torch.Generator().manual_seed(0)
    for leaf in net.leaves:
        leaf.data.copy_(torch.randn(leaf.shape, generator=generator))
    return net


def curvature_net(start: Tensor) -> CurvatureNet:
    shapes = [torch.Size(shape) for shape in ([3, 4], [3, 4], [5], [5], [2, 3])]
    return CurvatureNet(
        start, shapes, [[0, 0.2, 0.7, 1]], gaussians=[(0, 1), (3, 2)], log_range=3.0, rank=2,
        balance=0.0, coarse_to_fine=False,
    )  # fmt: skip


def nets() -> dict[str, Hypernet]:
    start = torch.zeros(SIZE, dtype=torch.float64)
    return {
        "constant": randomised(ConstantNet(nn.Parameter(start.clone()))),
        "linear": randomised(PiecewiseLinearNet(start, [0, 1])),
        "piecewise": randomised(PiecewiseLinearNet(start, [0, 0.2, 0.7, 1], coarse_to_fine=False)),
        "low-rank": randomised(LowRankNet(start, SHAPES, rank=2, hidden=5)),
        "factors": randomised(
            CurvatureNet(start, SHAPES, [[0, 0.2, 1]], balance=0.0, coarse_to_fine=False)
        ),
        "curvature": randomised(curvature_net(start)),
        "monotone": randomised(MonotoneNet(start, torch.arange(SIZE) % 7, 5, [0, 0.2, 0.7, 1])),
        "own": randomised(ModuleNet(Sines(start), start)),
    }


@pytest.mark.parametrize("kind", list(nets()))
@pytest.mark.parametrize("t", PLACES)
def test_gradients_match_finite_differences(kind: str, t: float) -> None:
    """Of θ(t) by every number of every leaf in use."""
    net = nets()[kind]
    place = net.place(t)
    leaves = tuple(net.leaves[index].detach().requires_grad_() for index in place.leaves)
    inputs = torch.tensor(place.inputs, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *used: net.combine(used, inputs), leaves)


@pytest.mark.parametrize("kind", list(nets()))
@pytest.mark.parametrize("t", PLACES)
def test_pull_back_is_the_transposed_derivative(kind: str, t: float) -> None:
    """⟨g, θ(leaves + ε d) − θ(leaves)⟩/ε = Σ ⟨pulled back g, d⟩; leaves not in use don't matter."""
    net = nets()[kind]
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn(SIZE, generator=generator, dtype=torch.float64)
    place = net.place(t)
    pulled = dict(zip(place.leaves, net.pull_back(place, gradient), strict=True))
    before, expected = net.at(t).clone(), 0.0
    for index, leaf in enumerate(net.leaves):
        direction = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
        leaf.data += 1e-6 * direction
        if index in pulled:
            expected += float((pulled[index] * direction).sum())
    assert float((net.at(t) - before) @ gradient) / 1e-6 == pytest.approx(expected, rel=1e-4)


def test_a_piecewise_map_interpolates_between_its_knots() -> None:
    """As numpy does, entry by entry, and exactly at the knots."""
    knots = [0, 0.2, 0.7, 1]
    net = nets()["piecewise"]
    table = torch.stack([leaf.detach() for leaf in net.leaves]).numpy()
    for t in np.linspace(0, 1, 23):
        expected = [np.interp(t, knots, table[:, entry]) for entry in range(SIZE)]
        assert np.allclose(net.at(float(t)).numpy(), expected, atol=1e-12)
    for index, knot in enumerate(knots):
        assert torch.equal(net.at(knot), net.leaves[index])


def test_a_leaf_without_influence_does_not_move() -> None:
    net = nets()["piecewise"]
    moving = {t: dict(zip(net.place(t).leaves, net.place(t).moves, strict=True)) for t in PLACES}
    assert moving[0.0] == {0: True, 1: False}
    assert moving[0.2] == {1: True, 2: False}
    assert moving[0.25] == {1: True, 2: True}
    assert moving[1.0] == {2: False, 3: True}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 9, 17, 40])
def test_refinement_ends_with_every_knot_and_changes_nothing(count: int) -> None:
    """θ(t) is the same before and after knots come in, whatever the others have become."""
    net = PiecewiseLinearNet(torch.zeros(4), np.linspace(0, 1, count).tolist())
    generator = torch.Generator().manual_seed(0)
    seen = [len(net.active[0])]
    for progress in (*REFINED_AT, 0.9):
        for index in net.active[0]:
            net.leaves[index].data.copy_(torch.randn(4, generator=generator))
        before = [net.at(t) for t in np.linspace(0, 1, 31)]
        filled = net.refine(progress)
        after = [net.at(t) for t in np.linspace(0, 1, 31)]
        for old, new in zip(before, after, strict=True):
            assert torch.allclose(old, new, atol=1e-6)
        assert len(net.active[0]) == seen[-1] + len(filled)
        seen.append(len(net.active[0]))
    assert seen == sorted(seen)
    assert net.active == [list(range(count))]


def test_refinement_is_part_of_the_state() -> None:
    knots = np.linspace(0, 1, 5).tolist()
    net, other = (PiecewiseLinearNet(torch.zeros(2), knots) for _ in range(2))
    net.leaves[4].data.fill_(1.0)
    assert net.refine(0.05) == []
    assert [entry.leaf for entry in net.refine(0.2)] == [2]
    other.load_state_dict(net.state_dict())
    assert other.active == [[0, 2, 4]]
    assert torch.equal(other.at(0.3), net.at(0.3))


def test_a_low_rank_map_is_the_published_formula() -> None:
    """Equation (6), written with einsum, tensor by tensor."""
    net = nets()["low-rank"]
    rank, hidden = 2, 5
    for t in PLACES:
        rest = net.leaves[0].detach().numpy()
        base, rest = rest[:SIZE], rest[SIZE:]
        pieces = []
        for shape in SHAPES:
            slope, offset, rest = rest[:hidden], rest[hidden : 2 * hidden], rest[2 * hidden :]
            h = np.maximum(slope * t + offset, 0)
            factors = []
            matrix = len(shape) > 1
            widths = [shape[0] * rank, shape[1:].numel() * rank] if matrix else [shape.numel()]
            for width in widths:
                weight = rest[: width * hidden].reshape(width, hidden)
                bias = rest[width * hidden : width * (hidden + 1)]
                rest = rest[width * (hidden + 1) :]
                factors.append(weight @ h + bias)
            if matrix:
                left, right = factors[0].reshape(-1, rank), factors[1].reshape(rank, -1)
                pieces.append(np.einsum("ir,rj->ij", left, right).ravel())
            else:
                pieces.append(factors[0])
        assert len(rest) == 0
        assert np.allclose(net.at(t).numpy(), base + np.concatenate(pieces))


def test_a_low_rank_map_starts_constant_and_has_the_published_size() -> None:
    """177,628 numbers for means and log scales of 784–50–10."""
    shapes = [torch.Size(s) for s in ([50, 784], [50], [10, 50], [10])] * 2
    start = torch.randn(sum(shape.numel() for shape in shapes))
    net = LowRankNet(start, shapes)
    assert sum(leaf.numel() for leaf in net.leaves) == 177_628
    assert all(torch.equal(net.at(t), start) for t in PLACES)
    assert len({int(seed) for seed in net.leaves[0][len(start) :].abs().gt(0).unique()}) == 2


def test_a_map_of_ones_own_is_flattened_and_followed() -> None:
    start = torch.arange(3.0)
    net = ModuleNet(Sines(start.clone()), start)
    assert torch.allclose(net.at(0.5), start + torch.tensor([0, 0.5, 1]) * np.sin(1.5))
    assert net.double().at(0.5).dtype == torch.float64
    assert ModuleNet(nn.Linear(1, 3), start).at(0.2).shape == (3,)
    with pytest.raises(ValueError, match=r"Linear must give the 3 trainable parameters"):
        ModuleNet(nn.Linear(1, 2), start)
    with pytest.raises(ValueError, match=r"Identity has no parameters"):
        ModuleNet(nn.Identity(), start)


def test_places_have_as_many_leaves_and_inputs_everywhere() -> None:
    """A traced step takes the same number of arguments at every λ."""
    for net in nets().values():
        sizes = {(len(p.leaves), len(p.moves), len(p.inputs)) for p in map(net.place, PLACES)}
        assert len(sizes) == 1
