"""Complexity measures against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import bayesnas as bn
from bayesnas.complexity import (
    ANY_SCALE,
    nats_to_bits,
    smallest_gaussian_kl,
    smallest_kl_of_layers,
    structure_entropy,
)
from bayesnas.distributions import GaussianWeights


def layers(seed: int = 0) -> list[list[GaussianWeights]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ([(3, 4), (3,)], [(2, 3), (2,)])
    return [
        [
            GaussianWeights(
                (1 + 2 * index) * torch.randn(shape, generator=generator).double(),
                0.1 + torch.rand(shape, generator=generator).double(),
            )
            for shape in layer
        ]
        for index, layer in enumerate(shapes)
    ]


def minimised(posteriors: list[GaussianWeights], low: float, high: float) -> float:
    """Over ln s, by a search that knows nothing of the formula."""

    def total(log_scale: float) -> float:
        prior = Normal(0.0, torch.tensor(math.exp(log_scale)).double())
        return sum(kl_divergence(Normal(q.loc, q.scale), prior).sum().item() for q in posteriors)

    bounds = (math.log(low), math.log(high))
    inside = minimize_scalar(total, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return min(inside.fun, *(total(end) for end in bounds))


@pytest.mark.parametrize("span", [(1e-3, 1e3), (0.1, 0.5), (4.0, 9.0)], ids=["any", "low", "high"])
def test_each_grouping_is_the_sum_of_numerical_minima(span: tuple[float, float]) -> None:
    every = layers()
    flat = [q for layer in every for q in layer]
    single = [
        GaussianWeights(q.loc.flatten()[i : i + 1], q.scale.flatten()[i : i + 1])
        for q in flat
        for i in range(q.loc.numel())
    ]
    expected = {
        "none": minimised(flat, *span),
        "layer": sum(minimised(layer, *span) for layer in every),
        "weight": sum(minimised([q], *span) for q in single),
    }
    smallest = {per: smallest_kl_of_layers(every, per, span).item() for per in expected}
    assert smallest == pytest.approx(expected, rel=1e-6)
    assert smallest["weight"] < smallest["layer"] < smallest["none"]


def test_by_hand_for_one_scale_a_weight() -> None:
    q = GaussianWeights(torch.tensor([2.0, 0.0, 3.0]), torch.tensor([1.0, 0.5, 4.0]))
    smallest = smallest_kl_of_layers([[q]], "weight", ANY_SCALE).item()
    assert smallest == pytest.approx(0.5 * math.log(5) + 0.5 * math.log(1 + 9 / 16))
    narrow = GaussianWeights(torch.tensor([1.0]), log_scale=torch.tensor([-60.0]))
    assert smallest_kl_of_layers([[narrow]], "weight", ANY_SCALE).item() == pytest.approx(60.0)


@pytest.mark.parametrize("per", ["none", "layer", "weight"])
def test_complexity_to_zero_takes_the_relative_density_to_one(per: str) -> None:
    """Property 7, with its rate: ρ⁻¹ ≤ exp((e^{2C} − 1)/2) for means that shrink.

    The scales of all weights that share a prior scale have to be equal for C → 0.
    """
    previous = math.inf
    for shrink in (1.0, 0.3, 0.1, 0.03, 0.01):
        q = GaussianWeights(
            shrink * torch.tensor([0.5, -1.0, 0.2]).double(), torch.ones(3).double()
        )
        complexity = smallest_kl_of_layers([[q], [q]], per, ANY_SCALE).item()  # type: ignore[arg-type]
        inverse = math.exp(2 * (q.loc.square() / (2 * q.scale.square())).sum().item())
        assert 1 <= inverse <= math.exp((math.exp(2 * complexity) - 1) / 2)
        assert complexity < previous
        previous = complexity
    assert complexity < 2e-4
    assert inverse == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("span", [(2.0, 1.0), (-1.0, 1.0), (0.0, 0.0), (0.0, math.nan)])
def test_what_is_no_range_is_refused(span: tuple[float, float]) -> None:
    for per in ("none", "layer", "weight"):
        with pytest.raises(ValueError, match="scale_range must be"):
            smallest_kl_of_layers(layers(), per, span)  # type: ignore[arg-type]


def test_what_has_no_prior_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="per must be one of"):
        smallest_kl_of_layers(layers(), "neuron", (0.0, math.inf))  # type: ignore[arg-type]


def test_of_an_ard_regression_it_counts_the_correlations() -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 0] + 0.3 * x[:, 1]
    data = (x, x[:, 0] + 0.5 * x[:, 2])
    post = bn.fit(bn.models.ArdRegression(3), data, steps=50, batch_size=40, progress=False)
    q = post.model.weight_posterior()
    covariance, mean = q.covariance_matrix.detach(), q.mean.detach().double()
    gaussian = MultivariateNormal(mean, covariance)

    def kl(variances: Tensor) -> float:
        prior = MultivariateNormal(torch.zeros_like(mean), torch.diag(variances))
        return kl_divergence(gaussian, prior).item()

    moments = mean.square() + covariance.diagonal()
    by_weight = post.complexity(per="weight")["parametric_complexity"]
    assert by_weight == pytest.approx(kl(moments), rel=1e-6)
    one = post.complexity(per="none")["parametric_complexity"]
    assert one == pytest.approx(kl(torch.full_like(moments, moments.mean().item())), rel=1e-6)
    assert by_weight <= kl(1.1 * moments)


def test_the_posterior_says_complexity_density_and_entropy() -> None:
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    data = (x, x[:, 0])
    net = bn.models.GaussianNet(bn.nn.mlp([4, 3, 1]), likelihood="gaussian")
    post = bn.fit(net, data, steps=20, progress=False)
    measures = post.complexity()
    expected = sum(
        -(loc.double() / scale.double()).square().sum().item() / 2
        for loc, scale in post.model.weight_posteriors().values()
    )
    assert measures["log_relative_density"] == pytest.approx(expected, rel=1e-5)
    assert "structure_entropy" not in measures
    assert measures["parametric_complexity"] <= measures["kl_nats"]
    assert post.complexity(per="none")["parametric_complexity"] > measures["parametric_complexity"]
    at_one = post.complexity(per="layer", scale_range=(1.0, 1.0))  # the prior of the fit
    assert at_one["parametric_complexity"] == pytest.approx(measures["kl_nats"], rel=1e-5)
    with pytest.raises(ValueError, match="per must be one of"):
        post.complexity(per="site")  # type: ignore[arg-type]
    slab = bn.fit(bn.models.SpikeAndSlabRegression(4), data, steps=20, progress=False)
    weights = slab.model.weight_posterior().weights.detach().numpy()
    expected = -(weights * np.log(weights.clip(1e-300))).sum()
    assert slab.complexity()["structure_entropy"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "events", "expected"),
    [
        ([[0.5, 0.5], [1.0, 0.0]], "exclusive", math.log(2)),
        ([[0.25] * 4], "exclusive", math.log(4)),
        ([[0.5, 0.5], [1.0, 0.0]], "independent", 2 * math.log(2)),
        ([[0.1]], "independent", -0.1 * math.log(0.1) - 0.9 * math.log(0.9)),
    ],
)
def test_entropy_of_choices_and_gates(
    values: list[list[float]], events: str, expected: float
) -> None:
    dataset = xr.Dataset({"a": (("edge", "operation"), values)}, attrs={"events": events})
    assert structure_entropy(dataset) == pytest.approx(expected)
    assert structure_entropy(dataset.drop_attrs()) is None
    assert structure_entropy(dataset.assign_attrs(entropy=0.5)) == 0.5


def test_models_of_structure_say_what_their_values_are() -> None:
    net = bn.models.SpikeAndSlabNet(bn.nn.mlp([4, 3]), gates="neurons")
    probabilities = net.structure()["layer1.inclusion"].values.astype(float)
    expected = -(probabilities * np.log(probabilities)).sum()
    expected -= ((1 - probabilities) * np.log(1 - probabilities)).sum()
    assert structure_entropy(net.structure()) == pytest.approx(expected, rel=1e-5)
    edges = {
        ("x", "h"): torch.nn.Linear(4, 4),
        ("h", "y"): [torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)],
    }
    graph = bn.nn.Graph(edges, example=torch.zeros(2, 4))
    choice = bn.models.LatentStructureNet(graph)
    assert structure_entropy(choice.structure()) == pytest.approx(math.log(2), rel=1e-5)
    gates = bn.models.LatentStructureNet(graph, "binary-concrete")
    assert structure_entropy(gates.structure()) == pytest.approx(2 * math.log(2), rel=1e-5)


def test_parametric_complexity_is_the_smallest_kl_over_prior_scales() -> None:
    generator = torch.Generator().manual_seed(0)
    locs = [torch.randn(3, 4, generator=generator), torch.randn(3, generator=generator)]
    scales = [0.1 + torch.rand(3, 4, generator=generator), 0.1 + torch.rand(3, generator=generator)]
    smallest = smallest_gaussian_kl(
        [GaussianWeights(loc, scale) for loc, scale in zip(locs, scales, strict=True)]
    ).item()
    grid = [
        sum(
            kl_divergence(Normal(loc, scale), Normal(0.0, s)).sum().item()
            for loc, scale in zip(locs, scales, strict=True)
        )
        for s in torch.linspace(0.2, 4.0, 2000).tolist()
    ]
    assert smallest == pytest.approx(min(grid), rel=1e-4)
    assert smallest <= min(grid) + 1e-4


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
