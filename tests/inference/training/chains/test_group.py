"""Chains that take their steps together against the same chains trained one after the other."""

from __future__ import annotations

import functools
import logging
import os
import signal

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro_programs import line, line_guide
from torch import nn

import bayesnas as bn
from bayesnas.inference import NonFiniteLossError
from bayesnas.inference.steps import vmap_step as stacked
from bayesnas.inference.steps.minibatches import Batches, StackedBatches
from bayesnas.inference.training.chains import group
from bayesnas.inference.training.processes import rounds

SHORT = {"steps": 40, "batch_size": 9, "lr": 0.02, "compile": "trace"}
SGD = functools.partial(torch.optim.SGD, momentum=0.9)
LAMBDAS = [0.1, 1.0, 10.0]


@pytest.fixture
def stacked_steps(monkeypatch):
    """Counts the steps that were taken by several chains at once."""
    taken = []
    really = stacked.VmappedStep.__call__

    def counted(self, *arguments):
        taken.append(len(self.running))
        return really(self, *arguments)

    monkeypatch.setattr(stacked.VmappedStep, "__call__", counted)
    return taken


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(27, 1, 8, 8, generator=generator), torch.arange(27) % 3


def conv_net():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    )


def normalised_net():
    return nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def assert_alike(together, alone, rtol=1e-4):
    """Same histories, parameters and buffers, chain by chain."""
    pairs = list(zip(together.records(), alone.records(), strict=True))
    for record, expected in pairs:
        assert torch.allclose(record.history, expected.history, rtol=rtol)
        assert np.allclose(record.validation_nll, expected.validation_nll, rtol=rtol)
        for name, value in expected.fitted.items():
            close = torch.allclose(record.fitted[name], value, rtol=rtol, atol=1e-5)
            assert close, name


MODELS = {
    "local": lambda: bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale="learned"),
    "weight": lambda: bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), estimator="weight"),
    "groups": lambda: bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3])),
    # Its KL has an operation that torch maps chain by chain.
    "truncated": lambda: bn.models.BayesianCompressionNet(
        bn.nn.mlp([4, 6, 3]), prior="log-uniform-truncated"
    ),
}
FULL = {"kl_weight": [0.1, 10.0], "restarts": 2, "batch_size": 27}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("local", {"restarts": 3, "batch_size": 8}),
        pytest.param("local", FULL, marks=pytest.mark.slow),
        pytest.param("weight", {"kl_weight": LAMBDAS, "kl_warmup": 0.5}, marks=pytest.mark.slow),
        pytest.param("truncated", {"restarts": 2}, marks=pytest.mark.slow),
        pytest.param("groups", FULL, marks=pytest.mark.slow),
    ],
)
def test_chains_have_the_numbers_that_they_have_alone(xy, stacked_steps, name, options):
    options = SHORT | options
    together = bn.fit(MODELS[name](), xy, batched=True, **options)
    assert stacked_steps == [together.chains] * 40
    assert_alike(together, bn.fit(MODELS[name](), xy, batched=False, **options))


