"""Pairs of Pyro's tutorials, compared with log-likelihoods by hand, and read by ArviZ."""

from __future__ import annotations

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDelta, AutoDiagonalNormal, AutoMultivariateNormal, AutoNormal
from pyro.infer.autoguide.initialization import init_to_value
from torch import nn

import bayesnas as bn
from bayesnas.export import to_inference_data

# ArviZ 0.23 calls matplotlib 3.11 by old names; k̂ is large for guides that are hardly trained.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto"),
    pytest.mark.filterwarnings("ignore:Passing a dict or None as alias_mapping"),
]

GENERATION = int(az.__version__.split(".")[0])


def readable(tree):
    return tree if GENERATION >= 1 else to_inference_data(tree)


def trained(model, guide, args, elbo=None, steps=60, lr=0.05):
    svi = SVI(model, guide, pyro.optim.Adam({"lr": lr}), elbo or Trace_ELBO())
    for _ in range(steps):
        svi.step(*args)


def tensor(array):
    return torch.from_numpy(np.array(array))


# The regression of "Bayesian regression": an interaction of ruggedness and continent.


def regression(is_africa, ruggedness, log_gdp=None):
    a = pyro.sample("a", dist.Normal(0.0, 10.0))
    b = pyro.sample("b", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    sigma = pyro.sample("sigma", dist.Uniform(0.0, 10.0))
    mean = a + b[0] * is_africa + b[1] * ruggedness + b[2] * is_africa * ruggedness
    with pyro.plate("nation", len(ruggedness)):
        mean = pyro.deterministic("mean", mean)
        return pyro.sample("gdp", dist.Normal(mean, sigma), obs=log_gdp)


@pytest.fixture
def nations():
    generator = torch.Generator().manual_seed(0)
    africa = (torch.arange(40) % 2).float()
    rugged = torch.rand(40, generator=generator)
    gdp = 9 - 2 * africa + rugged + 0.3 * torch.randn(40, generator=generator)
    return africa, rugged, gdp


@pytest.mark.parametrize("make", [AutoNormal, AutoDiagonalNormal])
def test_a_regression(nations, make):
    guide = make(regression)
    trained(regression, guide, nations)
    tree = bn.from_pyro_svi(
        regression,
        guide,
        model_args=nations,
        num_samples=40,
        num_prior_samples=7,
        coords={"nation": [f"n{i}" for i in range(40)], "term": ["africa", "rugged", "both"]},
        dims={"b": ["term"]},
        constant_data={"ruggedness": nations[1]},
        seed=1,
    )
    assert set(tree.posterior.data_vars) == {"a", "b", "sigma", "mean"}  # no auxiliary sites
    assert tree.posterior["b"].dims == ("chain", "draw", "term")
    assert tree.log_likelihood["gdp"].dims == ("chain", "draw", "nation")
    assert tree.posterior_predictive["gdp"].sizes == {"chain": 1, "draw": 40, "nation": 40}
    assert tree.posterior["mean"].dims == ("chain", "draw", "nation")
    assert tree.prior["b"].sizes == {"chain": 1, "draw": 7, "term": 3}
    assert tree.prior_predictive["gdp"].sizes["draw"] == 7
    assert tree.constant_data["ruggedness"].sizes == {"ruggedness_dim_0": 40}
    assert np.array_equal(tree.observed_data["gdp"], nations[2])
    assert tree.observed_data["nation"].values[3] == "n3"

    africa, rugged, gdp = nations
    post = tree.posterior.isel(chain=0)
    a, b, sigma = (tensor(post[name]) for name in ("a", "b", "sigma"))
    mean = a[:, None] + b @ torch.stack([africa, rugged, africa * rugged])
    by_hand = dist.Normal(mean, sigma[:, None]).log_prob(gdp)
    assert torch.allclose(tensor(tree.log_likelihood["gdp"][0]), by_hand, atol=1e-4)
    assert torch.allclose(tensor(post["mean"]), mean, atol=1e-5)

    data = readable(tree)
    assert {"a", "sigma"} <= set(az.summary(data, var_names=["a", "sigma"]).index)
    assert np.isfinite(az.loo(data, reff=1.0).elpd_loo if GENERATION < 1 else az.loo(data).elpd)


# The variational autoencoder of the tutorial, in small.


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def model(self, x):
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", x.shape[0]):
            z = pyro.sample("latent", dist.Normal(x.new_zeros(len(x), 2), 1.0).to_event(1))
            logits = self.decoder(z)
            return pyro.sample("obs", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", x.shape[0]):
            loc, log_scale = self.encoder(x).chunk(2, dim=-1)
            pyro.sample("latent", dist.Normal(loc, log_scale.exp()).to_event(1))


def test_an_autoencoder():
    x = (torch.rand(10, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    vae = VAE()
    trained(vae.model, vae.guide, (x,), steps=20)
    options = {"model_args": (x,), "num_samples": 60, "num_latent_samples": 0}
    tree = bn.from_pyro_svi(vae.model, vae.guide, **options)
    assert tree.posterior["latent"].dims == ("chain", "draw", "data", "latent_dim_1")
    assert tree.posterior_predictive["obs"].dims == ("chain", "draw", "data", "obs_dim_1")
    assert tree.log_likelihood["obs"].dims == ("chain", "draw", "data")
    assert tree.log_likelihood.attrs["latents_of_rows"] == "latent"
    assert tree.log_likelihood.attrs["num_latent_samples"] == 0
    with torch.no_grad():
        logits = vae.decoder(tensor(tree.posterior["latent"][0]))
    by_hand = dist.Bernoulli(logits=logits).log_prob(x).sum(-1)
    assert torch.allclose(tensor(tree.log_likelihood["obs"][0]), by_hand, atol=1e-4)
    data = readable(tree)
    assert len(az.summary(data, var_names=["latent"])) == 20
    az.loo(data, reff=1.0) if GENERATION < 1 else az.loo(data)


@pytest.mark.parametrize(("exact", "count"), [(True, 1), (False, 300)])
def test_codes_of_rows_are_integrated_out(exact, count):
    loads, noise = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)), 0.7
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))

    def model(x):
        scale = pyro.sample("scale", dist.LogNormal(0.0, 0.1))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), 2), 1.0).to_event(1))
            pyro.sample("obs", dist.Normal(scale * z @ loads, noise).to_event(1), obs=x)

    def guide(x):
        weight = pyro.sample("scale", dist.LogNormal(0.0, 0.1)) * loads
        precision = torch.eye(2) + weight @ weight.T / noise**2
        mean = x @ weight.T / noise**2 @ precision.inverse()
        wider = precision if exact else precision / 2
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.MultivariateNormal(mean, precision_matrix=wider))

    options = {"model_args": (x,), "num_samples": 2, "num_latent_samples": count, "seed": 0}
    tree = bn.from_pyro_svi(model, guide, **options)
    for index, scale in enumerate(tree.posterior["scale"].values[0]):
        weight = float(scale) * loads.double()
        covariance = weight.T @ weight + noise**2 * torch.eye(4)
        marginal = dist.MultivariateNormal(torch.zeros(4).double(), covariance)
        log_lik = tensor(tree.log_likelihood["obs"].values[0, index]).double()
        # Of 300 weights, which spread by as much as they are: six standard errors.
        assert torch.allclose(log_lik, marginal.log_prob(x.double()), atol=1e-3 if exact else 0.35)


