"""The first loss that is not finite stops a fit, and says where it came from."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from safetensors import safe_open
from torch import nn

import bayesnas as bn
from bayesnas.inference import NonFiniteLossError


def fails(model, xy, **options):
    """The error's message, and the losses of the steps before it."""
    losses = []
    with pytest.raises(NonFiniteLossError) as error:
        bn.fit(model, xy, on_step=lambda event: losses.append(event.loss), **options)
    assert all(math.isfinite(loss) for loss in losses)
    with pytest.raises(NonFiniteLossError) as without_hook:
        bn.fit(model, xy, **options)
    assert str(without_hook.value) == str(error.value)  # however many steps go at once
    return str(error.value), losses


@pytest.mark.parametrize("compile", [False, "trace"])
def test_steps_too_large(net, xy, compile):
    options = {"lr": 1e25, "optimizer": torch.optim.SGD, "compile": compile}
    message, losses = fails(net, xy, kl_weight=2.5, steps=40, **options)
    assert f"at step {len(losses) + 1} of chain 0 with kl_weight=2.5" in message
    assert "site" in message or "parameter" in message


def normal_pair(log_scale_of_prior=0.0, noise=1.0, guide_scale=None, elbo=None, nan_from=None):
    """w ~ N(0, s²), y ~ N(w x, noise²); the likelihood turns NaN after some calls, if asked to."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.tensor(0))

        def forward(self, x, y=None):
            w = pyro.sample("w", dist.Normal(0.0, torch.tensor(log_scale_of_prior).exp()))
            if self.training and y is not None:
                self.calls += 1
            broken = nan_from is not None and self.calls >= nan_from
            with pyro.plate("data", len(x)):
                mean = w * x[:, 0] + (torch.nan if broken else 0.0)
                pyro.sample("target", dist.Normal(mean, noise), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.tensor(0.3))
        scale = torch.tensor(0.1) if guide_scale is None else guide_scale(loc)
        pyro.sample("w", dist.Normal(loc, scale))

    return bn.models.PyroPair(Model(), guide, elbo=elbo)


@pytest.fixture
def line():
    x = torch.linspace(-1, 1, 9)[:, None]
    return x, 2 * x[:, 0]


def test_log_likelihood(line):
    message, losses = fails(normal_pair(nan_from=7), line, kl_weight=0.5, steps=30)
    assert len(losses) == 5  # one call goes before the first step, prepare's
    assert "log-likelihood of site 'target' is nan at step 6 of chain 0" in message
    assert "kl_weight=0.5" in message


def test_kl_divergence(line):
    """A prior of scale exp(−46): (μ/s)² is beyond single precision, (σ/s)² is not."""
    message, losses = fails(normal_pair(log_scale_of_prior=-46.0), line, kl_weight=3.0, steps=30)
    assert losses == []
    assert "KL divergence of site 'w' is inf at step 1 of chain 0 with kl_weight=3" in message


def test_site_of_an_elbo_that_shows_no_terms(line):
    pair = normal_pair(nan_from=7, elbo=Trace_ELBO())
    with pytest.warns(UserWarning, match="Encountered NaN"):  # Pyro's own
        message, losses = fails(pair, line, kl_weight=0.5, steps=30)
    assert len(losses) == 5
    assert "log density of site 'target' in the model is nan at step 6 of chain 0" in message


def test_latent_site_of_an_elbo_that_shows_no_terms(line):
    pair = normal_pair(log_scale_of_prior=-60.0, elbo=Trace_ELBO())
    message, losses = fails(pair, line, steps=30)
    assert losses == []
    assert "log density of site 'w' in the model is -inf at step 1" in message


class Poison(torch.optim.SGD):
    """Takes a last step to infinity, which no loss sees any more."""

    count = 0

    @torch.no_grad()
    def step(self, closure=None):
        super().step()
        Poison.count += 1
        if Poison.count == 20:
            self.param_groups[0]["params"][0].view(-1)[1] = torch.inf


def test_parameters_after_the_last_step(net, xy):
    Poison.count = -1  # a step is tried before the fit
    with pytest.raises(NonFiniteLossError, match=r"parameter 'variational.*at step 20 of chain 0"):
        bn.fit(net, xy, steps=20, optimizer=Poison)


@pytest.mark.parametrize("hook", [None, lambda event: None])
def test_checkpoint_is_of_before(line, tmp_path, hook):
    out = tmp_path / "run"
    with pytest.raises(NonFiniteLossError, match="step 6"):
        bn.fit(normal_pair(nan_from=7), line, steps=30, out=out, checkpoint_every=3, on_step=hook)
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.safetensors", "run.json"]
    with safe_open(out / "checkpoint.safetensors", "pt") as file:
        assert all(torch.isfinite(file.get_tensor(n)).all() for n in file.keys())  # noqa: SIM118
        assert len(file.get_tensor("running0/history")) == 3
    with pytest.raises(NonFiniteLossError, match="step 6"):  # and resuming meets it again
        bn.fit(normal_pair(nan_from=7), line, steps=30, out=out, checkpoint_every=3, resume=True)


def test_parameters_are_looked_at_before_a_checkpoint(net, xy, tmp_path):
    Poison.count = 9 - 1
    with pytest.raises(NonFiniteLossError, match="parameter .* at step 11"):
        bn.fit(net, xy, steps=20, optimizer=Poison, out=tmp_path / "run", checkpoint_every=11)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