@pytest.mark.slow
@pytest.mark.parametrize("compile", ["trace", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("estimator", ["local", "weight"])
def test_convolutions(images, stacked_steps, estimator, compile):
    model = bn.models.GaussianNet(conv_net(), estimator=estimator)
    options = SHORT | {"restarts": 3, "compile": compile}
    together = bn.fit(model, images, batched=True, **options)
    assert len(stacked_steps) == 40
    assert_alike(together, bn.fit(model, images, batched=False, **options))


@pytest.mark.slow_except("options0")
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": SGD, "clip": 1e-2},
        {"kl_weight": bn.LogUniform(0.1, 10), "amortize": "piecewise"},
        {"kl_weight": bn.LogUniform(0.1, 10), "amortize": "curvature"},
        pytest.param(
            {"kl_weight": bn.LogUniform(0.1, 10), "amortize": "linear", "optimizer": SGD},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_running_statistics_dropout_optimisers_and_maps(xy, stacked_steps, options):
    options = SHORT | {"restarts": 2} | options
    net = bn.models.GaussianNet(normalised_net(), prior_scale=0.5)
    together = bn.fit(net, xy, batched=True, **options)
    assert len(stacked_steps) == 40
    assert_alike(together, bn.fit(net, xy, batched=False, **options))


@pytest.mark.slow
def test_a_list_of_kl_weights_is_as_many_fits(net, xy):
    """Every one has the numbers of a fit at it alone, under the same seed."""
    options = SHORT | {"restarts": 2, "seed": 3}
    posts = bn.fit(net, xy, kl_weight=[0.1, 10], batched=True, **options)
    for kl_weight, post in zip((0.1, 10), posts, strict=True):
        assert post.kl_weight == kl_weight
        assert_alike(post, bn.fit(net, xy, kl_weight=kl_weight, **options))


def test_batches_are_those_of_each_chain():
    x, y = torch.randn(11, 2), torch.arange(11)
    chains = [Batches(x, y, 4, seed) for seed in (5, 6, 7)]
    together = StackedBatches(chains)
    for step in range(9):
        batch = together.at(step)
        for chain, alone in enumerate(chains):
            assert all(torch.equal(a[chain], b) for a, b in zip(batch, alone.at(step), strict=True))


# What happens between steps ---------------------------------------------------------------


@pytest.mark.slow
def test_a_chain_that_stops_early_stays_as_it_was(net, xy, stacked_steps):
    """A third stop after the commonest number of epochs: all sixteen with probability 2e-8."""
    x, y = xy
    options = SHORT | {
        "validation": (x[18:], y[18:]), "steps": 60, "lr": 0.3, "patience": 1, "restarts": 16,
    }  # fmt: skip
    together = bn.fit(net, (x[:18], y[:18]), batched=True, **options)
    assert len(set(stacked_steps)) > 1  # the others went on
    alone = bn.fit(net, (x[:18], y[:18]), batched=False, **options)
    lengths = [[len(r.history) for r in post.records()] for post in (together, alone)]
    assert lengths[0] == lengths[1]
    assert_alike(together, alone)


@pytest.mark.parametrize(
    "options",
    [
        {"restarts": 3},
        pytest.param({"kl_weight": LAMBDAS, "optimizer": SGD}, marks=pytest.mark.slow),
        pytest.param({"restarts": 2, "kl_weight": bn.LogUniform(0.1, 10)}, marks=pytest.mark.slow),
    ],
)
def test_resumed_at_exactly_the_numbers_of_an_unbroken_fit(net, xy, numbers, tmp_path, options):
    def stop(event):
        if event.step == 23:
            raise InterruptedError

    options = SHORT | options | {"batched": True}
    whole = bn.fit(net, xy, **options)
    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=tmp_path / "run", checkpoint_every=10, on_step=stop, **options)
    # How the chains were trained is the checkpoint's to say.
    options["batched"] = False
    post = bn.fit(net, xy, out=tmp_path / "run", resume=True, **options)
    assert numbers(post) == numbers(whole)
    assert numbers(bn.load(tmp_path / "run")) == numbers(whole)


@pytest.mark.slow
def test_resumed_where_some_chains_have_stopped(net, xy, numbers, tmp_path):
    """Three in five stop within one epoch of each other: all of 32 with a probability of 1e-7."""
    x, y = xy
    options = SHORT | {
        "validation": (x[18:], y[18:]), "steps": 60, "lr": 0.3, "patience": 1, "restarts": 32,
        "batched": True,
    }  # fmt: skip
    whole = bn.fit(net, (x[:18], y[:18]), **options)
    first, *_, last = sorted(len(record.history) for record in whole.records())
    assert last > first + 3

    def stop(event):
        if event.step == first + 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        bn.fit(
            net, (x[:18], y[:18]), out=tmp_path, checkpoint_every=first + 1, on_step=stop, **options
        )
    post = bn.fit(net, (x[:18], y[:18]), out=tmp_path, resume=True, **options)
    assert numbers(post) == numbers(whole)


def test_hooks_see_every_chain_at_every_step(net, xy):
    seen, values, alone = [], {}, []

    def hook(event):
        seen.append((event.chain, event.step, round(event.kl_weight, 6)))
        values[seen[-1]] = [value.detach().clone() for value in event.model.parameters()]

    def look(event):
        alone.append([value.detach().clone() for value in event.model.parameters()])

    options = SHORT | {"steps": 9}
    bn.fit(net, xy, kl_weight=LAMBDAS, batched=True, on_step=hook, **options)
    assert seen == [(0, step, kl_weight) for step in range(1, 10) for kl_weight in LAMBDAS]
    bn.fit(net, xy, kl_weight=LAMBDAS[1], on_step=look, **options)
    pairs = zip(values[0, 7, LAMBDAS[1]], alone[6], strict=True)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


@pytest.mark.slow
def test_ctrl_c_stops_all_chains_at_one_step(net, xy, numbers, tmp_path):
    def hook(event):
        if (event.chain, event.step) == (1, 13):
            os.kill(os.getpid(), signal.SIGINT)

    options = SHORT | {"restarts": 2, "batched": True}
    whole = bn.fit(net, xy, **options)
    with pytest.warns(RuntimeWarning, match="interrupted at step 13 of 40 of all 2 chains"):
        post = bn.fit(net, xy, on_step=hook, **options)
    assert np.array_equal(post.history().loss, whole.history().loss[:, :13])
    with pytest.raises(KeyboardInterrupt, match="stopped at step 13 of 40 of all 2 chains"):
        bn.fit(net, xy, on_step=hook, out=tmp_path, **options)
    assert numbers(bn.fit(net, xy, out=tmp_path, resume=True, **options)) == numbers(whole)


@pytest.mark.parametrize("batched", [True, False])
def test_an_infinite_loss_names_the_chain(net, xy, batched):
    where = r"the loss overflows at step 1 of chain 0 with kl_weight=1e\+38"
    with pytest.raises(NonFiniteLossError, match=where):
        bn.fit(net, xy, kl_weight=[1.0, 1e38], batched=batched, **SHORT)


# What can't be batched --------------------------------------------------------------------


def looking(x, y=None):
    """A model that looks at a value."""
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    if w > 100:
        raise AssertionError
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x, 0.5), obs=y)