def test_a_vector_that_is_one_point_has_no_density_by_row():
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
            pyro.sample("obs", dist.Normal(z.sum(-1), 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Delta(torch.zeros(len(x), 2)).to_event(1))

    with pytest.raises(ValueError, match="got the site 'z', of which the guide has no density"):
        bn.from_pyro_svi(model, guide, model_args=(torch.zeros(5),), num_samples=2)


def test_a_guide_of_all_sites_at_once_has_no_density_by_row():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(loc, 1.0))
            pyro.sample("obs", dist.Normal(z, 1.0), obs=x)

    x = torch.zeros(5)
    call = {"model_args": (x,), "num_samples": 3, "seed": 0}
    with pytest.raises(ValueError, match="got the site 'z', of which the guide has no density"):
        bn.from_pyro_svi(model, AutoMultivariateNormal(model), **call)
    start = init_to_value(values={"loc": torch.tensor(0.0), "z": x})
    guide = AutoNormal(model, init_loc_fn=start, init_scale=0.7)
    tree = bn.from_pyro_svi(model, guide, num_latent_samples=300, **call)
    for index, loc in enumerate(tree.posterior["loc"].values[0]):
        log_lik = tensor(tree.log_likelihood["obs"].values[0, index])
        by_hand = dist.Normal(float(loc), 2**0.5).log_prob(x)
        assert (log_lik - by_hand).abs().max() < 0.5


