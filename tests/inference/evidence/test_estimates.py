"""Importance weights, bounds and Laplace's method, against quadrature and hand formulas."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import constraints

import bayesnas as bn

X = torch.linspace(-2, 2, 30)
LABELS = (X + 0.4 * torch.sin(7 * X) > 0.2).float()


def logistic(x, y=None):
    w = pyro.sample("w", dist.Normal(0.0, 2.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Bernoulli(logits=w * x), obs=y)


def logistic_evidence():
    """By the trapezoid rule over w."""
    w = torch.linspace(-20, 30, 200_001, dtype=torch.float64)
    log_joint = dist.Normal(0.0, 2.0).log_prob(w)
    for x, y in zip(X.double(), LABELS.double(), strict=True):
        log_joint = log_joint + dist.Bernoulli(logits=w * x).log_prob(y)
    return torch.trapezoid(log_joint.exp(), w).log().item()


def guided(loc, scale, data=(X, LABELS), model=logistic):
    """A posterior whose guide is a given Gaussian."""

    def guide(x, y=None):
        at = pyro.param("loc", torch.tensor(loc))
        pyro.sample("w", dist.Normal(at, scale))

    pair = bn.models.PyroPair(model, guide)
    return bn.fit(pair, data, steps=1, lr=1e-12, batch_size=len(data[0]), progress=False)


def test_importance_weights_give_the_evidence_between_their_bounds():
    evidence = guided(3.5, 2.1).evidence((X, LABELS), draws=500)
    exact = logistic_evidence()
    assert evidence.method == "importance"
    assert evidence.pareto_k < 0.7
    assert 0 < evidence.error < 0.2
    assert abs(evidence.log_evidence - exact) < 5.5 * evidence.error
    assert evidence.lower < exact < evidence.upper
    assert evidence.warning == ""


def test_the_plain_bound_is_that_of_quadrature_below_the_evidence():
    """Both by quadrature."""
    evidence = guided(3.5, 1.2).evidence((X, LABELS), method="elbo", draws=300)
    w = torch.linspace(-10, 20, 60_001, dtype=torch.float64)
    q = dist.Normal(torch.tensor(3.5).double(), 1.2)
    log_joint = dist.Normal(0.0, 2.0).log_prob(w)
    for x, y in zip(X.double(), LABELS.double(), strict=True):
        log_joint = log_joint + dist.Bernoulli(logits=w * x).log_prob(y)
    bound = torch.trapezoid(q.log_prob(w).exp() * (log_joint - q.log_prob(w)), w).item()
    assert abs(evidence.log_evidence - bound) < 5.5 * evidence.error
    assert bound < logistic_evidence()
    assert evidence.lower == evidence.log_evidence
    assert evidence.upper == math.inf


def test_a_guide_far_from_the_posterior_is_warned_of():
    post = guided(-3.0, 0.3)
    with pytest.warns(UserWarning, match=r"k̂ = .* the guide is too far from the posterior"):
        evidence = post.evidence((X, LABELS), draws=400)  # k̂ is about 4.1 ± 0.5
    assert evidence.pareto_k > 0.7
    assert evidence.log_evidence < logistic_evidence() - 1


def test_laplace_is_a_gaussian_at_the_mode():
    """Mode and curvature of the one weight by Newton's method, here."""
    w = torch.tensor(1.0, dtype=torch.float64)
    x, y = X.double(), LABELS.double()
    for _ in range(50):
        p = torch.sigmoid(w * x)
        gradient, curvature = ((y - p) * x).sum() - w / 4, (p * (1 - p) * x * x).sum() + 0.25
        w = w + gradient / curvature
    log_joint = dist.Normal(0.0, 2.0).log_prob(w) + dist.Bernoulli(logits=w * x).log_prob(y).sum()
    expected = log_joint + 0.5 * math.log(2 * math.pi) - 0.5 * curvature.log()
    evidence = guided(0.5, 1.0).evidence((X, LABELS), method="laplace")
    assert evidence.log_evidence == pytest.approx(expected.item(), abs=1e-4)
    assert abs(evidence.log_evidence - logistic_evidence()) < 0.2


def test_laplace_of_a_positive_latent_counts_the_jacobian():
    """Counts with a Gamma prior: in ln r the expansion is Stirling's of Γ(a + Σ y)."""
    counts = torch.tensor([2.0, 4.0, 3.0, 5.0])

    def model(x, y=None):
        rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Poisson(rate * x), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.tensor(1.1), constraint=constraints.positive)
        pyro.sample("rate", dist.LogNormal(loc, 0.35))

    data = (torch.ones(4), counts)
    post = bn.fit(bn.models.PyroPair(model, guide), data, steps=1, batch_size=4, progress=False)
    shape, rate = 2.0 + 14.0, 1.0 + 4.0
    stirling = (shape - 0.5) * math.log(shape) - shape + 0.5 * math.log(2 * math.pi)
    fixed = -math.lgamma(2.0) - sum(math.lgamma(1 + c) for c in counts.tolist())
    evidence = post.evidence(data, method="laplace")
    assert evidence.log_evidence == pytest.approx(
        fixed + stirling - shape * math.log(rate), abs=1e-4
    )
    exact = fixed + math.lgamma(shape) - shape * math.log(rate)
    importance = post.evidence(data, draws=500)
    assert abs(importance.log_evidence - exact) < 5.5 * importance.error


