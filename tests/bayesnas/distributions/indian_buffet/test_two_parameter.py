"""Indian buffets against enumeration, their closed-form moments, and each other."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import mpmath
import pytest
import torch
from scipy import stats
from torch import Tensor

import bayesnas as bn
from bayesnas.distributions import (
    BetaBernoulliBuffet,
    IndianBuffet,
    StickBreakingBuffet,
    left_ordered,
)

DRAWS = 100_000
PARAMETERS = [(1.0, 2.0), (3.0, 0.5), (0.7, 1.0), (5.0, 8.0)]


def assert_mean(draws: Tensor, expected: float, what: str) -> None:
    """Within three standard errors of the mean of draws."""
    draws = draws.double()
    error = float(draws.std()) / math.sqrt(len(draws))
    assert abs(float(draws.mean()) - expected) < 5.5 * error, what


def in_double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_the_probability_that_nobody_takes_anything() -> None:
    buffet = bn.distributions.IndianBuffet(1.0, 2.0, customers=2)
    assert float(buffet.log_prob(torch.zeros(2, 0)).exp()) == pytest.approx(0.188876, abs=5e-7)
    assert torch.equal(buffet.log_prob(torch.zeros(2, 3)), buffet.log_prob(torch.zeros(2, 0)))


@pytest.mark.slow_except("0.7-1.0")
@pytest.mark.parametrize(("mass", "concentration"), PARAMETERS[:3])
def test_the_classes_of_two_customers_sum_to_one(mass: float, concentration: float) -> None:
    """A class is how many dishes have the columns (1,1), (1,0) and (0,1)."""
    buffet = IndianBuffet(in_double(mass), in_double(concentration), 2)
    columns = torch.tensor([[1, 1], [1, 0], [0, 1]], dtype=torch.float64)
    most = 14
    total = 0.0
    for counts in itertools.product(range(most), repeat=3):
        matrix = torch.repeat_interleave(columns, torch.tensor(counts), dim=0).mT
        total += float(buffet.log_prob(matrix).exp())
    assert total == pytest.approx(1.0, abs=1e-4)
    shared = float(buffet.expected_shared)  # each kind of column has a Poisson number
    alone = mass - shared
    matrix = columns[[0, 0, 1, 2, 2, 2]].mT
    expected = stats.poisson.pmf([2, 1, 3], [shared, alone, alone]).prod()
    assert float(buffet.log_prob(matrix).exp()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("mass", "concentration"), PARAMETERS)
def test_the_moments_of_draws(mass: float, concentration: float) -> None:
    customers = 6
    buffet = IndianBuffet(mass, concentration, customers)
    z = buffet.sample(torch.Size([DRAWS]))
    assert z.shape[:2] == (DRAWS, customers)
    counts = z.sum(1)
    dishes = (counts > 0).sum(1)
    assert_mean(dishes, float(buffet.expected_dishes), "dishes")
    assert_mean((dishes - dishes.double().mean()).square(), float(buffet.expected_dishes), "var")
    for row in (0, customers - 1):  # exchangeable: the last customer is like the first
        assert_mean(z[:, row].sum(1), mass, f"row {row}")
    for pair in ((0, 1), (2, 5)):
        both = (z[:, pair[0]] * z[:, pair[1]]).sum(1)
        assert_mean(both, mass / (concentration + 1), f"shared by {pair}")
    for m in range(1, customers + 1):
        expected = float(buffet.expected_dishes_taken_by(m))
        assert_mean((counts == m).sum(1), expected, f"taken by {m}")


@pytest.mark.parametrize(("mass", "concentration"), PARAMETERS)
def test_the_frequencies_of_left_ordered_forms(mass: float, concentration: float) -> None:
    """Of the eight most probable classes."""
    buffet = IndianBuffet(mass, concentration, 3)
    z = buffet.sample_left_ordered(torch.Size([DRAWS]))
    forms, counts = z.flatten(1).unique(dim=0, return_counts=True)
    chances = buffet.log_prob(forms.unflatten(1, z.shape[1:])).exp().double()
    expected, often = chances.topk(8)
    error = (expected * (1 - expected) / DRAWS).sqrt()
    assert float(expected.min()) * DRAWS > 100
    assert ((counts[often] / DRAWS - expected).abs() < 5.5 * error).all()


def test_a_class_has_one_left_ordered_form() -> None:
    z = torch.bernoulli(torch.full((50, 4, 6), 0.4))
    shuffled = z[:, :, torch.randperm(6)]
    ordered = left_ordered(z)
    assert torch.equal(ordered, left_ordered(shuffled))
    digits = 2 ** torch.arange(3, -1, -1).float()
    values = digits @ ordered
    assert (values[:, 1:] <= values[:, :-1]).all()
    buffet = IndianBuffet(1.5, 0.5, 4)
    assert torch.allclose(buffet.log_prob(z), buffet.log_prob(shuffled))


def test_rows_are_exchangeable() -> None:
    z = torch.bernoulli(torch.full((50, 4, 6), 0.4))
    buffet = IndianBuffet(1.5, 0.5, 4)
    assert torch.allclose(buffet.log_prob(z), buffet.log_prob(z[:, [2, 0, 3, 1]]))


def test_the_probability_is_differentiable_in_the_parameters() -> None:
    parameters = torch.tensor([1.5, 0.7], dtype=torch.float64, requires_grad=True)
    z = torch.tensor([[1.0, 1, 0], [1, 0, 1], [0, 0, 0]])

    def log_prob(p: Tensor) -> Tensor:
        return IndianBuffet(p[0], p[1], 3).log_prob(z)

    assert torch.autograd.gradcheck(log_prob, parameters)


@pytest.mark.parametrize(("mass", "concentration"), PARAMETERS)
def test_the_finite_form(mass: float, concentration: float) -> None:
    finite = BetaBernoulliBuffet(mass, concentration, customers=4, dishes=5)
    z = finite.sample(torch.Size([DRAWS]))
    assert_mean(z[:, 2].sum(1), float(finite.expected_row_sum), "row")
    assert_mean(z[:, 3, 1], float(finite.mean[3, 1]), "one entry")
    assert_mean((z.sum(1) > 0).sum(1), float(finite.expected_dishes), "dishes")


def test_the_finite_form_sums_to_one() -> None:
    finite = BetaBernoulliBuffet(in_double(1.3), in_double(0.6), customers=2, dishes=3)
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6))).reshape(-1, 2, 3)
    assert float(finite.log_prob(every).exp().sum()) == pytest.approx(1.0, abs=1e-12)
    forms, counts = left_ordered(every).unique(dim=0, return_counts=True)
    by_class = finite.log_prob_of_class(forms).exp()
    assert torch.allclose(by_class, finite.log_prob(forms).exp() * counts)


def test_the_finite_form_tends_to_the_buffet() -> None:
    """O(1/K)."""
    z = torch.tensor([[1.0, 1, 0, 1], [1, 0, 1, 1], [1, 0, 0, 1]])
    exact = IndianBuffet(in_double(1.3), in_double(0.6), 3).log_prob(z)
    errors = []
    for dishes in (1000, 2000):
        finite = BetaBernoulliBuffet(in_double(1.3), in_double(0.6), 3, dishes)
        padded = torch.cat([z, torch.zeros(3, dishes - 4)], 1)
        errors.append(float(finite.log_prob_of_class(padded) - exact))
    assert abs(errors[0]) < 0.02
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("mass", [0.5, 1.0, 4.0])
def test_the_stick_breaking_form(mass: float) -> None:
    """Its moments, and with many dishes those of the buffet itself at β = 1."""
    sticks = StickBreakingBuffet(mass, dishes=40)
    popularity = sticks.sample(torch.Size([DRAWS]))
    assert (popularity[:, 1:] <= popularity[:, :-1]).all()
    assert_mean(popularity[:, 2], float(sticks.mean[2]), "mean")
    spread = (popularity[:, 2].double() - float(sticks.mean[2])).square()
    assert_mean(spread, float(sticks.variance[2]), "variance")
    z = torch.bernoulli(popularity.unsqueeze(1).expand(-1, 3, -1))
    buffet = IndianBuffet(mass, 1.0, 3)
    lost = mass * (mass / (1 + mass)) ** 40
    assert lost < 1e-3
    assert_mean((z.sum(1) > 0).sum(1), float(buffet.expected_dishes), "dishes")
    assert_mean((z[:, 0] * z[:, 1]).sum(1), float(buffet.expected_shared), "shared")


def test_the_density_of_broken_sticks() -> None:
    """π₁ has the density of a Beta, π₂ given π₁ that of a Beta times π₁."""
    sticks = StickBreakingBuffet(in_double(1.7), dishes=2)
    value = torch.tensor([0.6, 0.25], dtype=torch.float64)
    expected = stats.beta.logpdf(0.6, 1.7, 1) + stats.beta.logpdf(0.25 / 0.6, 1.7, 1)
    assert float(sticks.log_prob(value)) == pytest.approx(expected - math.log(0.6), rel=1e-12)
    assert sticks.log_prob(value.flip(0)) == -math.inf


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan, "a", True, torch.ones(2)])
def test_parameters_have_to_be_positive(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^mass must be .* > 0, got "):
        IndianBuffet(wrong, 1.0, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^concentration must be .* > 0, got "):
        IndianBuffet(1.0, wrong, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^mass must be .* > 0, got "):
        StickBreakingBuffet(wrong, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [0, -1, 2.5, 3.0, True, "3"])
def test_numbers_of_customers_and_dishes_have_to_be_whole(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^customers must be a whole number >= 1, got "):
        IndianBuffet(1.0, 1.0, wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^dishes must be a whole number >= 1, got "):
        BetaBernoulliBuffet(1.0, 1.0, 3, wrong)  # type: ignore[arg-type]


def test_values_have_to_be_binary_matrices_of_the_customers() -> None:
    buffet = IndianBuffet(1.0, 1.0, 3)
    with pytest.raises(ValueError, match=r"shape \[..., 3, dishes\], got \[2, 4\]"):
        buffet.log_prob(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="zeros and ones"):
        buffet.log_prob(torch.full((3, 2), 0.5))
    with pytest.raises(ValueError, match="5 columns, got 4"):
        BetaBernoulliBuffet(1.0, 1.0, 3, 5).log_prob_of_class(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"count must be in 1…3, got 4"):
        buffet.expected_dishes_taken_by(4)


@pytest.mark.parametrize("mass", [1e-8, 0.01, 2.0, 1e4, 1e8])
def test_moments_of_broken_sticks_in_single_precision(mass: float) -> None:
    """By fractions: (α/(1+α))ᵏ and (α/(2+α))ᵏ − (α/(1+α))²ᵏ."""
    sticks = StickBreakingBuffet(mass, dishes=3)
    alpha = Fraction(float(sticks.mass))
    for k in range(1, 4):
        mean = (alpha / (1 + alpha)) ** k
        variance = (alpha / (2 + alpha)) ** k - mean**2
        assert float(sticks.mean[k - 1]) == pytest.approx(float(mean), rel=2e-6)
        assert float(sticks.variance[k - 1]) == pytest.approx(float(variance), rel=2e-6)
    draws = sticks.sample((50,))
    assert bool((draws > 0).all())
    assert bool(sticks.log_prob(draws).isfinite().all())


@pytest.mark.parametrize(("mass", "concentration"), [(1e-20, 1e-20), (1e-12, 2.0), (1e-3, 1e-3)])
def test_dishes_of_a_finite_buffet_that_hardly_anybody_takes(mass, concentration) -> None:
    """To first order in αβ/K each of K dishes is taken with probability αβ/K Σ 1/(β + n)."""
    customers, dishes = 5, 7
    buffet = BetaBernoulliBuffet(mass, concentration, customers=customers, dishes=dishes)
    rate = mass * concentration / dishes
    untaken = math.prod(1 / (1 + rate / (concentration + n)) for n in range(customers))
    exact = -math.expm1(sum(-math.log1p(rate / (concentration + n)) for n in range(customers)))
    assert exact == pytest.approx(1 - untaken, abs=1e-15)
    assert buffet.expected_dishes.item() == pytest.approx(dishes * exact, rel=1e-5)


@pytest.mark.parametrize("mass", [1e-30, 1e-6, 1.0, 1e6, 1e15, 1e30])
@pytest.mark.parametrize("concentration", [1e-30, 1e-6, 1.0, 1e6, 1e15, 1e30])
def test_a_finite_buffet_of_any_mass_and_concentration(mass: float, concentration: float) -> None:
    """By rising factorials in 60 digits; a difference of beta functions of 1e30 has no digits."""
    z = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0]]).float()
    finite = BetaBernoulliBuffet(mass, concentration, customers=4, dishes=3)
    with mpmath.workdps(60):
        a = mpmath.mpf(finite.mass.item()) * finite.concentration.item() / 3
        b = mpmath.mpf(finite.concentration.item())
        each = (mpmath.rf(a, k) * mpmath.rf(b, 4 - k) / mpmath.rf(a + b, 4) for k in (3, 3, 0))
        expected = float(mpmath.log(mpmath.fprod(each)))
    assert finite.log_prob(z).item() == pytest.approx(expected, rel=1e-6, abs=1e-6)