# The mixture of "Gaussian mixture model", whose assignments are summed out.


@config_enumerate
def mixture(data):
    weights = pyro.sample("weights", dist.Dirichlet(0.5 * torch.ones(2)))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 2.0))
    with pyro.plate("components", 2):
        locs = pyro.sample("locs", dist.Normal(0.0, 10.0))
    with pyro.plate("data", len(data)):
        assignment = pyro.sample("assignment", dist.Categorical(weights))
        pyro.sample("obs", dist.Normal(locs[assignment], scale), obs=data)


MIXED = torch.tensor([0.0, 1.0, 0.5, 10.0, 11.0, 12.0])


@pytest.fixture
def mixed():
    start = {"weights": torch.tensor([0.5, 0.5]), "scale": torch.tensor(1.0)}
    start["locs"] = torch.tensor([1.0, 9.0])
    guide = AutoNormal(
        poutine.block(mixture, expose=["weights", "locs", "scale"]),
        init_loc_fn=lambda site: start[site["name"]],
    )
    trained(mixture, guide, (MIXED,), TraceEnum_ELBO(max_plate_nesting=1), steps=20)
    return guide


def test_a_mixture_is_summed_out(mixed):
    tree = bn.from_pyro_svi(mixture, mixed, model_args=(MIXED,), num_samples=50, seed=0)
    assert set(tree.posterior.data_vars) == {"weights", "locs", "scale"}
    assert tree.posterior["locs"].dims == ("chain", "draw", "components")
    post = tree.posterior.isel(chain=0)
    weights, locs, scale = (tensor(post[name]) for name in ("weights", "locs", "scale"))
    each = dist.Normal(locs[:, None], scale[:, None, None]).log_prob(MIXED[:, None])
    by_hand = (weights.log()[:, None] + each).logsumexp(-1)
    assert torch.allclose(tensor(tree.log_likelihood["obs"][0]), by_hand, atol=1e-5)
    data = readable(tree)
    assert len(az.summary(data)) == 5
    az.loo(data, reff=1.0) if GENERATION < 1 else az.loo(data)


def test_assignments_of_a_mixture_are_drawn_where_asked_for(mixed):
    tree = bn.from_pyro_svi(mixture, mixed, model_args=(MIXED,), num_samples=40, discrete=True)
    drawn = tree.posterior["assignment"]
    assert drawn.dims == ("chain", "draw", "data")
    nearest = np.array([0, 0, 0, 1, 1, 1])
    assert (drawn.values[0].mean(0).round() == nearest).all()


def test_a_point_as_a_guide():
    guide = AutoDelta(poutine.block(mixture, expose=["weights", "locs", "scale"]))
    trained(mixture, guide, (MIXED,), TraceEnum_ELBO(max_plate_nesting=1), steps=2)
    tree = bn.from_pyro_svi(mixture, guide, model_args=(MIXED,), num_samples=30)
    assert float(tree.posterior["scale"].std()) < 1e-6
    assert np.isfinite(tree.log_likelihood["obs"]).all()


