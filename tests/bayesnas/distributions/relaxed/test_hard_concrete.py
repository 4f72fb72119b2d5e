"""HardConcrete against quadrature over its interior, its atoms, and its own draws."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import special
from scipy.integrate import quad
from torch.distributions import kl_divergence

from bayesnas.distributions import HardConcrete
from bayesnas.distributions.relaxed.hard_concrete import logits_of_active

LOGITS = (-6.0, -2.0, 0.0, 0.7, 5.0)
SHAPES = ((2 / 3, (-0.1, 1.1)), (0.3, (-0.2, 1.05)), (1.5, (-0.5, 1.5)))


def gate(logit: float, temperature: float = 2 / 3, stretch=(-0.1, 1.1)) -> HardConcrete:
    logits = torch.tensor(logit, dtype=torch.float64)
    return HardConcrete(temperature, logits=logits, stretch=stretch)


def log_prob(q: HardConcrete, z: float) -> float:
    return q.log_prob(torch.tensor(z, dtype=torch.float64)).item()


def expectation(q: HardConcrete, f) -> float:
    """Σ over the atoms plus an integral over (0, 1)."""
    interior = quad(lambda z: math.exp(log_prob(q, z)) * f(z), 0, 1, epsabs=1e-11, limit=200)
    return interior[0] + sum(math.exp(log_prob(q, z)) * f(z) for z in (0.0, 1.0))


@pytest.mark.parametrize(("temperature", "stretch"), SHAPES)
@pytest.mark.parametrize("logit", LOGITS)
def test_atoms_and_density_sum_to_one_and_give_the_moments(
    logit: float, temperature: float, stretch: tuple[float, float]
) -> None:
    q = gate(logit, temperature, stretch)
    mean = expectation(q, lambda z: z)
    assert expectation(q, lambda z: 1.0) == pytest.approx(1.0, abs=1e-9)
    assert q.mean.item() == pytest.approx(mean, abs=1e-7)
    square = expectation(q, lambda z: z * z)
    assert q.variance.item() == pytest.approx(square - mean**2, abs=1e-7)


@pytest.mark.parametrize("logit", LOGITS)
def test_probabilities_of_the_ends_are_those_of_the_reference(logit: float) -> None:
    q = gate(logit)
    zero = 1 / (1 + math.exp(-(2 / 3 * math.log(0.1 / 1.1) - logit)))
    one = 1 / (1 + math.exp(-(logit - 2 / 3 * math.log(1.1 / 0.1))))
    assert q.prob_zero.item() == pytest.approx(zero, rel=1e-12)
    assert q.prob_one.item() == pytest.approx(one, rel=1e-12)
    assert q.prob_active.item() == pytest.approx(1 - zero, rel=1e-12)
    s = 1 / (1 + math.exp(-logit))
    assert q.test_gate.item() == pytest.approx(min(1, max(0, s * 1.2 - 0.1)), abs=1e-12)


def test_draws_have_the_atoms_and_the_mean() -> None:
    torch.manual_seed(0)
    q = gate(-0.5)
    draws = q.sample(torch.Size([40000]))
    for value, probability in ((0, q.prob_zero), (1, q.prob_one)):
        assert abs((draws == value).double().mean() - probability) < 5.5 * math.sqrt(0.25 / 40000)
    below = quad(lambda z: math.exp(log_prob(q, z)), 0, 0.5)[0] + q.prob_zero.item()
    assert abs((draws < 0.5).double().mean() - below) < 5.5 * math.sqrt(0.25 / 40000)
    assert abs(draws.mean() - q.mean) < 5.5 * draws.std() / math.sqrt(40000)


@pytest.mark.parametrize(("temperature", "stretch"), SHAPES)
@pytest.mark.parametrize("second", [*LOGITS, 0.70001, 0.75])
@pytest.mark.parametrize("first", LOGITS)
def test_kl_equals_quadrature(
    first: float, second: float, temperature: float, stretch: tuple[float, float]
) -> None:
    q, p = gate(first, temperature, stretch), gate(second, temperature, stretch)
    expected = expectation(q, lambda z: log_prob(q, z) - log_prob(p, z))
    assert kl_divergence(q, p).item() == pytest.approx(expected, abs=1e-8)


def test_kl_is_finite_with_its_gradient_in_float32() -> None:
    values = [-200.0, -40.0, -1e-8, 0.0, 1e-5, 0.3, 40.0, 90.0]
    logits = torch.tensor(values, requires_grad=True)
    kl = kl_divergence(HardConcrete(logits=logits), HardConcrete(logits=torch.tensor(0.0)))
    kl.sum().backward()
    assert torch.isfinite(kl).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert kl[3] == 0
    assert (kl[[0, 1, 5, 6, 7]] > 0).all()


def test_other_shapes_have_no_closed_form() -> None:
    for other in (gate(0.0, 0.5), gate(0.0, stretch=(-0.2, 1.1))):
        with pytest.raises(NotImplementedError):
            kl_divergence(gate(0.0), other)


def test_log_prob_and_draws_are_finite_in_float32() -> None:
    torch.manual_seed(0)
    q = HardConcrete(0.05, logits=torch.linspace(-60, 60, 25), stretch=(-1e-3, 1.001))
    draws = q.rsample(torch.Size([1000]))
    assert ((draws >= 0) & (draws <= 1)).all()
    assert torch.isfinite(q.log_prob(draws)).all()


def test_gradients_reach_the_logits_of_open_gates() -> None:
    """Finite differences under one random state, away from the kinks."""
    logits = torch.tensor([-0.4, 0.1, 0.9], dtype=torch.float64, requires_grad=True)

    def draw(at: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return HardConcrete(logits=at).rsample(torch.Size([50]))

    (gradient,) = torch.autograd.grad(draw(logits).sum(), logits)
    step = 1e-6
    with torch.no_grad():
        numeric = (draw(logits + step) - draw(logits - step)).sum(0) / (2 * step)
    assert np.allclose(gradient, numeric, rtol=1e-5)


@pytest.mark.parametrize("probability", [1e-6, 0.1, 0.5, 0.999])
def test_the_location_of_a_wanted_probability(probability: float) -> None:
    location = logits_of_active(probability, 0.4, (-0.3, 1.2))
    assert gate(location, 0.4, (-0.3, 1.2)).prob_active.item() == pytest.approx(probability)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a finite number > 0, got 0.0"),
        ({"stretch": (0.0, 1.1)}, "one below 0 and one above 1"),
        ({"stretch": (-0.1, 1.0)}, "one below 0 and one above 1"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HardConcrete(logits=torch.tensor(0.0), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.1, 2 / 3])
def test_the_variance_near_1_is_that_of_the_mirrored_gate(temperature: float) -> None:
    """1 − z of logits −l is z of logits l: both ends are as precise, though one rounds to 1."""
    for logit in (3.0, 20.0, 60.0):
        high, low = (HardConcrete(temperature, logits=torch.tensor(v)) for v in (logit, -logit))
        assert float(high.variance) > 0
        assert float(high.variance) == pytest.approx(float(low.variance), rel=1e-4)


@pytest.mark.parametrize("temperature", [1e-30, 0.01, 1.0, 10.0, 100.0, 1e4, 1e8, 1e30])
@pytest.mark.parametrize("share", [-3.0, -0.7, 0.0, 0.3, 1.2, 5.0])
def test_moments_at_any_temperature(temperature: float, share: float) -> None:
    """At large β P(z > t) is a step, at which even nodes were off by 0.02 in the mean."""
    logit = torch.tensor(share * max(temperature, 1.0)).item()
    q = HardConcrete(temperature, logits=torch.tensor(logit))

    def above(t: float) -> float:
        logit_of_s = math.log(t + 0.1) - math.log(1.1 - t)
        return float(special.expit(logit - q.temperature.double().item() * logit_of_s))

    step = special.expit(logit / temperature) * 1.2 - 0.1
    width = min(1.0, 30 / temperature)
    ends = np.clip(
        [0, step - width, step - width / 9, step, step + width / 9, step + width, 1], 0, 1
    )
    pieces = [(a, b) for a, b in itertools.pairwise(ends) if a < b]
    mean, square = (
        sum(quad(f, a, b, epsabs=1e-12)[0] for a, b in pieces)
        for f in (above, lambda t: 2 * t * above(t))
    )
    assert q.mean.item() == pytest.approx(mean, abs=2e-7)
    assert q.variance.item() == pytest.approx(square - mean**2, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("first", "second"), [(-800, 0), (0, 800), (800, 0), (0, -800), (-1e4, 1e4)]
)
def test_kl_of_gates_however_far_apart(first: float, second: float) -> None:
    """By 60 digits; e^δ overflowed from δ = 709 on, and the divergence was NaN."""
    logits = torch.tensor(float(first), requires_grad=True)
    p = HardConcrete(0.5, logits=torch.tensor(float(second)))
    divergence = kl_divergence(HardConcrete(0.5, logits=logits), p)
    divergence.backward()
    with mpmath.workdps(1_000):
        a, b, shift = (mpmath.mpf(v) for v in (first, second, second - first))
        high = 0.5 * mpmath.log(mpmath.mpf(11))
        low = -high

        def log_sigmoid(x):
            return -mpmath.log1p(mpmath.exp(-x))

        def area(x):
            return (1 + x) * mpmath.log1p(x) - x

        atoms = sum(
            mpmath.exp(log_sigmoid(s * (a - e)))
            * (log_sigmoid(s * (a - e)) - log_sigmoid(s * (b - e)))
            for s, e in ((-1, low), (1, high))
        )
        growth = mpmath.expm1(shift)
        first_u, last_u = (1 / (1 + mpmath.exp(-(a - e))) for e in (low, high))
        interior = 2 * (area(growth * first_u) - area(growth * last_u)) / growth
        expected = float(atoms + interior - shift * (first_u - last_u))
    assert divergence.item() == pytest.approx(expected, rel=1e-6)
    assert bool(logits.grad.isfinite())
