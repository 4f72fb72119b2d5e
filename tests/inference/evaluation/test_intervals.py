"""Moments and intervals of new targets against the closed form of one Gaussian weight."""

from __future__ import annotations

import math

import pytest
import torch

import bayesnas as bn

NOISE, DRAWS = 0.5, 300


@pytest.fixture(scope="module")
def post():
    x = torch.linspace(-2, 2, 40)[:, None]
    y = 1.5 * x[:, 0] + NOISE * torch.randn(40, generator=torch.Generator().manual_seed(0))
    net = bn.nn.mlp([1, 1], bias=False)
    model = bn.models.GaussianNet(net, likelihood="gaussian", noise_scale=NOISE)
    return bn.fit(model, (x, y), steps=150, lr=0.05, progress=False)


@pytest.fixture
def exact(post):
    """Mean and standard deviation of y at x, and of the part that is due to the weight."""
    q = post.model.posterior("layer1.weight")
    x = torch.tensor([[-3.0], [0.0], [10.0]])
    mean, weight = x[:, 0] * q.mean.item(), x[:, 0].abs() * q.stddev.item()
    return x, mean.double(), (weight.square() + NOISE**2).sqrt().double(), weight.double()


def test_moments(post, exact):
    x, mean, scale, weight = exact
    centre, spread = post.moments(x, draws=DRAWS)
    assert bool(((centre - mean).abs() <= 5.5 * weight / math.sqrt(DRAWS) + 1e-5).all())
    error = weight.square() * math.sqrt(2 / DRAWS)  # of the variance of the draws
    allowed = 5.5 * error + weight.square() / DRAWS + 1e-5
    assert bool(((spread.square() - scale.square()).abs() <= allowed).all())
    assert spread[1] == pytest.approx(NOISE, abs=1e-5)  # noise alone


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals(post, exact, level):
    x, mean, scale, _ = exact
    ends = post.interval(x, level, draws=DRAWS)
    normal = torch.distributions.Normal(0.0, 1.0)
    for end, share in zip(ends, ((1 - level) / 2, (1 + level) / 2), strict=True):
        z = normal.icdf(torch.tensor(share))
        error = math.sqrt(share * (1 - share) / DRAWS) / normal.log_prob(z).exp()
        assert bool(((end - mean - z * scale).abs() <= 6 * error * scale).all())


def test_intervals_follow_the_seed_and_leave_the_random_state(post, exact):
    before = torch.random.get_rng_state()
    one, again, other = (post.interval(exact[0], draws=20, seed=s)[0] for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_several_targets_a_row():
    x, y = torch.randn(30, 2), torch.randn(30, 3)
    model = bn.models.GaussianNet(bn.nn.mlp([2, 3]), likelihood="gaussian")
    post = bn.fit(model, (x, y), steps=5, progress=False)
    assert [t.shape for t in (*post.interval(x, draws=9), *post.moments(x, 9))] == [(30, 3)] * 4


def test_an_enumerated_site_is_summed_out():
    """A mixture of two noises for every row: the second moment is that of both."""
    import pyro
    import pyro.distributions as dist
    from pyro.infer import config_enumerate

    @config_enumerate
    def model(x, y=None):
        loc = pyro.param("loc", torch.zeros(()))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(0.25))
            pyro.sample("y", dist.Normal(loc + 4 * z, 1.0), obs=y)

    x, y = torch.zeros(8), torch.randn(8)
    elbo = pyro.infer.TraceEnum_ELBO(max_plate_nesting=1)
    pair = bn.models.PyroPair(model, lambda x, y=None: None, elbo=elbo)
    post = bn.fit(pair, (x, y), steps=1, lr=1e-12, progress=False)
    mean, scale = post.moments(x, draws=2)
    torch.testing.assert_close(mean, torch.ones(8))
    torch.testing.assert_close(scale, torch.full((8,), math.sqrt(1 + 16 * 0.25 * 0.75)))


@pytest.mark.parametrize("level", [0, 1, 1.5, float("nan"), "wide"])
def test_a_level_outside_0_and_1_is_named(post, level):
    with pytest.raises((ValueError, TypeError), match="^level must be"):
        post.interval(torch.zeros(1, 1), level)


def test_classes_have_no_intervals(xy):
    post = bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 3])), xy, steps=2, progress=False)
    for asked in (post.interval, post.moments):
        with pytest.raises(ValueError, match="got a classification: predict gives"):
            asked(xy[0])