@pytest.fixture(scope="module")
def linear():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(40, 3, generator=generator)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    data = (x, x[:, 0] + 0.5 * torch.randn(40, generator=generator))
    model = bn.models.GaussianNet(
        torch.nn.Linear(3, 1, bias=False), likelihood="gaussian", noise_scale=0.5
    )
    return bn.fit(model, data, steps=300, lr=0.05, batch_size=40, progress=False), data


def test_laplace_is_exact_for_a_linear_regression(linear):
    post, data = linear
    assert post.evidence(data).method == "exact"
    exact = post.evidence(data, method="exact")
    full = post.evidence(data, method="laplace")
    assert full.log_evidence == pytest.approx(exact.log_evidence, abs=1e-6)
    assert full.error == 0


def test_the_diagonal_expansion_lacks_what_hadamards_inequality_does(linear):
    post, (x, y) = linear
    x = x.double()
    precision = x.mT @ x / 0.25 + torch.eye(3, dtype=torch.float64)
    lacking = 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()
    full = post.evidence((x, y), method="laplace").log_evidence
    diagonal = post.evidence((x, y), method="laplace-diagonal").log_evidence
    assert full - diagonal == pytest.approx(lacking, abs=1e-6)
    assert lacking > 0.1


def test_laplace_leaves_removed_weights_out(linear):
    post, data = linear
    smaller = post.prune(fraction=0.4)
    log_evidence = smaller.evidence(data, method="laplace").log_evidence
    assert log_evidence == pytest.approx(smaller.evidence(data).log_evidence, abs=1e-6)


@pytest.mark.filterwarnings("ignore:k̂:UserWarning")
def test_other_data_and_other_random_state_are_left_alone(linear):
    post, (x, y) = linear
    before = torch.get_rng_state()
    some = post.evidence((x[:10], y[:10]), method="importance", draws=500)
    assert torch.equal(torch.get_rng_state(), before)
    exact = post.evidence((x[:10], y[:10])).log_evidence
    assert some.lower < exact
    assert post.model.dtype == torch.float32


def test_a_loaded_run_has_the_evidence_it_had(linear, tmp_path):
    post, data = linear
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    for method in ("exact", "elbo", "laplace"):
        options = {"method": method, "draws": 5}
        assert loaded.evidence(data, **options) == post.evidence(data, **options)


def test_what_methods_do_not_take_is_refused_by_name():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    net = bn.models.GaussianNet(bn.nn.mlp([4, 3]))
    post = bn.fit(net, (x, torch.arange(30) % 3), steps=2, progress=False)
    data = (x, torch.arange(30) % 3)
    for options, message in (
        ({"method": "exact"}, "method='exact' needs a model whose evidence is known"),
        ({"method": "harmonic"}, "method must be"),
        ({"draws": 20}, "draws must be a whole number >= 30"),
        ({"draws": 0}, "draws must be"),
        ({"seed": -1}, "seed must be"),
    ):
        with pytest.raises(ValueError, match=message):
            post.evidence(data, **options)
    with pytest.raises(ValueError, match="x must have shape"):
        post.evidence((x[:, :2], data[1]))
    large = bn.models.GaussianNet(bn.nn.mlp([4, 1000, 3]))
    with pytest.raises(ValueError, match="at most 4,096 latent values"):
        bn.fit(large, data, steps=1, progress=False).evidence(data, method="laplace")
    slab = bn.fit(bn.models.SpikeAndSlabRegression(4), (x, x[:, 0]), steps=2, progress=False)
    with pytest.raises(ValueError, match="got 'weight', some of whose values have a probability"):
        slab.evidence((x, x[:, 0]), method="laplace")


def test_latents_of_every_example_leave_the_bound():
    x = torch.rand(20, 16, generator=torch.Generator().manual_seed(0))
    post = bn.fit(bn.models.ArdVae(16, latents=2, hidden=(4,)), (x, x), steps=2, progress=False)
    for method in ("auto", "importance", "laplace"):
        with pytest.raises(ValueError, match="method='elbo'"):
            post.evidence((x, x), method=method)
    assert math.isfinite(post.evidence((x, x), method="elbo", draws=4).log_evidence)


def test_a_guide_of_points_has_no_weights():
    def guide(x, y=None):
        pyro.sample("w", dist.Delta(pyro.param("at", torch.tensor(1.0))))

    data = (X, LABELS)
    post = bn.fit(bn.models.PyroPair(logistic, guide), data, steps=1, progress=False)
    with pytest.raises(ValueError, match="puts all mass on one value"):
        post.evidence(data)
    assert post.evidence(data, method="elbo", draws=2).log_evidence == -math.inf
    laplace = post.evidence(data, method="laplace").log_evidence  # needs no width of the guide
    assert abs(laplace - logistic_evidence()) < 0.2
