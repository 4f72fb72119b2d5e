"""The Kumaraswamy against closed forms, quadrature and Pyro's own where that holds."""

from __future__ import annotations

import math
from fractions import Fraction

import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, special, stats
from torch.distributions import Beta, kl_divergence

from bayesnas.distributions import Kumaraswamy
from bayesnas.distributions.indian_buffet.kumaraswamy import expected_log_complement

PARAMETERS = [
    (1.0, 0.05),
    (2.0, 0.3),
    (0.5, 5.0),
    (10.0, 0.1),
    (0.05, 0.05),
    (3.0, 20.0),
    (2.0, 1.0),
    (1000.0, 0.5),
    (5000.0, 50.0),
]


def kumaraswamy(a: float, b: float) -> Kumaraswamy:
    return Kumaraswamy(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))


def expectation(a: float, b: float, function) -> float:
    """E f(ln x) over the exponential behind a draw, by quadrature."""

    def integrand(t: float) -> float:
        s = t / b
        log_x = (math.log(-math.expm1(-s)) if s < 0.7 else math.log1p(-math.exp(-s))) / a
        return math.exp(-t) * function(log_x, s)

    ends = [0, 1e-9 * b, 1e-4 * b, 0.1 * b, b, 10 * b + 1, 10 * b + 60]
    return sum(
        integrate.quad(integrand, *ends[i : i + 2], epsabs=1e-12, limit=200)[0]
        for i in range(len(ends) - 1)
    )


@pytest.mark.parametrize(("a", "b"), PARAMETERS)
def test_the_expected_log_complement_equals_quadrature(a: float, b: float) -> None:
    def log_complement(log_x: float, s: float) -> float:
        # 1 − x → e^{−s} / a where x rounds to 1.
        return math.log(-math.expm1(log_x)) if log_x < -1e-12 else -s - math.log(a)

    exact = expectation(a, b, log_complement)
    assert float(expected_log_complement(kumaraswamy(a, b))) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("a", "b"), PARAMETERS)
@pytest.mark.parametrize(("other_a", "other_b"), [(3.0, 1.0), (0.7, 1.0), (2.0, 4.0), (1.0, 0.5)])
def test_the_divergence_from_a_beta_equals_quadrature(
    a: float, b: float, other_a: float, other_b: float
) -> None:
    def log_ratio(log_x: float, s: float) -> float:
        log_complement = math.log(-math.expm1(log_x)) if log_x < -1e-12 else -s - math.log(a)
        log_q = math.log(a * b) + (a - 1) * log_x - (b - 1) * s
        log_p = (other_a - 1) * log_x + (other_b - 1) * log_complement
        return log_q - log_p + special.betaln(other_a, other_b)

    p = Beta(torch.tensor(other_a, dtype=torch.float64), torch.tensor(other_b, dtype=torch.float64))
    kl = kl_divergence(kumaraswamy(a, b), p)
    exact = expectation(a, b, log_ratio)
    assert float(kl) == pytest.approx(exact, rel=1e-5, abs=1e-6)


def test_the_divergence_is_exact_where_both_are_one_family() -> None:
    """Kumaraswamy(a, 1) is Beta(a, 1), Kumaraswamy(1, b) is Beta(1, b)."""
    kl = kl_divergence(kumaraswamy(3.0, 1.0), Beta(torch.tensor(2.0).double(), 1.0))
    exact = kl_divergence(
        Beta(torch.tensor(3.0).double(), 1.0), Beta(torch.tensor(2.0).double(), 1.0)
    )
    assert float(kl) == pytest.approx(float(exact), abs=1e-12)
    kl = kl_divergence(kumaraswamy(1.0, 3.0), Beta(torch.tensor(1.0).double(), 0.4))
    exact = kl_divergence(
        Beta(torch.tensor(1.0).double(), 3.0), Beta(torch.tensor(1.0).double(), 0.4)
    )
    assert float(kl) == pytest.approx(float(exact), rel=1e-6)


