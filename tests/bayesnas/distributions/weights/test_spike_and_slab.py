"""SpikeAndSlab against quadrature with its atom, and its own draws."""

from __future__ import annotations

import itertools
import math

import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from torch.distributions import Independent, kl_divergence

from bayesnas.distributions import SpikeAndSlab

CASES = list(itertools.product((1e-6, 0.2, 0.9, 1 - 1e-6), (0.0, -1.5), (0.05, 1.0, 4.0)))


def double(p: float, loc: float, scale: float) -> SpikeAndSlab:
    return SpikeAndSlab(*(torch.tensor(v, dtype=torch.float64) for v in (p, loc, scale)))


def expectation(distribution: SpikeAndSlab, f) -> float:
    """The atom's share plus an integral over the slab."""
    loc, scale = distribution.loc.item(), distribution.scale.item()

    def integrand(x: float) -> float:
        at = torch.tensor(x, dtype=torch.float64)
        return math.exp(distribution.log_prob(at).item()) * f(at)

    # Split at 0 so that the atom is never a node of the integral.
    ends = sorted({loc - 12 * scale, 0.0, loc, loc + 12 * scale})
    slab = sum(
        quad(integrand, a, b, epsabs=1e-12, limit=200)[0] for a, b in itertools.pairwise(ends)
    )
    zero = torch.zeros((), dtype=torch.float64)
    return slab + math.exp(distribution.log_prob(zero).item()) * f(zero)


@pytest.mark.parametrize(("p", "loc", "scale"), CASES)
def test_atom_and_slab_sum_to_one_and_give_the_moments(p: float, loc: float, scale: float) -> None:
    distribution = double(p, loc, scale)
    mean = expectation(distribution, lambda x: x.item())
    assert expectation(distribution, lambda x: 1.0) == pytest.approx(1.0, abs=1e-9)
    assert distribution.mean.item() == pytest.approx(mean, abs=1e-8)
    square = expectation(distribution, lambda x: x.item() ** 2)
    assert distribution.variance.item() == pytest.approx(square - mean**2, abs=1e-7)


def test_the_density_is_that_of_a_mixture() -> None:
    distribution = double(0.3, 0.5, 2.0)
    slab = scipy.stats.norm(0.5, 2.0)
    assert distribution.log_prob(torch.tensor(1.7).double()).item() == pytest.approx(
        math.log(0.3) + slab.logpdf(1.7), abs=1e-6
    )
    assert distribution.log_prob(torch.tensor(0.0)).item() == pytest.approx(math.log(0.7))


@pytest.mark.parametrize(("p", "loc", "scale"), CASES)
@pytest.mark.parametrize("prior", [(0.5, 0.0, 1.0), (0.01, 0.2, 3.0)])
def test_kl_equals_quadrature(
    p: float, loc: float, scale: float, prior: tuple[float, float, float]
) -> None:
    q, other = double(p, loc, scale), double(*prior)
    expected = expectation(q, lambda x: (q.log_prob(x) - other.log_prob(x)).item())
    assert kl_divergence(q, other).item() == pytest.approx(expected, abs=1e-7)


def test_kl_is_the_formula_of_the_reference_page() -> None:
    p, m, s, prior, t = 0.7, 0.4, 0.3, 0.2, 1.5
    expected = (
        p * math.log(p / prior)
        + (1 - p) * math.log((1 - p) / (1 - prior))
        + p * (math.log(t / s) + (s**2 + m**2) / (2 * t**2) - 0.5)
    )
    kl = kl_divergence(double(p, m, s), double(prior, 0.0, t)).item()
    assert kl == pytest.approx(expected, rel=1e-12)


