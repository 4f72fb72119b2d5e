"""bn.fit: the objective it descends, schedules, hooks, chains, history."""

from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.training.fit_options import FitArguments

FIT = {"steps": 12, "batch_size": 8, "lr": 0.05}


class Recording(torch.optim.SGD):
    """SGD that notes learning rates, gradients and parameters; one list for all of a test."""

    steps: list[dict]

    def step(self, closure=None):
        self.steps.append(
            {
                "lr": [group["lr"] for group in self.param_groups],
                "grad": [p.grad.clone() for g in self.param_groups for p in g["params"]],
                "value": [p.detach().clone() for g in self.param_groups for p in g["params"]],
            }
        )
        return super().step(closure)


@pytest.fixture
def recording(monkeypatch):
    """An optimiser, and what it noted; its first step is the one that fit tries out."""
    monkeypatch.setattr(Recording, "steps", [], raising=False)
    return Recording


# What a step descends --------------------------------------------------------------------------


@pytest.mark.parametrize("kl_weight", [0.0, 0.5, 10.0])
def test_gradient_is_that_of_the_bound_an_example(recording, kl_weight):
    """Linear regression at a posterior that is all but a point, against its derivatives."""
    x = torch.linspace(-1, 1, 8)[:, None]
    y = 3 * x[:, 0] - 1
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, 0.4), nn.init.constant_(net.bias, 0.2)
    model = bn.models.GaussianNet(
        net, prior_scale=0.5, likelihood="gaussian", noise_scale=0.7, initial_loc="net",
        initial_scale=1e-6,
    )  # fmt: skip
    bn.fit(model, (x, y), steps=1, kl_weight=kl_weight, optimizer=recording)
    residual = y - 0.4 * x[:, 0] - 0.2
    expected = {
        "weight": -(residual * x[:, 0]).sum() / 0.7**2 + kl_weight * 0.4 / 0.5**2,
        "bias": -residual.sum() / 0.7**2 + kl_weight * 0.2 / 0.5**2,
        # KL rises by −1 for every unit of log σ, where σ is far below the prior's scale.
        "log scale": torch.tensor(-kl_weight),
    }
    gradients = [float(value) for value in recording.steps[-1]["grad"]]
    for name, value in expected.items():
        assert any(g == pytest.approx(float(value) / 8, abs=2e-5) for g in gradients), name


def test_posterior_is_where_the_steps_led(recording, net, xy):
    """SGD without schedule: the sum of all its moves."""
    post = bn.fit(net, xy, optimizer=recording, schedule="constant", **FIT)
    tried, *steps = recording.steps
    end = [v - 0.05 * g for v, g in zip(steps[-1]["value"], steps[-1]["grad"], strict=True)]
    values = [p.detach() for p in post.model.parameters()]
    assert len(steps) == 12
    assert all(bool(torch.isclose(a, b).all()) for a, b in zip(values, end, strict=True))
    assert all(bool((gradient == 0).all()) for gradient in tried["grad"])


def test_clip(recording, net, xy):
    bn.fit(net, xy, optimizer=recording, clip=1e-3, **FIT)
    clipped = torch.cat([g.flatten() for g in recording.steps[1]["grad"]])
    assert float(clipped.abs().max()) == pytest.approx(1e-3)
    recording.steps.clear()
    bn.fit(net, xy, optimizer=recording, **FIT)
    free = torch.cat([g.flatten() for g in recording.steps[1]["grad"]])
    assert torch.equal(clipped, free.clamp(-1e-3, 1e-3))


# Learning rate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
        ("constant", lambda done: 1.0),
        (lambda done: 1 / (1 + 3 * done), lambda done: 1 / (1 + 3 * done)),
        (lambda done: np.float32(0.5), lambda done: 0.5),
        (lambda done: 0, lambda done: 0),
    ],
)
def test_schedule(recording, net, xy, schedule, factor):
    bn.fit(net, xy, optimizer=recording, schedule=schedule, **FIT)
    rates = [step["lr"][0] for step in recording.steps[1:]]
    assert rates == pytest.approx([0.05 * factor(step / 12) for step in range(12)])


def test_schedule_scales_every_group_of_the_optimiser(recording, net, xy):
    def factory(parameters, lr):
        return recording(
            [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 10 * lr}], lr=lr
        )

    bn.fit(net, xy, optimizer=factory, **FIT)
    rates = [step["lr"] for step in recording.steps[1:]]
    assert rates[0] == pytest.approx([0.05, 0.5])
    assert rates[6] == pytest.approx([0.025, 0.25])


def test_schedule_is_each_chain_s_own(recording, net, xy):
    bn.fit(net, xy, optimizer=recording, restarts=2, **FIT)
    rates = [step["lr"][0] for step in recording.steps[1:]]
    assert rates[:12] == rates[12:]


# Steps, hook, history --------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "steps"), [(8, 8), (27, 2), (1000, 2), (1, 54), (26, 4)])
def test_epochs_are_passes_over_the_sample(net, xy, numbers, batch_size, steps):
    by_epochs = bn.fit(net, xy, epochs=2, batch_size=batch_size)
    assert by_epochs.settings.steps == steps
    assert by_epochs.history().sizes == {"chain": 1, "step": steps}
    assert numbers(by_epochs) == numbers(bn.fit(net, xy, steps=steps, batch_size=batch_size))


