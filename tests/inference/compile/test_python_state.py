"""Tracing a step never changes what is trained: what Python decides keeps it eager."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch
from torch import nn

import bayesnas as bn

GENERATOR = np.random.default_rng(0)
CALLS = 0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 3)
        self.passes, self.own, self.seen = 0, random.Random(3), []

    def forward(self, x):
        hidden = self.first(x)
        return self.second(torch.tanh(hidden) if self.takes_branch() else hidden)

    def takes_branch(self):
        return True


class StochasticDepth(Net):
    def takes_branch(self):
        return random.random() < 0.05


class NumpysRandomness(Net):
    def takes_branch(self):
        return np.random.rand() < 0.05


class OwnGenerator(Net):
    def takes_branch(self):
        return self.own.random() < 0.05


class EveryHundredthStep(Net):
    def takes_branch(self):
        self.passes += 1
        return self.passes % 100 == 0


class GlobalGenerator(Net):
    def forward(self, x):
        return super().forward(x * (1 + GENERATOR.random()))


class GlobalCounter(Net):
    def forward(self, x):
        global CALLS
        CALLS += 1
        return super().forward(x) * (2 if CALLS % 100 == 0 else 1)


class Collects(Net):
    def forward(self, x):
        self.seen.append(len(x))
        return super().forward(x)


class KeepsTheLast(Net):
    """It leaves the same behind at every pass, and draws from torch: that is traced."""

    def forward(self, x):
        self.last, self.rows = super().forward(x), len(x)
        return self.last + 0.1 * torch.randn_like(self.last)


def fit(net, caplog, **options):
    caplog.set_level(logging.INFO, "bayesnas")
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    options = {"steps": 6, "batch_size": 30, "compile": "trace", "progress": False, **options}
    model = bn.models.GaussianNet(net, estimator="weight")
    post = bn.fit(model, (x, x[:, :3].argmax(1)), device="cpu", **options)
    lines = [record.getMessage() for record in caplog.records]
    return post, " ".join(line for line in lines if "eager" in line or "one after" in line)


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (StochasticDepth, "draws from Python's random generator"),
        (NumpysRandomness, "draws from NumPy's random generator"),
        (OwnGenerator, "changes net.own"),
        (EveryHundredthStep, "changes net.passes"),
        (GlobalGenerator, "changes GENERATOR of GlobalGenerator.forward"),
        (GlobalCounter, "changes CALLS of GlobalCounter.forward"),
        (Collects, "changes net.seen"),
    ],
)
def test_what_python_decides_keeps_a_step_eager(net, reason, caplog):
    _, line = fit(net(), caplog)
    assert "in eager mode" in line
    assert reason in line


@pytest.mark.parametrize("net", [Net, KeepsTheLast])
def test_what_torch_alone_decides_is_traced(net, caplog):
    _, line = fit(net(), caplog)
    assert line == ""


def test_such_chains_are_not_trained_together(caplog):
    with pytest.raises(ValueError, match="Python's random generator"):
        fit(StochasticDepth(), caplog, restarts=2, batched=True)


def test_the_fit_is_the_eager_one(caplog):
    """A counter that changes every step: the same numbers as without tracing."""

    class EveryOtherStep(Net):
        def takes_branch(self):
            self.passes += 1
            return self.passes % 2 == 0

    traced, _ = fit(EveryOtherStep(), caplog)
    eager, _ = fit(EveryOtherStep(), caplog, compile=False)
    for name, value in traced.model.state_dict().items():
        assert torch.equal(value, eager.model.state_dict()[name])


def test_looking_for_it_leaves_pythons_random_state_and_counters_alone(caplog):
    global CALLS
    random.seed(5), np.random.seed(5)
    before = random.getstate(), str(np.random.get_state())
    fit(Net(), caplog)
    assert (random.getstate(), str(np.random.get_state())) == before
    CALLS = 0
    fit(GlobalCounter(), caplog, compile=False)
    alone = CALLS
    CALLS = 0
    fit(GlobalCounter(), caplog)
    assert alone == CALLS
