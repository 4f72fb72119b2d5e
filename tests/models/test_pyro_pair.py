"""PyroPair: a user's own Pyro code under our fits."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyro.nn import PyroModule, PyroSample
from torch import Tensor, nn
from torch.distributions import constraints

import bayesnas as bn
from bayesnas.models.base import BayesianModel
from bayesnas.testing import ModelContract

NOISE = 0.5


def line_data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, generator=generator)
    return x, 1.5 * x + NOISE * torch.randn(40, generator=generator)


def line(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)


def line_guide(x: Tensor, y: Tensor | None = None) -> None:
    loc = pyro.param("loc", torch.tensor(0.0))
    scale = pyro.param("scale", torch.tensor(0.3), constraint=constraints.positive)
    pyro.sample("w", dist.Normal(loc, scale))


def exact_line(kl_weight: float) -> tuple[float, float]:
    """Mean and standard deviation of the tempered posterior of the slope."""
    x, y = line_data()
    precision = float(x.square().sum()) / (kl_weight * NOISE**2) + 1
    return float(x @ y) / (kl_weight * NOISE**2) / precision, precision**-0.5


class TestPair(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.PyroPair(line, line_guide)

    def make_data(self) -> tuple[Tensor, Tensor]:
        return line_data()

    svi = False  # its parameters are kept out of Pyro's store

    def test_the_state_dict_is_complete_before_the_first_call(self) -> None:
        """What pyro.param makes is there once the pair has seen data."""
        model, _, _ = self.prepared_model()
        assert list(model.state_dict()) == ["own.loc", "own.scale"]
        assert list(self.fit().model.state_dict()) == ["own.loc", "own.scale"]


@pytest.mark.slow_except("10-0.5")
@pytest.mark.parametrize("kl_weight", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("batch_size", [40, 10])
def test_a_pair_reaches_the_exact_tempered_posterior(kl_weight: float, batch_size: int) -> None:
    """In the mean of 16 starts, whose own spread says how far off it may be by chance."""
    pair = bn.models.PyroPair(line, line_guide)
    post = bn.fit(
        pair, line_data(), kl_weight=kl_weight, steps=1200, batch_size=batch_size, lr=0.05,
        compile="trace", restarts=16, batched=True, progress=False,
    )  # fmt: skip
    mean, deviation = exact_line(kl_weight)
    states = [post.chain(c).model.state_dict() for c in range(16)]
    locs = torch.stack([state["own.loc"] for state in states])
    scales = torch.stack([state["own.scale"] for state in states]).exp()  # kept as its logarithm
    error = 8 * locs.std().item() / math.sqrt(16)  # 8 of Student's with 15 degrees: 1e-6
    assert error < 0.05 * abs(mean)  # so that the next line can fail
    assert locs.mean().item() == pytest.approx(mean, abs=error + 0.005 * abs(mean))
    error = 8 * scales.std().item() / math.sqrt(16)
    assert error < 0.2 * deviation
    assert scales.mean().item() == pytest.approx(deviation, abs=error + 0.02 * deviation)
    draws = post.sample(draws=2000)["w"]  # of the best start
    assert abs(draws.mean() - mean) < 6 * deviation / math.sqrt(2000) + 6 * locs.std()
    assert abs(draws.std() - deviation) < 0.1 * deviation + 6 * scales.std()


def test_an_elbo_of_pyros_trains_the_same_posterior() -> None:
    elbo = Trace_ELBO(num_particles=50, vectorize_particles=True, max_plate_nesting=1)
    pair = bn.models.PyroPair(line, line_guide, elbo=elbo)
    post = bn.fit(pair, line_data(), kl_weight=2.0, steps=500, lr=0.05, progress=False)
    mean, deviation = exact_line(2.0)
    draws = post.sample(draws=2000)["w"]
    assert draws.mean().item() == pytest.approx(mean, rel=0.03)
    assert draws.std().item() == pytest.approx(deviation, rel=0.15)


def test_a_discrete_latent_needs_a_score_function_elbo() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        z = pyro.sample("z", dist.Bernoulli(0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        logit = pyro.param("logit", torch.tensor(0.0))
        pyro.sample("z", dist.Bernoulli(logits=logit))

    data = (torch.zeros(4), torch.tensor([0.6, 0.5, 0.7, 0.4]))
    elbo = Trace_ELBO(num_particles=1000, vectorize_particles=True, max_plate_nesting=1)
    pair = bn.models.PyroPair(model, guide, elbo=elbo)
    post = bn.fit(pair, data, steps=200, lr=0.05, progress=False)
    # Exact: log odds = Σ log N(y; 1, 1) − log N(y; 0, 1) = Σ (y − ½)
    log_odds = float((data[1] - 0.5).sum())
    assert post.model.state_dict()["own.logit"].item() == pytest.approx(log_odds, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("autoguide", [AutoNormal, AutoMultivariateNormal])
def test_autoguides(autoguide: type) -> None:
    post = bn.fit(
        bn.models.PyroPair(line, autoguide(line)),
        line_data(),
        steps=1200,
        lr=0.03,
        compile="trace",
        progress=False,
    )
    mean, deviation = exact_line(1.0)
    draws = post.sample(draws=2000)["w"]
    assert draws.mean().item() == pytest.approx(mean, rel=0.03)
    assert draws.std().item() == pytest.approx(deviation, rel=0.2)


class Encoded(nn.Module):
    """A variational auto-encoder in the classic style, with pyro.module."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder, self.encoder = nn.Linear(2, 3), nn.Linear(3, 2)

    def model(self, x: Tensor, y: Tensor | None = None) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(1))
            pyro.sample("y", dist.Normal(self.decoder(z), 1.0).to_event(1), obs=y)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.encoder(x), 0.5).to_event(1))