def test_the_divergence_has_gradients() -> None:
    parameters = torch.tensor([0.8, 0.4], dtype=torch.float64, requires_grad=True)

    def divergence(p: torch.Tensor) -> torch.Tensor:
        return kl_divergence(Kumaraswamy(p[0], p[1]), Beta(torch.tensor(2.0).double(), 3.0))

    assert torch.autograd.gradcheck(divergence, parameters)


def test_draws_stay_inside_with_a_finite_density_where_pyros_do_not() -> None:
    theirs = dist.Kumaraswamy(torch.tensor(1.0), torch.tensor(0.05), validate_args=False)
    x = theirs.sample(torch.Size([20_000]))
    assert not torch.isfinite(theirs.log_prob(x)).all()  # what this class is for
    for a, b in PARAMETERS:
        ours = Kumaraswamy(torch.tensor(a), torch.tensor(b))
        x = ours.sample(torch.Size([20_000]))
        assert ((x > 0) & (x < 1)).all()
        assert torch.isfinite(ours.log_prob(x)).all()


@pytest.mark.parametrize(("a", "b"), PARAMETERS)
def test_draws_follow_the_distribution(a: float, b: float) -> None:
    """1 − (1 − x^a)^b is uniform; its upper part is lost where x rounds to 1."""
    log_x = kumaraswamy(a, b).rsample_log(torch.Size([20_000]))
    uniform = -torch.expm1(b * torch.log1p(-(a * log_x).exp()))
    resolved = uniform[uniform < 0.3] / 0.3
    assert len(resolved) / len(uniform) == pytest.approx(0.3, abs=5.5 * math.sqrt(0.21 / 20_000))
    assert stats.kstest(resolved.numpy(), "uniform").pvalue > 1e-7


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (0.5, 5.0), (3.0, 0.7)])
def test_density_moments_and_entropy_equal_pyros(a: float, b: float) -> None:
    ours = kumaraswamy(a, b)
    theirs = dist.Kumaraswamy(torch.tensor(a).double(), torch.tensor(b).double())
    x = torch.linspace(0.05, 0.95, 9, dtype=torch.float64)
    assert torch.allclose(ours.log_prob(x), theirs.log_prob(x))
    assert float(ours.mean) == pytest.approx(float(theirs.mean))
    assert float(ours.variance) == pytest.approx(float(theirs.variance))
    assert torch.allclose(ours.entropy(), theirs.entropy())
    assert ours.cdf(x).numpy() == pytest.approx(1 - (1 - x.numpy() ** a) ** b)


def test_gradients_of_draws_are_finite_in_single_precision() -> None:
    parameters = torch.tensor([[1.0, 0.05], [0.05, 0.05], [10.0, 30.0]], requires_grad=True)
    q = Kumaraswamy(parameters[:, 0], parameters[:, 1])
    (q.rsample(torch.Size([5000])).sum() + q.rsample_log(torch.Size([5000])).sum()).backward()
    assert parameters.grad is not None
    assert torch.isfinite(parameters.grad).all()


def test_parameters_have_to_be_positive() -> None:
    with pytest.raises(ValueError, match="concentration0"):
        Kumaraswamy(torch.tensor(1.0), torch.tensor(-1.0), validate_args=True)


# The ends of single precision ----------------------------------------------------------------