def test_kl_is_finite_at_both_ends_in_float32() -> None:
    prior = SpikeAndSlab(0.5)
    ends = SpikeAndSlab(torch.tensor([0.0, 1e-38, 1.0]), 0.3, 0.5)
    kl = kl_divergence(ends, prior)
    assert torch.allclose(kl[:2], torch.tensor(math.log(2)))
    assert torch.isfinite(kl).all()
    logits = torch.tensor([-300.0, -90.0, 0.0, 90.0, 300.0], requires_grad=True)
    kl = kl_divergence(SpikeAndSlab(loc=0.3, scale=0.5, logits=logits), prior)
    kl.sum().backward()
    assert torch.isfinite(kl).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    # A slab that the prior has without doubt costs what the Gaussian costs.
    sure = kl_divergence(SpikeAndSlab(1.0, 0.3, 0.5), SpikeAndSlab(1.0, 0.0, 1.0))
    slab = torch.distributions.Normal(0.3, 0.5), torch.distributions.Normal(0.0, 1.0)
    assert torch.allclose(sure, kl_divergence(*slab))


def test_logits_and_probs_say_the_same() -> None:
    logits = torch.linspace(-6, 6, 7).double()
    by_logits = SpikeAndSlab(loc=0.4, scale=0.3, logits=logits)
    by_probs = SpikeAndSlab(logits.sigmoid(), 0.4, 0.3)
    value = torch.tensor([0.0, 1.0, 0.0, -1.0, 0.5, 0.0, 2.0]).double()
    assert torch.allclose(by_logits.log_prob(value), by_probs.log_prob(value))
    assert torch.allclose(by_logits.variance, by_probs.variance)
    assert torch.allclose(kl_divergence(by_logits, by_probs), torch.zeros(7).double(), atol=1e-12)


def test_draws_have_exact_zeros_in_their_share() -> None:
    torch.manual_seed(0)
    distribution = SpikeAndSlab(torch.tensor([0.0, 0.3, 1.0]), 2.0, 0.5)
    draws = distribution.sample(torch.Size([20000]))
    shares = (draws != 0).float().mean(0)
    assert shares[0] == 0
    assert shares[2] == 1
    assert abs(shares[1] - 0.3) < 5.5 * math.sqrt(0.21 / 20000)
    assert torch.allclose(draws.mean(0), distribution.mean, atol=0.03)
    assert torch.allclose(draws.var(0), distribution.variance, atol=0.05)
    assert not distribution.has_rsample


def test_it_is_a_site_of_pyro() -> None:
    import pyro

    with pyro.plate("features", 4):
        value = pyro.sample("w", SpikeAndSlab(0.5, 0.0, 1.0))
    assert value.shape == (4,)
    joint = SpikeAndSlab(0.5).expand(torch.Size([4])).to_event(1)
    assert isinstance(joint, Independent)
    assert joint.log_prob(value).shape == ()
    assert kl_divergence(joint, joint) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probs": 1.5}, r"probs must be probabilities in \[0, 1\], got values from 1.5 to 1.5"),
        ({"probs": -0.1}, r"probs must be probabilities in \[0, 1\]"),
        ({"probs": float("nan")}, r"probs must be probabilities in \[0, 1\]"),
        ({"probs": 0.5, "scale": 0.0}, "scale"),
        ({}, "probs or logits must be given"),
        ({"probs": 0.5, "logits": 0.0}, "probs or logits must be given"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpikeAndSlab(**options)


def test_a_slab_of_no_probability_takes_no_part_however_far_it_is() -> None:
    """In single precision its square overflows, and 0 · ∞ was NaN; ln 2 is exact."""
    q = SpikeAndSlab(torch.tensor(0.0), torch.tensor(0.0), torch.tensor(1e30))
    p = SpikeAndSlab(torch.tensor(0.5), torch.tensor(0.0), torch.tensor(1e-30))
    assert kl_divergence(q, p).item() == pytest.approx(math.log(2))
    assert q.variance.item() == 0.0
    rare = SpikeAndSlab(torch.tensor(1e-30), torch.tensor(1e5), torch.tensor(1e25))
    assert rare.variance.item() == pytest.approx(1e20, rel=1e-5)