def precision(x, y=None):
    tau = pyro.sample("tau", dist.Gamma(2.0, 2.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(x, tau.rsqrt()), obs=y)


def gamma_guide(x, y=None):
    rate = pyro.param("rate", torch.tensor(2.0), constraint=dist.constraints.positive)
    pyro.sample("tau", dist.Gamma(2.0 * rate, rate))


LINE = (torch.linspace(-1, 1, 30), torch.linspace(-1, 1, 30))
UNBATCHED = {
    "gamma": (bn.models.PyroPair(precision, gamma_guide), {}, "what it draws depends on values"),
    "eager": (bn.models.PyroPair(line, line_guide), {"compile": False}, "not traced"),
    "elbo": (bn.models.PyroPair(line, line_guide, elbo=Trace_ELBO()), {}, "an elbo of its own"),
    "control flow": (bn.models.PyroPair(looking, line_guide), {}, "TracingError|Error"),
    "bilevel": (
        bn.models.GaussianNet(
            nn.Linear(1, 1), likelihood="gaussian", noise_scale=1.0, prior_scale="learned"
        ),
        {
            "bilevel": bn.Bilevel(parameters=["log_prior_scale"]),
            "validation": (LINE[0][:, None], LINE[1]),
        },
        "bilevel",
    ),
}


@pytest.mark.slow_except("elbo", "control flow", "eager")
@pytest.mark.parametrize("name", UNBATCHED)
def test_what_cannot_be_batched_says_why(name, tmp_path, monkeypatch, caplog, numbers):
    model, options, reason = UNBATCHED[name]
    x, y = LINE
    data = (x if isinstance(model, bn.models.PyroPair) else x[:, None], y)
    options = SHORT | {"restarts": 2, "steps": 4} | options
    with pytest.raises(ValueError, match=rf"batched: the chains can't .* together: .*({reason})"):
        bn.fit(model, data, batched=True, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    alone = bn.fit(model, data, batched=False, **options)
    monkeypatch.setattr(rounds, "pays", lambda settings, device: True)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="bayesnas"):
        in_turn = bn.fit(model, data, **options)
    assert numbers(in_turn) == numbers(alone)
    lines = [r.getMessage() for r in caplog.records if "one after the other" in r.getMessage()]
    assert len(lines) == 1


def test_steps_that_differ_from_the_eager_ones_are_refused(net, xy, monkeypatch):
    monkeypatch.setattr(stacked, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match=r"the step of chain 0 among others differs from its own"):
        bn.fit(net, xy, restarts=2, batched=True, **SHORT)


def test_by_default_together_on_a_gpu_alone(net):
    settings = bn.fit(
        net, (torch.zeros(4, 4), torch.arange(4) % 3), **SHORT | {"steps": 1}
    ).settings
    assert group.pays(settings, torch.device("cuda"))
    assert not group.pays(settings, torch.device("cpu"))


def test_one_chain_is_trained_by_itself(net, xy, numbers, stacked_steps):
    batched = bn.fit(net, xy, batched=True, **SHORT)
    assert numbers(batched) == numbers(bn.fit(net, xy, batched=False, **SHORT))
    assert stacked_steps == []


def test_short_fits_are_recorded_where_they_are_to_be_batched(net, xy):
    options = {"steps": 2, "restarts": 2}
    assert bn.fit(net, xy, **options).settings.compile == "eager"
    assert bn.fit(net, xy, batched=True, **options).settings.compile == "trace"


def test_another_word_is_refused(refused):
    refused(ValueError, r"batched must be True, False or 'auto', got 'yes'", batched="yes")
