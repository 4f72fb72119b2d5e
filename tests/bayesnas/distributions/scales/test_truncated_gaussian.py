"""Log-normals on an interval far outside of it, very wide and very narrow ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bayesnas.distributions import TruncatedLogNormal
from bayesnas.distributions.scales.truncated_gaussian import TruncatedGaussian
from bayesnas.models.autoencoders.relevance_scales import Relevance

POINTS = 100_001


def double(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


class Grid:
    """The distribution on a fine grid of offsets from its mode, by the trapezoidal rule."""

    def __init__(self, loc: float, scale: float, low: float, high: float) -> None:
        ends = math.log(low), math.log(high)
        self.mode = min(max(loc, ends[0]), ends[1])
        slope = 0.0 if ends[0] < loc < ends[1] else (self.mode - loc) / scale / scale
        reach = 120 / (abs(slope) + math.sqrt(slope**2 + 120 / scale / scale))
        edges = -min(self.mode - ends[0], reach), min(ends[1] - self.mode, reach)
        self.offset = np.linspace(*edges, POINTS)
        self.fall = self.offset**2 / (2 * scale**2) + slope * self.offset
        self.density = np.exp(-self.fall)
        self.mass = float(np.trapezoid(self.density, self.offset))

    def mean(self, values: np.ndarray) -> float:
        return float(np.trapezoid(self.density * values, self.offset)) / self.mass

    def dispersion(self) -> float:
        """Var x / (E x)², from what e^d has above 1."""
        above = np.expm1(self.offset)
        mean = self.mean(above)
        return self.mean((above - mean) ** 2) / (1 + mean) ** 2

    def entropy(self) -> float:
        return math.log(self.mass) + self.mean(self.fall)

    def probability_below(self, offset: float) -> float:
        steps = 0.5 * (self.density[1:] + self.density[:-1]) * np.diff(self.offset)
        cumulative = np.concatenate([[0.0], np.cumsum(steps)]) / self.mass
        return float(np.interp(offset, self.offset, cumulative))


# μ, σ, low, high: where 100 % of the mass of x and of x² is near the mode of ln x.
EXTREMES = [
    (1e3, 1.0, 1e-3, 1e3),
    (-1e3, 1.0, 1e-3, 1e3),
    (1e5, 1.0, 1e-3, 1e3),
    (-1e9, 2.0, 1e-3, 1e3),
    (1e20, 1.0, 1e-8, 1.0),
    (0.0, 1e-8, 2.0, 3.0),
    (0.0, 1e-30, 2.0, 3.0),
    (0.1, 1e-9, 0.5, 2.0),
    (3.0, 0.01, 1e-30, 1e30),
    (0.0, 1e6, 0.5, 3.0),
    (0.0, 1e20, 0.5, 3.0),
    (1e4, 1e4, 0.01, 3.0),
    (0.0, 1.0, 1.0, 1 + 1e-6),
    (40.0, 5.0, 0.3, 0.5),
    (-1e6, 1e3, 0.3, 4.0),
]


@pytest.mark.parametrize("case", EXTREMES)
def test_moments_entropy_and_quantiles_equal_a_fine_grid(case) -> None:
    q, grid = TruncatedLogNormal(*double(*case)), Grid(*case)
    assert float(q.log_dispersion) == pytest.approx(math.log(grid.dispersion()), abs=1e-6)
    mean = math.exp(grid.mode) * (1 + grid.mean(np.expm1(grid.offset)))
    assert float(q.mean) == pytest.approx(mean, rel=1e-9)
    assert float(q.variance) == pytest.approx(grid.dispersion() * mean**2, rel=1e-6)
    assert float(q.entropy_of_log()) == pytest.approx(grid.entropy(), abs=1e-6)
    expected = grid.entropy() + grid.mode + grid.mean(grid.offset)
    assert float(q.entropy()) == pytest.approx(expected, abs=1e-6)
    for place in (0.03, 0.5, 0.8):
        offset = grid.offset[int(place * POINTS)]
        density = q.log.log_density(torch.tensor(grid.mode + offset, dtype=torch.float64))
        # A point of the grid is known to the rounding of the mode.
        slack = 1e-15 * abs(grid.mode) * np.abs(np.gradient(grid.fall, grid.offset)).max()
        fall = grid.fall[int(place * POINTS)] + math.log(grid.mass)
        assert float(density) == pytest.approx(-fall, abs=1e-6 + slack)


@pytest.mark.parametrize("case", EXTREMES)
def test_quantiles_have_their_probability_below_them(case) -> None:
    q, grid = TruncatedLogNormal(*double(*case)), Grid(*case)
    rounding = 4e-16 * max(abs(grid.mode), 1e-300) / grid.mass  # of ln x, in units of 1/density
    for u in (0.001, 0.2, 0.5, 0.9, 0.9999):
        offset = float(q.log.quantile(torch.tensor(u, dtype=torch.float64))) - grid.mode
        assert grid.probability_below(offset) == pytest.approx(u, abs=1e-6 + rounding)


@pytest.mark.parametrize("slope", [1e-6, 1.0, 1e3, 1e8, 1e14])
def test_far_above_it_is_a_power_function_distribution(slope: float) -> None:
    """There high/x is Pareto of shape δ = (μ − ln high)/σ²: all moments are closed forms."""
    scale = 1e8
    q = TruncatedLogNormal(*double(math.log(2.0) + slope * scale**2, scale, 1e-300, 2.0))
    share = slope / (slope + 1)
    if slope >= 1:  # else the lower end is within reach
        assert float(q.mean) == pytest.approx(2 * share, rel=1e-10)
        assert float(q.log_dispersion) == pytest.approx(-math.log(slope) - math.log(slope + 2))
        u = torch.tensor([0.1, 0.5, 0.999], dtype=torch.float64)
        below = math.log(2.0) - q.log.quantile(u)
        assert below.numpy() == pytest.approx(-u.log().numpy() / slope, rel=1e-6, abs=3e-16)
    assert float(q.entropy_of_log()) <= math.log(300 * math.log(10) + math.log(2)) + 1e-9


def test_a_wide_one_is_log_uniform() -> None:
    q = TruncatedLogNormal(*double(3.0, 1e30, 1e-8, 4.0))
    width = math.log(4e8)
    assert float(q.mean) == pytest.approx((4 - 1e-8) / width)
    assert float(q.variance) == pytest.approx(8 / width - (4 / width) ** 2, rel=1e-7)
    u = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert q.icdf(u).log().numpy() == pytest.approx(math.log(1e-8) + width * u.numpy())


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 0.3, 2.0])
def test_one_well_inside_is_log_normal(scale: float) -> None:
    q = TruncatedLogNormal(*double(0.3, scale, 1e-100, 1e100))
    assert float(q.log_dispersion) == pytest.approx(math.log(math.expm1(scale**2)), abs=1e-10)
    assert float(q.mean) == pytest.approx(math.exp(0.3 + scale**2 / 2), rel=1e-10)


def test_moments_that_a_far_end_makes() -> None:
    """ln x ~ N(−60, 9²) has its mean where ln x = 21, and E x² where it is 102, cut off at 69."""
    q = TruncatedLogNormal(*double(-60.0, 9.0, 1e-30, 1e30))
    y = np.linspace(math.log(1e-30), math.log(1e30), 2_000_001)
    log_density = -0.5 * ((y + 60) / 9) ** 2

    def log_integral(values: np.ndarray) -> float:
        return float(values.max() + np.log(np.trapezoid(np.exp(values - values.max()), y)))

    first, second = (log_integral(log_density + k * y) - log_integral(log_density) for k in (1, 2))
    assert float(q.mean.log()) == pytest.approx(first, abs=1e-8)
    assert float(q.log_dispersion) == pytest.approx(second - 2 * first, abs=1e-8)


@pytest.mark.parametrize("case", [(-1.0, 0.7), (50.0, 0.5), (-200.0, 3.0), (0.5, 1e3)])
def test_moments_and_entropy_are_differentiable(case) -> None:
    at = [value.requires_grad_() for value in double(*case)]

    def numbers(loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        q = TruncatedLogNormal(loc, scale, 1e-3, 2.0)
        u = torch.tensor([0.2, 0.9], dtype=torch.float64)
        values = [q.mean, q.log_dispersion, q.entropy(), *q.icdf(u).log().unbind()]
        return torch.stack(values)

    assert torch.autograd.gradcheck(numbers, at, eps=1e-4, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("case", [(-1.0, 0.7), (50.0, 0.5), (-2e4, 3.0), (0.5, 1e9)])
def test_probabilities_above_are_integrals(case) -> None:
    low, high = 1e-3, 2.0
    q, grid = (
        TruncatedGaussian(*double(*case, math.log(low), math.log(high))),
        Grid(*case, low, high),
    )
    for u in (0.01, 0.4, 0.99):
        value = q.quantile(torch.tensor(u, dtype=torch.float64))
        above = 1 - grid.probability_below(float(value) - grid.mode)
        assert float(q.probability_above(value)) == pytest.approx(above, abs=1e-6)
    ends = torch.tensor([math.log(low) - 1, math.log(high) + 1], dtype=torch.float64)
    assert q.probability_above(ends).tolist() == [1.0, 0.0]


def test_the_relevance_of_a_latent_far_outside_its_interval() -> None:
    """γ ~ LN(ln 1000 + 50, 0.1²) on [10⁻³, 10³]: −ln(γ/10³) ~ Exponential(5000)."""
    relevance = Relevance(1, "log-uniform", 1.0, "log-normal")
    with torch.no_grad():
        relevance.loc.fill_(math.log(1e3) + 50)
        relevance.log_scale.fill_(math.log(0.1))
        probability = relevance.probability_above(torch.tensor([1e3 * math.exp(-1e-4)]).double())
    assert float(probability) == pytest.approx(1 - math.exp(-0.5), rel=1e-3)
