"""GumbelSoftmax against the formula of its KL, quadrature, torch's density and its own draws."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import RelaxedOneHotCategorical
from torch.distributions import kl_divergence

import bayesnas as bn
from bayesnas.distributions import BinaryConcrete, GumbelSoftmax
from bayesnas.distributions.relaxed.simplex_points import log_of, simplex_point
from bayesnas.inference.elbo.bound import bound_terms

DOUBLE = torch.float64


def relaxed(temperature, *logits, dtype=DOUBLE):
    return GumbelSoftmax(temperature, logits=torch.tensor(logits, dtype=dtype))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_density_is_torchs_away_from_the_vertices(temperature):
    torch.manual_seed(0)
    ours = relaxed(temperature, 0.3, -1.0, 2.0, 0.0)
    theirs = RelaxedOneHotCategorical(torch.tensor(temperature, dtype=DOUBLE), logits=ours.logits)
    x = torch.distributions.Dirichlet(torch.full((4,), 3.0, dtype=DOUBLE)).sample((200,))
    assert torch.allclose(ours.log_prob(x), theirs.log_prob(x), atol=1e-10)


def test_the_density_integrates_to_one():
    distribution = relaxed(0.8, 0.5, -0.5, 0.0)

    axis = torch.linspace(-60, 60, 401, dtype=DOUBLE)  # trapezoidal in logits of broken sticks
    u, v = torch.meshgrid(axis, axis, indexing="ij")
    s, t = u.sigmoid(), v.sigmoid()
    x = torch.stack([s, (1 - s) * t, (-u).sigmoid() * (-v).sigmoid()], -1)
    area = s * (-u).sigmoid() ** 2 * t * (-v).sigmoid() * (axis[1] - axis[0]) ** 2
    assert (distribution.log_prob(x).exp() * area).sum().item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 20.0])
def test_draws_lie_in_the_simplex_and_the_argmax_follows_the_weights(temperature):
    torch.manual_seed(1)
    distribution = relaxed(temperature, 0.0, 1.0, -1.0, 0.5, dtype=torch.float32)
    draws = distribution.sample((20_000,))
    assert (draws > 0).all()
    assert torch.allclose(draws.sum(-1), torch.ones(20_000), atol=1e-5)
    share = torch.nn.functional.one_hot(draws.argmax(-1), 4).double().mean(0)
    expected = torch.tensor([0.0, 1.0, -1.0, 0.5], dtype=DOUBLE).softmax(0)
    assert torch.allclose(distribution.probs.double(), expected, atol=1e-6)
    assert ((share - expected).abs() < 5.5 * (expected * (1 - expected) / 20_000).sqrt()).all()


def test_temperatures_lead_to_vertices_and_to_the_centre():
    torch.manual_seed(2)
    cold, warm = (relaxed(t, 0.0, 1.0, -1.0).sample((2000,)) for t in (1e-3, 1e3))
    assert (cold.amax(-1) > 1 - 1e-6).double().mean() > 0.97
    assert (warm - 1 / 3).abs().max() < 0.01


def test_densities_are_finite_in_float32_where_pyros_are_not():
    torch.manual_seed(3)
    logits = torch.linspace(-3, 3, 16)
    theirs = RelaxedOneHotCategorical(torch.tensor(0.05), logits=logits, validate_args=False)
    assert not theirs.log_prob(theirs.sample((1000,))).isfinite().all()
    ours = GumbelSoftmax(0.05, logits=logits, validate_args=True)
    other = GumbelSoftmax(0.3, logits=-logits, validate_args=True)
    draws = ours.sample((20_000,))
    assert ours.log_prob(draws).isfinite().all()
    assert other.log_prob(draws).isfinite().all()
    assert ours.log_prob(draws[0].clone()).isfinite()  # a copy carries no logarithms


def test_the_density_of_a_draw_is_that_of_its_logarithms():
    """At τ = 0.05 the float32 draw rounds to a vertex; the same draw in float64 does not."""
    torch.manual_seed(4)
    single = relaxed(0.05, *np.linspace(-1, 1, 5), dtype=torch.float32)
    double = relaxed(0.05, *np.linspace(-1, 1, 5))
    drawn = single.sample((500,))
    expected = double.log_prob(simplex_point(log_of(drawn).double().log_softmax(-1)))
    assert (drawn <= torch.finfo(torch.float32).tiny).any()
    assert torch.allclose(single.log_prob(drawn).double(), expected, rtol=1e-5, atol=1e-3)


def formula(log_ratios):
    """The reference page's sum over distinct ratios, in 400 digits."""
    mpmath.mp.dps = 400
    r = [mpmath.exp(mpmath.mpf(v)) for v in log_ratios]
    classes = len(r)
    harmonic = mpmath.fsum(mpmath.mpf(1) / k for k in range(1, classes))
    total = mpmath.mpf(0)
    for k, one in enumerate(r):
        gaps = mpmath.fprod(one - other for j, other in enumerate(r) if j != k)
        total += one ** (classes - 1) * mpmath.log(one) / gaps
    return float(-mpmath.fsum(map(mpmath.log, r)) + classes * (total - harmonic))