def test_it_is_plotted_and_kept(nations, tmp_path):
    import matplotlib as mpl

    mpl.use("Agg")
    guide = AutoNormal(regression)
    trained(regression, guide, nations, steps=5)
    tree = bn.from_pyro_svi(regression, guide, model_args=nations, num_samples=20)
    if GENERATION < 1:
        az.plot_ppc(readable(tree), num_pp_samples=5)
    else:
        import arviz_plots

        arviz_plots.plot_ppc_dist(tree, num_samples=5)
    tree.to_netcdf(tmp_path / "a.nc")
    with xarray.open_datatree(tmp_path / "a.nc") as again:
        assert again["posterior"]["b"].equals(tree["posterior"]["b"])
        assert again.attrs["inference_library"] == "pyro"


def test_the_random_state_is_left_alone_with_a_seed(nations):
    guide = AutoNormal(regression)
    trained(regression, guide, nations, steps=2)
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    options = {"model_args": nations, "num_samples": 3}
    trees = [bn.from_pyro_svi(regression, guide, seed=3, **options) for _ in range(2)]
    assert torch.equal(torch.rand(1), before)
    assert trees[0].posterior.equals(trees[1].posterior)
    assert not bn.from_pyro_svi(regression, guide, **options).posterior.equals(trees[0].posterior)


def test_one_sample_dim(nations):
    guide = AutoNormal(regression)
    trained(regression, guide, nations, steps=2)
    tree = bn.from_pyro_svi(
        regression, guide, model_args=nations, num_samples=30, sample_dims=["sample"]
    )
    assert tree.posterior["a"].sizes == {"sample": 30}
    assert tree.log_likelihood["gdp"].dims == ("sample", "nation")


def without_a_site(is_africa, ruggedness, log_gdp=None):
    pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.sample("b", dist.Normal(0.0, 1.0).expand([3]).to_event(1))


def shared(data):
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    which = pyro.sample("which", dist.Categorical(torch.ones(2) / 2))
    with pyro.plate("data", len(data)):
        pyro.sample("obs", dist.Normal(5.0 * which, scale), obs=data)


def in_parts(data):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(data), subsample_size=2) as rows:
        pyro.sample("obs", dist.Normal(loc, 1.0), obs=data[rows])


def masked(data):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(data)), poutine.mask(mask=data > 1):
        pyro.sample("obs", dist.Normal(loc, 1.0), obs=data)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (shared, "'which', summed out, outside the plates of 'obs'"),
        (in_parts, "got 2 of 6 of the plate 'data'"),
        (masked, "got masked ones at site 'obs'"),
    ],
)
def test_rows_without_a_likelihood_of_their_own_are_refused(model, message):
    guide = AutoNormal(poutine.block(model, expose=["loc", "scale"]))
    with pytest.raises(ValueError, match=message):
        bn.from_pyro_svi(model, guide, model_args=(MIXED,), num_samples=2)
    if model is not in_parts:
        options = {"model_args": (MIXED,), "num_samples": 2, "log_likelihood": False}
        assert "log_likelihood" not in bn.from_pyro_svi(model, guide, **options)


def test_wrong_arguments_are_named(nations):
    guide = AutoNormal(regression)
    call = {"model_args": nations, "num_samples": 2}
    with pytest.raises(ValueError, match="guide must have the sites of the model.*'sigma'"):
        bn.from_pyro_svi(regression, without_a_site, **call)
    with pytest.raises(ValueError, match=r"dims\['b'\] must name 1 dimensions"):
        bn.from_pyro_svi(regression, guide, dims={"b": ["x", "y"]}, **call)
    with pytest.raises(ValueError, match=r"coords\['nation'\] must have 40 labels"):
        bn.from_pyro_svi(regression, guide, coords={"nation": ["one"]}, **call)
    with pytest.raises(ValueError, match="num_samples"):
        bn.from_pyro_svi(regression, guide, model_args=nations, num_samples=0)
    with pytest.raises(ValueError, match="discrete must be False"):
        bn.from_pyro_svi(regression, guide, discrete=True, **call)
    with pytest.raises(ValueError, match="sample_dims"):
        bn.from_pyro_svi(regression, guide, sample_dims=[], **call)
