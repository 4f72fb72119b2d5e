"""Codes integrated out, beside linear autoencoders whose marginal likelihood is a Gaussian."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

import bayesnas as bn
from bayesnas.inference.evaluation.predictive import model_trace, posterior_draws

NOISE = 0.5


@pytest.fixture(scope="module")
def x():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(40, 2, generator=generator)
    loads = torch.randn(2, 5, generator=generator)
    return z @ loads + NOISE * torch.randn(40, 5, generator=generator)


@pytest.fixture(scope="module")
def post(x):
    model = bn.models.ArdVae(5, latents=2, hidden=(), likelihood="gaussian", noise_scale=NOISE)
    return bn.fit(model, (x, x), steps=400, lr=0.02, progress=False)


def exact(post, tree, x, index, power=1.0):
    """Ln p(x_i | γ, W) of probabilistic PCA, of the likelihood to a power too, ``[n]``."""
    drawn = tree["posterior"].isel(chain=0, draw=index)
    weight = torch.from_numpy(drawn["decoder.weight"].values * drawn["gamma"].values).double()
    variance = NOISE**2 / power
    covariance = weight @ weight.T + variance * torch.eye(5)
    bias = post.model.bias.detach().double()
    marginal = dist.MultivariateNormal(bias, covariance).log_prob(x.double())
    # N(x; f, s²)^(1/λ) is N(x; f, λ s²) times a constant.
    constant = torch.tensor(2 * torch.pi * variance).log() - power * torch.log(
        torch.tensor(2 * torch.pi * NOISE**2)
    )
    return marginal + 5 / 2 * constant


def test_the_log_likelihood_of_an_autoencoder_is_that_of_rows_without_codes(post, x):
    tree = post.to_arviz(3, (x, x), latent_draws=300)
    assert tree["log_likelihood"].attrs["latent_draws"] == 300
    for index in range(3):
        log_lik = torch.from_numpy(tree["log_likelihood"]["y"].values[0, index])
        # The mean of 300 weights; they spread by less than themselves for a trained encoder.
        assert (log_lik - exact(post, tree, x, index)).abs().max() < 0.5
        assert (log_lik - exact(post, tree, x, index)).abs().mean() < 0.1


def test_the_log_target_is_tempered_inside_the_integral(post, x):
    colder = bn.fit(post.model, (x, x), kl_weight=0.5, steps=400, lr=0.02, progress=False)
    tree = colder.to_arviz(2, (x, x), latent_draws=300)
    prior = sum(tree["log_prior"][name] for name in tree["log_prior"].data_vars).values[0]
    for index in range(2):
        target = exact(colder, tree, x, index, power=2.0).sum() + float(prior[index])
        assert abs(float(tree["sample_stats"]["lp"][0, index]) - target) < 3


def test_a_guide_that_is_the_posterior_needs_one_draw(x):
    loads, noise = torch.randn(2, 5, generator=torch.Generator().manual_seed(3)), NOISE

    def model(x, y=None):
        scale = pyro.sample("scale", dist.LogNormal(0.0, 0.1))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), 2), 1.0).to_event(1))
            pyro.sample("y", dist.Normal(scale * z @ loads, noise).to_event(1), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.tensor(0.0))
        scale = pyro.sample("scale", dist.LogNormal(loc, 0.05))
        weight = scale * loads
        precision = torch.eye(2) + weight @ weight.T / noise**2
        mean = x @ weight.T / noise**2 @ precision.inverse()
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.MultivariateNormal(mean, precision_matrix=precision))

    pair = bn.models.PyroPair(model, guide)
    post = bn.fit(pair, (x, x), steps=1, progress=False)
    tree = post.to_arviz(4, (x, x), latent_draws=1)
    for index, scale in enumerate(tree["posterior"]["scale"].values[0]):
        weight = float(scale) * loads.double()
        covariance = weight.T @ weight + noise**2 * torch.eye(5)
        expected = dist.MultivariateNormal(torch.zeros(5).double(), covariance).log_prob(x.double())
        log_lik = torch.from_numpy(tree["log_likelihood"]["y"].values[0, index])
        assert torch.allclose(log_lik, expected, atol=1e-3)


def test_codes_without_a_density_leave_it_out(x):
    def model(x, y=None):
        scale = pyro.sample("scale", dist.LogNormal(0.0, 0.1))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x)), scale))
            pyro.sample("y", dist.Normal(z[:, None].expand(-1, 5), 1.0).to_event(1), obs=y)

    def guide(x, y=None):
        slope = pyro.param("slope", torch.tensor(0.5))
        pyro.sample("scale", dist.LogNormal(0.0, 0.1))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Delta(slope * x.mean(1)))

    post = bn.fit(bn.models.PyroPair(model, guide), (x, x), steps=1, progress=False)
    tree = post.to_arviz(3, (x, x))
    assert "log_likelihood" not in tree.children
    assert "lp" not in tree["sample_stats"]


def test_codes_are_drawn_given_the_draw_of_what_rows_share(post, x):
    seen = []
    for draw in posterior_draws(post.model, x, 2, seed=5):
        trace = model_trace(post.model, x, draw, x)
        for name, value in draw.values.items():
            assert torch.equal(torch.as_tensor(trace.nodes[name]["value"]), torch.as_tensor(value))
        seen.append(trace.nodes["z"]["value"])
    assert not torch.equal(*seen)


def test_it_can_be_left_out(post, x):
    assert "log_likelihood" not in post.to_arviz(2, (x, x), latent_draws=0).children
    with pytest.raises(ValueError, match="latent_draws must be a whole number >= 0"):
        post.to_arviz(2, (x, x), latent_draws=-1)
