"""The curvature map: its formulas entry by entry, the exact optimum, what it starts from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas.inference.optim.update_counts import trainable_scalars
from bayesnas.nn.hypernetworks.curvature import CurvatureNet
from bayesnas.nn.hypernetworks.intervals import LinearInterval, LogInterval

SPAN = LogInterval(0.1, 100.0)
LOG_RANGE = math.log(1000)
SHAPES = [torch.Size(shape) for shape in ([3, 2, 2], [3, 2, 2], [5], [2, 3], [5], [])]
PAIRS = [(0, 1), (4, 2)]
SIZES = [shape.numel() for shape in SHAPES]


def logistic(x):
    return 1 / (1 + np.exp(-x))


def small_net(start: torch.Tensor) -> CurvatureNet:
    return CurvatureNet(start, SHAPES, [[0, 0.4, 1]], gaussians=PAIRS, log_range=LOG_RANGE, rank=2)


def start() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(sum(SIZES), generator=generator, dtype=torch.float64)
    for _, scale in PAIRS:
        first = sum(SIZES[:scale])
        values[first : first + SIZES[scale]] -= 2.0
    return values


def entries(net: CurvatureNet, t: float) -> np.ndarray:
    """The formulas of the class, one entry at a time."""
    table = [leaf.detach().numpy() for leaf in net.leaves]
    at_t = [np.interp(t, net.knots[0], column) for column in np.transpose(table[:-1])]
    shared, remaining = list(table[-1]), list(at_t)
    log_kl_weight = (t - 0.5) * LOG_RANGE

    def take(source, *shape):
        count = math.prod(shape)
        taken = np.array(source[:count]).reshape(shape)
        del source[:count]
        return taken

    matrices = [(s[0], s[1:].numel()) if len(s) > 1 else (1, s.numel()) for s in SHAPES]
    bases = [take(shared, *matrix) for matrix in matrices]
    levels = {scale: take(shared, matrices[scale][0]) for _, scale in PAIRS}
    locations = dict(PAIRS)
    scales = set(locations.values())
    parts = []
    for index, (rows, columns) in enumerate(matrices):
        kinds = [rows, columns]
        if index in scales:
            kinds += [rows]
        elif index not in locations:
            kinds += [rows, columns]
        part = [take(remaining, length) for length in kinds]
        if rows > 1 and index not in scales:
            part += [take(remaining, rows, 2), take(remaining, 2, columns)]
        parts.append(part)
    assert not shared
    assert not remaining
    values = []
    for index, (rows, columns) in enumerate(matrices):
        part = parts[index]
        has_products = rows > 1 and index not in scales
        for i, j in np.ndindex(rows, columns):
            base = bases[index][i, j]
            products = part[-2][i] @ part[-1][:, j] if has_products else 0.0
            if index in scales:
                k = base + part[0][i] + part[1][j]
                level = levels[index][i] + part[2][i]
                values.append(level + 0.5 * np.log(logistic(log_kl_weight - k)))
            elif index in locations:
                scale = locations[index]
                k = bases[scale][i, j] + parts[scale][0][i] + parts[scale][1][j]
                shrunk = base * np.exp(part[0][i] + part[1][j]) * logistic(k - log_kl_weight)
                values.append(shrunk + products)
            else:
                scaled = base * np.exp(part[0][i] + part[1][j])
                values.append(scaled + part[2][i] + part[3][j] + products)
    return np.array(values)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.4, 0.77, 1.0])
def test_entries_follow_the_formulas(t: float) -> None:
    net = small_net(start())
    net.refine(0.9)
    generator = torch.Generator().manual_seed(1)
    for leaf in net.leaves:
        leaf.data += 0.3 * torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
    assert np.allclose(net.at(t).numpy(), entries(net, t), atol=1e-12)


def test_it_starts_from_the_given_values_in_the_middle_of_the_range() -> None:
    initial = start()
    net = small_net(initial)
    assert torch.allclose(net.at(0.5), initial, atol=1e-12)


def test_knots_that_come_in_change_nothing() -> None:
    net = small_net(start())
    generator = torch.Generator().manual_seed(1)
    for index in (0, 2, 3):
        net.leaves[index].data += torch.randn(net.leaves[index].shape, generator=generator).double()
    before = [net.at(t) for t in np.linspace(0, 1, 11)]
    (filled,) = net.refine(0.9)
    assert (filled.leaf, filled.sources) == (1, (0, 2))
    for old, t in zip(before, np.linspace(0, 1, 11), strict=True):
        assert torch.allclose(net.at(t), old, atol=1e-12)
    other = small_net(start())
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.at(0.3), net.at(0.3))


def test_the_optimum_of_a_coordinate_is_exact_at_every_kl_weight() -> None:
    """Of a quadratic log-likelihood, from h, m and s alone: factors are as they start."""
    h, m, s = np.array([0.01, 3.0, 5e4]), np.array([0.5, -2.0, 0.1]), 0.3
    net = CurvatureNet(
        torch.zeros(6).double(), [torch.Size([3])] * 2, [[0, 1]], gaussians=[(0, 1)],
        log_range=LOG_RANGE,
    )  # fmt: skip
    k = np.log(h * s**2) - math.log(SPAN.value(0.5))
    net.leaves[-1].data.copy_(torch.tensor([*m, *k, math.log(s)]))
    for t in np.linspace(0, 1, 7):
        precision = h / SPAN.value(t) + 1 / s**2
        mean, log_scale = net.at(float(t)).numpy().reshape(2, 3)
        assert np.allclose(mean, m * (h / SPAN.value(t)) / precision)
        assert np.allclose(np.exp(log_scale), precision**-0.5)


def test_large_kl_weights_weigh_less_in_what_all_share() -> None:
    """Gradients of the shared leaf by the power of λ, those of the knots as they are."""
    plain, balanced = (
        CurvatureNet(
            start(), SHAPES, [[0, 1]], gaussians=PAIRS, log_range=LOG_RANGE, rank=2, balance=power
        )
        for power in (0.0, 0.4)
    )
    balanced.load_state_dict(plain.state_dict())
    for t in (0.0, 0.3, 1.0):
        assert torch.allclose(balanced.at(t), plain.at(t), atol=1e-12)
        pulled, expected = (net.pull_back(net.place(t), start()) for net in (balanced, plain))
        factor = (SPAN.value(t) / SPAN.value(0.5)) ** -0.4
        assert torch.allclose(pulled[-1], factor * expected[-1])
        assert all(map(torch.allclose, pulled[:-1], expected[:-1]))


def test_other_metaparameters_have_knots_of_their_own() -> None:
    initial = start()
    axes = (SPAN, LinearInterval(0.0, 1.0, "temperature"))
    net = bn.nn.CurvatureMap(knots=3).build(initial, SHAPES, *axes, gaussians=PAIRS)
    assert len(net.leaves) == 9 + 1
    assert torch.allclose(net.at(0.5, 0.1), initial)


@pytest.mark.parametrize("sizes", [[784, 50, 10], [784, 100, 50, 10]])
def test_a_network_has_no_more_than_two_fifths_more_numbers(sizes: list[int]) -> None:
    model = bn.models.GaussianNet(bn.nn.mlp(sizes))
    amortized = trainable_scalars(model, bn.LogUniform(0.1, 100), "curvature")
    assert trainable_scalars(model) < amortized <= 1.4 * trainable_scalars(model)


@pytest.mark.parametrize(
    ("model", "pairs"),
    [
        (bn.models.GaussianNet(bn.nn.mlp([3, 2])), 2),
        (bn.models.SpikeAndSlabNet(bn.nn.mlp([3, 2])), 2),
        (bn.models.SupermaskNet(bn.nn.mlp([3, 2])), 0),
        (bn.models.ArdVae(4, 2), 1),
        (bn.models.LatentFeatures(4, 2), 1),
    ],
)
def test_models_name_means_and_scales_of_one_shape(model, pairs) -> None:
    shapes = {name: value.shape for name, value in model.named_parameters()}
    named = model.gaussian_parameters()
    assert len(named) == pairs
    assert all(shapes[mean] == shapes[log_scale] for mean, log_scale in named.items())