def exact_moments(order: int, b: float) -> tuple[float, float]:
    """E x and Var x of a = 1/order by fractions: x = uᵏ with u ~ Beta(1, b)."""

    def moment(power: int) -> Fraction:
        product = Fraction(1)
        for j in range(1, power + 1):
            product *= Fraction(j) / (Fraction(b) + j)
        return product

    return float(moment(order)), float(moment(2 * order) - moment(order) ** 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("b", [1e-30, 1e-8, 1e-3, 0.3, 10.0, 1e4, 1e6, 1e10, 1e17])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_moments_are_those_of_fractions(order: int, b: float, dtype: torch.dtype) -> None:
    concentration = torch.tensor(b, dtype=dtype)
    q = Kumaraswamy(torch.tensor(1 / order, dtype=dtype), concentration)
    mean, variance = exact_moments(order, float(concentration))
    info = torch.finfo(dtype)
    tolerance = {"rel": 4 * info.eps + 1e-12, "abs": info.tiny}
    assert float(q.mean) == pytest.approx(mean, **tolerance)
    assert float(q.variance) == pytest.approx(variance, **tolerance)


@pytest.mark.parametrize("b", [1e-6, 0.5, 30.0, 1e5, 1e9])
@pytest.mark.parametrize("a", [0.03, 0.7, 3.0, 40.0, 1e4, 1e8])
def test_moments_of_any_parameters_equal_quadrature(a: float, b: float) -> None:
    """∫ e^{−t} (x − m)² dt over v = ln t, on a fine grid; 1 − x is kept where x is near 1."""
    q = Kumaraswamy(torch.tensor(a), torch.tensor(b))
    a, b = float(q.concentration1), float(q.concentration0)  # as rounded
    t = torch.linspace(-45, 4.5, 40001, dtype=torch.float64).exp()
    s = t / b
    log_x = torch.where(s < 0.7, (-torch.expm1(-s)).log(), torch.log1p(-(-s).exp())) / a
    weights = t * (-t).exp()
    below = -torch.expm1(log_x)

    def average(values: torch.Tensor) -> float:
        return float(torch.trapezoid(weights * values, t.log()))

    mean = average(below)
    variance = average((below - mean) ** 2) + mean**2 * (1 - average(torch.ones_like(t)))
    assert float(1 - kumaraswamy(a, b).mean) == pytest.approx(mean, rel=1e-6, abs=1e-12)
    assert float(q.mean) == pytest.approx(1 - mean, rel=1e-6)
    assert float(q.variance) == pytest.approx(variance, rel=2e-6, abs=1e-37)


def test_moments_have_gradients_at_the_ends() -> None:
    a = torch.tensor([1e-4, 1.0, 1e8], requires_grad=True)
    b = torch.tensor([1e-6, 1e6, 1e9], requires_grad=True)
    q = Kumaraswamy(a, b)
    (q.mean + q.variance).sum().backward()
    assert bool(a.grad.isfinite().all())
    # d/db of 1/(b + 1) + b/((b + 1)²(b + 2)) at b = 10⁶
    assert float(b.grad[1]) == pytest.approx(-1e-12, rel=1e-5)


@pytest.mark.parametrize("b", [1e-20, 1e-7, 1e6, 1e20])
def test_the_divergence_from_the_prior_of_a_stick_break_in_single_precision(b: float) -> None:
    """From Beta(A, 1), by the formula in doubles; 1/b and ψ(b) cancel for small b."""
    a, other = 2.0, 5.0
    harmonic = special.digamma(b + 1) + 0.5772156649015329
    expected = (other / a - 1) * harmonic + math.log(a * b / other) + 1 / b - 1
    kl = kl_divergence(Kumaraswamy(torch.tensor(a), torch.tensor(b)), Beta(other, 1.0))
    assert float(kl) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("a", "b"), [(1e-20, 1e-6), (1e-12, 1e-4), (3.0, 1e-7)])
def test_entropy_and_divergence_for_small_b_in_single_precision(a: float, b: float) -> None:
    """ψ(1 + b) + γ = ζ(2) b − ζ(3) b² + …, of which single precision kept no digit."""
    a, b = (float(torch.tensor(value)) for value in (a, b))
    harmonic = math.pi**2 / 6 * b - 1.2020569 * b**2
    q = Kumaraswamy(torch.tensor(a), torch.tensor(b))
    entropy = 1 - 1 / b + (1 - 1 / a) * harmonic - math.log(a * b)
    assert q.entropy().item() == pytest.approx(entropy, rel=1e-5)
    p = torch.distributions.Beta(torch.tensor(2.0), torch.tensor(1.0))
    divergence = (2 / a - 1) * harmonic + math.log(a * b) - math.log(2.0) - (b - 1) / b
    assert torch.distributions.kl_divergence(q, p).item() == pytest.approx(divergence, rel=1e-5)
