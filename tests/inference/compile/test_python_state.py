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


class ClassCounter(Net):
    calls = 0

    def takes_branch(self):
        type(self).calls += 1
        return self.calls % 100 == 0


class Settings:
    calls = 0


def helper():
    Settings.calls += 1
    return Settings.calls % 100 == 0


class CountedByAHelper(Net):
    def takes_branch(self):
        return helper()


class MethodOfAGenerator(Net):
    def __init__(self):
        super().__init__()
        self.draw = random.Random(4).random

    def takes_branch(self):
        return self.draw() < 0.05


class ReadsNumbers(Net):
    """What it divides by is another number at every step, and no operation of torch."""

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.second(hidden / float(np.abs(hidden.detach().numpy()).mean()))


class ReadsAList(Net):
    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.second(hidden * 2 if max(hidden[0].tolist()) > 0.3 else hidden)


class AssignsABuffer(Net):
    """A running mean that is another tensor after every pass; a trace would not see it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("average", torch.zeros(4))

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        if self.training:
            self.average = 0.9 * self.average + 0.1 * hidden.detach().mean(0)
        return self.second(hidden - self.average)


class WritesABuffer(AssignsABuffer):
    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        if self.training:
            self.average.mul_(0.9).add_(0.1 * hidden.detach().mean(0))
        return self.second(hidden - self.average)


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
        (ClassCounter, "changes ClassCounter.calls"),
        (CountedByAHelper, "changes Settings.calls"),
        (MethodOfAGenerator, "changes net.draw"),
        (ReadsNumbers, "reads numbers out of a tensor (Tensor.numpy)"),
        (ReadsAList, "reads numbers out of a tensor (Tensor.tolist)"),
        (AssignsABuffer, "another tensor in the place of the buffer net.average"),
    ],
)
def test_what_python_decides_keeps_a_step_eager(net, reason, caplog):
    _, line = fit(net(), caplog)
    assert "in eager mode" in line
    assert reason in line


@pytest.mark.parametrize("net", [Net, KeepsTheLast, WritesABuffer])
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


STATE = {"generator": np.random.default_rng(1), "list": [0], "numbers": np.zeros(2)}


class EveryState(Net):
    """It draws from and counts in all that a looking pass may have to put back."""

    def __init__(self):
        super().__init__()
        self.method = random.Random(2).random
        self.numpys = np.random.RandomState(2).rand

    def forward(self, x):
        STATE["list"][0] += 1
        STATE["numbers"] += 1.0
        Settings.calls += 1
        late = STATE["list"][0] > 4 or STATE["numbers"][0] > 5 or Settings.calls > 6
        factor = 1 + STATE["generator"].random() + self.method() + self.numpys()
        return super().forward(x * factor) * (2.0 if late else 1.0)


def test_looking_for_it_puts_the_users_own_state_back(caplog):
    posts = []
    for compiled in ("trace", False):
        STATE.update(generator=np.random.default_rng(1), list=[0], numbers=np.zeros(2))
        Settings.calls = 0
        posts.append(fit(EveryState(), caplog, compile=compiled)[0])
    first, second = (post.model.state_dict() for post in posts)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_buffers_that_are_written_are_traced_to_the_eager_numbers(caplog):
    traced, _ = fit(WritesABuffer(), caplog)
    eager, _ = fit(WritesABuffer(), caplog, compile=False)
    other, _ = fit(AssignsABuffer(), caplog)
    for post in (traced, other):
        average = post.model.net.average
        assert torch.allclose(average, eager.model.net.average, atol=1e-5)
        assert average.abs().max() > 0.01