@pytest.mark.parametrize("classes", [2, 3, 8, 16, 40])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 20.0])
def test_the_kl_is_the_formula_of_the_source(classes, spread):
    rng = np.random.default_rng(classes)
    q, p = spread * rng.normal(size=(2, classes))
    ours = kl_divergence(relaxed(0.2, *q), relaxed(0.2, *p)).item()
    assert ours == pytest.approx(formula(p - q), rel=1e-9, abs=1e-9)


def test_the_kl_has_limits_at_ties():
    """Two classes tied: the formula at ratios that differ by 1e-12 in 400 digits."""
    ratios = [0.0, 1.5, 1.5, -0.7]
    near = [0.0, 1.5, mpmath.mpf(1.5) + mpmath.mpf("1e-12"), -0.7]
    ours = kl_divergence(relaxed(1.0, 0.0, 0.0, 0.0, 0.0), relaxed(1.0, *ratios)).item()
    assert ours == pytest.approx(formula(near), abs=1e-9)
    same = relaxed(1.0, 3.0, -2.0, 0.0)
    assert kl_divergence(same, relaxed(1.0, 4.0, -1.0, 1.0)).item() == pytest.approx(0, abs=1e-10)


def test_the_kl_of_two_classes_is_that_of_binary_concretes():
    for gap in (0.0, 0.4, 7.0, 300.0):
        pair = kl_divergence(relaxed(0.5, gap, 0.0), relaxed(0.5, 0.0, 0.0))
        gates = [BinaryConcrete(0.5, logits=torch.tensor(v, dtype=DOUBLE)) for v in (gap, 0.0)]
        assert pair.item() == pytest.approx(kl_divergence(*gates).item(), abs=1e-9)


def test_the_kl_of_a_million_draws():
    torch.manual_seed(5)
    q, p = relaxed(0.4, 1.0, 0.0, -2.0, 0.5, 0.5), relaxed(0.4, 0.0, 0.3, 0.0, -1.0, 0.5)
    draws = q.sample((1_000_000,))
    ratio = q.log_prob(draws) - p.log_prob(draws)
    error = ratio.std().item() / 1000
    assert error < 0.01
    assert abs(kl_divergence(q, p).item() - ratio.mean().item()) < 5.5 * error


def test_the_kl_bounds_that_of_the_categoricals():
    q, p = relaxed(0.4, 1.0, 0.0, -2.0), relaxed(0.4, 0.0, 0.3, 2.0)
    exact = kl_divergence(*(torch.distributions.Categorical(logits=each.logits) for each in (q, p)))
    assert exact < kl_divergence(q, p)


def test_the_kl_and_its_gradient_are_finite_for_far_logits_in_float32():
    logits = torch.tensor([[-500.0, 0.0, 500.0], [0.0, 0.0, 0.0]], requires_grad=True)
    kl = kl_divergence(GumbelSoftmax(0.1, logits=logits), GumbelSoftmax(0.1, logits=torch.zeros(3)))
    kl.sum().backward()
    assert kl.isfinite().all()
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().max() < 1e-6


def test_the_kl_gradient_is_that_of_finite_differences():
    p = relaxed(1.0, 0.0, 0.5, -1.0, 0.5)
    start = torch.tensor([1.0, 1.0, 0.0, -3.0], dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda logits: kl_divergence(GumbelSoftmax(1.0, logits=logits), p), (start,)
    )


def test_two_temperatures_have_no_closed_form():
    shared = torch.tensor(0.5)
    one, other = (GumbelSoftmax(shared, logits=torch.tensor([v, 0.0])) for v in (0.0, 1.0))
    assert kl_divergence(one, other).isfinite()
    with pytest.raises(NotImplementedError, match="two temperatures"):
        kl_divergence(one, GumbelSoftmax(0.25, logits=torch.zeros(2)))


def test_reparameterised_gradients_match_the_analytic_one():
    """At τ = 1 and two classes E x₁ = a(a − 1 − ln a)/(a − 1)², a = α₁/α₂."""
    torch.manual_seed(6)
    log_a = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    a = log_a.exp()
    (expected,) = torch.autograd.grad(a * (a - 1 - log_a) / (a - 1).square(), log_a)
    logits = torch.zeros(200_000, 2, dtype=DOUBLE)
    logits[:, 0] = 0.7
    logits.requires_grad_()
    x = GumbelSoftmax(1.0, logits=logits).rsample()
    (each,) = torch.autograd.grad(x[:, 0].sum(), logits)
    error = each[:, 0].std() / math.sqrt(len(each))
    assert abs(each[:, 0].mean() - expected) < 5.5 * error
    mean = (a * (a - 1 - log_a) / (a - 1).square()).detach()
    assert abs(x[:, 0].mean().detach() - mean) < 5.5 * x[:, 0].std().detach() / len(x) ** 0.5


