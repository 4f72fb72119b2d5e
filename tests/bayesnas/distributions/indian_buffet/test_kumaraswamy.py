"""The Kumaraswamy against closed forms, quadrature and Pyro's own where that holds."""

from __future__ import annotations

import math

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
    found = kl_divergence(kumaraswamy(a, b), p)
    exact = expectation(a, b, log_ratio)
    assert float(found) == pytest.approx(exact, rel=1e-5, abs=1e-6)


def test_the_divergence_is_exact_where_both_are_one_family() -> None:
    """Kumaraswamy(a, 1) is Beta(a, 1), Kumaraswamy(1, b) is Beta(1, b)."""
    found = kl_divergence(kumaraswamy(3.0, 1.0), Beta(torch.tensor(2.0).double(), 1.0))
    exact = kl_divergence(
        Beta(torch.tensor(3.0).double(), 1.0), Beta(torch.tensor(2.0).double(), 1.0)
    )
    assert float(found) == pytest.approx(float(exact), abs=1e-12)
    found = kl_divergence(kumaraswamy(1.0, 3.0), Beta(torch.tensor(1.0).double(), 0.4))
    exact = kl_divergence(
        Beta(torch.tensor(1.0).double(), 3.0), Beta(torch.tensor(1.0).double(), 0.4)
    )
    assert float(found) == pytest.approx(float(exact), rel=1e-6)


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
    assert len(resolved) / len(uniform) == pytest.approx(0.3, abs=0.015)
    assert stats.kstest(resolved.numpy(), "uniform").pvalue > 0.001


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