def test_bound_methods_bring_their_module_and_latents_of_every_example() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 3, generator=generator)
    encoded = Encoded()
    before = {name: value.clone() for name, value in encoded.state_dict().items()}
    pair = bn.models.PyroPair(encoded.model, encoded.guide)
    post = bn.fit(pair, (x, x), steps=60, batch_size=10, lr=0.02, progress=False)
    assert all(torch.equal(v, before[name]) for name, v in encoded.state_dict().items())
    fitted = post.model.model_fn.__self__  # type: ignore[attr-defined]
    assert not torch.equal(fitted.decoder.weight, before["decoder.weight"])
    assert post.predict(x, draws=2).shape == (2, 30, 3)
    # KL of 30 two-dimensional Gaussians, by hand
    loc = fitted.encoder(x)
    kl = (0.5 * (0.25 + loc.square() - 1 - math.log(0.25))).sum().item()
    assert post.evaluate((x, x), draws=2)["kl"] == pytest.approx(kl, rel=1e-4)
    assert pyro.get_param_store().keys() == {}.keys()


def test_a_module_that_is_only_closed_over_is_refused() -> None:
    net = nn.Linear(1, 1)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.module("net", net)
        pyro.sample("w", dist.Normal(net(torch.ones(1))[0], 1.0))

    with pytest.raises(ValueError, match="bound methods"):
        bn.fit(bn.models.PyroPair(line, guide), line_data(), steps=2, progress=False)


def test_a_pyro_module_with_an_autoguide() -> None:
    class Regression(PyroModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.w = PyroSample(dist.Normal(0.0, 1.0))

        def forward(self, x: Tensor, y: Tensor | None = None) -> None:
            w = self.w
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)

    model = Regression()
    post = bn.fit(
        bn.models.PyroPair(model, AutoNormal(model)), line_data(), steps=800, lr=0.03,
        compile="trace", progress=False,
    )  # fmt: skip
    mean, _ = exact_line(1.0)
    assert post.sample(draws=2000)["w"].mean().item() == pytest.approx(mean, rel=0.05)
    assert pyro.get_param_store().keys() == {}.keys()


def test_different_sites_in_model_and_guide_are_named() -> None:
    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("v", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 1.0))

    with pytest.raises(
        ValueError, match=r"\['w'\] only in the model and \['v'\] only in the guide"
    ):
        bn.fit(bn.models.PyroPair(line, guide), line_data(), steps=2, progress=False)


def test_a_model_or_guide_that_cannot_be_called_is_named() -> None:
    with pytest.raises(TypeError, match="guide_fn must be a function or a module, got int"):
        bn.models.PyroPair(line, 3)  # type: ignore[arg-type]