def test_a_temperature_for_each_distribution():
    """Pyro gives [n, n] here."""
    torch.manual_seed(7)
    temperature, logits = torch.tensor([[0.1], [1.0], [5.0]]), torch.randn(3, 4)
    many = GumbelSoftmax(temperature, logits=logits)
    draws = many.sample((50,))
    assert many.batch_shape == (3,)
    assert draws.shape == (50, 3, 4)
    together = many.log_prob(draws)
    for row, t in enumerate((0.1, 1.0, 5.0)):
        alone = GumbelSoftmax(t, logits=logits[row]).log_prob(draws[:, row])
        carried = together[:, row]
        assert torch.allclose(alone, carried, rtol=1e-3, atol=1e-2)


def test_expanding_keeps_parameters_and_the_closed_form():
    distribution = relaxed(0.25, 1.0, 2.0)
    wide = distribution.expand(torch.Size([3]))
    assert wide.batch_shape == (3,)
    assert torch.equal(wide.logits[1], distribution.logits)
    assert torch.allclose(kl_divergence(wide, wide), torch.zeros(3, dtype=DOUBLE))
    spread = GumbelSoftmax(torch.ones(2, 1), logits=torch.zeros(2, 3)).expand(torch.Size([5, 2]))
    assert spread.rsample().shape == (5, 2, 3)


def pair(prior_temperature, guide_temperature):
    """A mixture of two constants, its weight a Gumbel-Softmax of another temperature."""
    raw = torch.nn.Parameter(torch.zeros(16))

    def model(x, y=None):
        prior = GumbelSoftmax(prior_temperature, logits=torch.zeros(16))
        gamma = pyro.sample("gamma", prior)
        with pyro.plate("data", len(x)):
            pyro.sample("y", pyro.distributions.Normal((gamma * x).sum(-1), 1.0), obs=y)

    def guide(x, y=None):
        logits = pyro.param("logits", raw)
        pyro.sample("gamma", GumbelSoftmax(guide_temperature, logits=logits))

    return bn.models.PyroPair(model, guide)


def test_the_bound_falls_back_to_the_log_ratio_at_the_draw():
    torch.manual_seed(8)
    x, y = torch.randn(20, 16), torch.randn(20)
    model = pair(0.4, 0.05)
    values = []
    with pyro.validation_enabled(True):
        model.prepare(x, y)
        for _ in range(200):
            values.append(bound_terms(model, x, y).kl["gamma"].item())
    q, p = (GumbelSoftmax(t, logits=torch.zeros(16, dtype=DOUBLE)) for t in (0.05, 0.4))
    draws = q.sample((100_000,))
    ratio = q.log_prob(draws) - p.log_prob(draws)
    assert np.isfinite(values).all()
    assert abs(np.mean(values) - ratio.mean().item()) < 5.5 * ratio.std().item() / math.sqrt(200)


def test_a_recorded_fit_at_two_temperatures_equals_the_eager_one():
    """The traced step carries the logarithms too, and finds the informative column."""
    torch.manual_seed(9)
    x = torch.randn(200, 16)
    y = x[:, 3] + 0.1 * torch.randn(200)
    fitted_logits = []
    for compile in ("trace", False):
        post = bn.fit(pair(1.0, 0.5), (x, y), steps=80, lr=0.1, compile=compile, progress=False)
        (logits,) = [p.detach() for p in post.model.parameters() if p.shape == (16,)]
        fitted_logits.append(logits)
    assert torch.allclose(*fitted_logits, atol=1e-3)
    assert fitted_logits[0].argmax() == 3


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_temperatures_are_named(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number > 0"):
        GumbelSoftmax(temperature, logits=torch.zeros(3))


def test_a_tensor_of_temperatures_is_checked():
    with pytest.raises(ValueError, match="temperature must be > 0"):
        GumbelSoftmax(torch.tensor([[1.0], [-1.0]]), logits=torch.zeros(2, 3), validate_args=True)
    with pytest.raises(ValueError, match="one value a distribution"):
        GumbelSoftmax(torch.ones(3), logits=torch.zeros(3, 3))


def test_points_off_the_simplex_and_single_classes_are_refused():
    distribution = GumbelSoftmax(1.0, logits=torch.zeros(3), validate_args=True)
    for wrong in ([0.5, 0.2, 0.2], [1.5, -0.5, 0.0]):
        with pytest.raises(ValueError, match="lie on the simplex"):
            distribution.log_prob(torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"value must be \[..., 3\]"):
        distribution.log_prob(torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match="K >= 2"):
        GumbelSoftmax(1.0, logits=torch.zeros(1))