def test_hook_sees_every_step(net, xy, numbers):
    events, states = [], []

    def hook(event):
        events.append(event)
        states.append(event.model.variational["layer1.bias.loc"].sum().item())

    post = bn.fit(net, xy, kl_weight=0.5, restarts=2, on_step=hook, **FIT)
    assert [(e.chain, e.step) for e in events] == [(c, s) for c in (0, 1) for s in range(1, 13)]
    assert len(set(states)) == 24  # after the step, each time
    history = post.history()
    for event in events:
        row = history.isel(chain=event.chain, step=event.step - 1)
        assert event.loss == float(row.loss)
        assert event.expected_log_lik == float(row.expected_log_lik)
        assert event.kl == float(row.kl)
        assert event.kl_weight == float(row.kl_weight) == 0.5
        assert event.loss == pytest.approx(0.5 * event.kl - event.expected_log_lik)
    assert numbers(post) == numbers(bn.fit(net, xy, kl_weight=0.5, restarts=2, **FIT))


def test_hook_that_raises_stops_the_fit(net, xy):
    class HookError(Exception):
        pass

    steps = []

    def hook(event):
        steps.append(event.step)
        if event.step == 5:
            raise HookError

    with pytest.raises(HookError):
        bn.fit(net, xy, on_step=hook, **FIT)
    assert steps == [1, 2, 3, 4, 5]


def test_first_loss_is_that_of_the_start(xy):
    """Against the bound of the model at its start, with the same examples."""
    model = bn.models.GaussianNet(bn.nn.mlp([4, 3]), initial_scale=1e-7, initial_loc="net")
    post = bn.fit(model, xy, steps=1, batch_size=100, kl_weight=2.0)
    plain, (x, y) = model.plain_module(), xy
    with torch.no_grad():
        log_lik = -nn.functional.cross_entropy(plain(x), y, reduction="sum")
    row = post.history().isel(chain=0, step=0)
    assert float(row.expected_log_lik) == pytest.approx(float(log_lik), rel=1e-4)
    mean = torch.cat([p.detach().flatten() for p in plain.parameters()])
    kl = 0.5 * (mean.square().sum() - len(mean)) - len(mean) * math.log(1e-7)
    assert float(row.kl) == pytest.approx(float(kl), rel=1e-4)


# Seeds and chains ------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["local", "weight"])
def test_one_seed_gives_the_same_numbers(xy, numbers, estimator):
    model = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), estimator=estimator)
    fit = [numbers(bn.fit(model, xy, seed=seed, **FIT)) for seed in (3, 3, 4)]
    assert fit[0] == fit[1]
    assert fit[0] != fit[2]


@pytest.mark.parametrize("kind", ["plain", "learned scales", "running statistics"])
def test_chain_is_the_same_whatever_their_number(xy, numbers, kind):
    x, y = xy
    model = {
        "plain": bn.models.GaussianNet(bn.nn.mlp([4, 6, 3])),
        "learned scales": bn.models.GaussianNet(
            bn.nn.mlp([4, 1]), prior_scale="learned", likelihood="gaussian"
        ),
        "running statistics": bn.models.GaussianNet(
            nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
        ),
    }[kind]
    data = (x, x.sum(1)) if kind == "learned scales" else (x, y)
    three, two, one = (bn.fit(model, data, restarts=count, **FIT) for count in (3, 2, 1))
    assert [post.chains for post in (three, two, one)] == [3, 2, 1]
    assert numbers(three.chain(0)) == numbers(two.chain(0)) == numbers(one)
    assert numbers(three.chain(1)) == numbers(two.chain(1))
    assert len({repr(numbers(three.chain(index))) for index in range(3)}) == 3


def test_every_chain_starts_from_the_model_given(xy):
    """And not from where the chain before it ended, where nothing is drawn anew."""
    model = bn.models.GaussianNet(bn.nn.mlp([4, 3]), initial_loc="net", initial_scale=1e-6)
    losses = bn.fit(model, xy, steps=20, lr=0.1, restarts=2).history().expected_log_lik.values
    assert losses[1, 0] == pytest.approx(losses[0, 0], rel=1e-4)
    assert losses[0, -1] != pytest.approx(losses[0, 0], rel=0.1)


def test_end_of_a_chain_is_a_checkpoint(net, xy, tmp_path):
    def stop(event):
        if event.chain == 1:
            raise InterruptedError

    options = FIT | {"restarts": 2, "out": tmp_path / "run"}  # shorter than the interval
    with pytest.raises(InterruptedError):
        bn.fit(net, xy, on_step=stop, **options)
    seen = []
    bn.fit(net, xy, resume=True, on_step=lambda e: seen.append((e.chain, e.step)), **options)
    assert seen == [(1, step) for step in range(1, 13)]


def test_best_chain_is_that_of_the_highest_bound(net, xy):
    post = bn.fit(net, xy, restarts=4, **FIT)
    losses = post.history().loss.values.mean(1)  # over all steps: fewer than the last 100
    assert post.best == losses.argmin()
    assert post.model is post.chain(post.best).model


@pytest.mark.parametrize("hook", [None, lambda event: None])
def test_numbers_do_not_depend_on_who_is_looking(net, xy, numbers, tmp_path, hook):
    expected = numbers(bn.fit(net, xy, **FIT))
    watched = bn.fit(net, xy, on_step=hook, out=tmp_path / "run", checkpoint_every=1, **FIT)
    assert numbers(watched) == expected
    watched = bn.fit(net, xy, on_step=hook, validation=xy, **FIT)
    assert {k: v for k, v in numbers(watched).items() if "nll" not in k} == {
        k: v for k, v in expected.items() if "nll" not in k
    }


def test_the_arguments_of_a_fit_have_one_set_of_defaults() -> None:
    """Those of the function that users call, and of the value that is handed on."""
    parameters = inspect.signature(bn.fit).parameters
    shown = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert shown == {field.name: field.default for field in dataclasses.fields(FitArguments)}
