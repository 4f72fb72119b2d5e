"""One call from a network to a smaller one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.compression import compress as module
from bayesnas.inference.compression.stages import Effort

DIGITS = bn.data.load("digits", validation=0.2)


@pytest.fixture
def hurried(monkeypatch):
    """Short fits: what is asked here does not depend on how good they are."""
    for name in ("_PRETRAINING", "_FIRST", "_SORTING", "_SHORT", "_LONG"):
        monkeypatch.setattr(module, name, Effort(1, 40))
    monkeypatch.setattr(module, "_MOST_STAGES", 4)
    monkeypatch.setattr(module, "_COMPILE", False)


def errors(net, data):
    return float((net(data.x).argmax(-1) != data.y).float().mean())


@pytest.fixture(scope="module")
def small():
    """The digits, by one call without an option but the data."""
    torch.manual_seed(0)
    net = bn.nn.mlp([64, 100, 50, 10])
    before = copy.deepcopy(net.state_dict())
    compressed = bn.compress(net, DIGITS.train, validation=DIGITS.validation, progress=False)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    return compressed


@pytest.mark.slow
def test_digits_without_an_option(small):
    """.95 of the test part, within three standard errors, at most 30 % of the parameters."""
    count = sum(p.numel() for p in small.module.parameters())
    assert count < 0.3 * 12_060
    error = (0.05 * 0.95 / len(DIGITS.test)) ** 0.5
    assert errors(small.module, DIGITS.test) < 0.05 + 3 * error


@pytest.mark.slow
def test_the_path_is_measured_and_the_choice_is_that_of_the_rule(small):
    path = small.path
    assert path["weights"].values[0] == 12_060 - 160
    last = path["weights"].values[0]
    lowest = path.isel(stage=0)
    for index in range(1, path.sizes["stage"]):  # each starts at the last that was as good
        stage = path.isel(stage=index)
        assert stage["weights"] < last
        if stage["loss"] <= lowest["loss"] + lowest["loss_error"]:
            last = stage["weights"]
            lowest = min(lowest, stage, key=lambda each: float(each["loss"]))
    chosen = int(path["chosen"].argmax("stage"))
    assert int(path["weights"][chosen]) == small.weights
    assert errors(small.module, DIGITS.validation) == pytest.approx(float(path["loss"][chosen]))
    best = int(path["loss"].argmin("stage"))
    limit = float(path["loss"][best] + path["loss_error"][best])
    good = path["loss"].values <= limit
    assert small.weights == path["weights"].values[good].min()
    rate = float(path["loss"][best])
    error = (rate * (1 - rate) / (len(DIGITS.validation) - 1)) ** 0.5  # of a binomial share
    assert float(path["loss_error"][best]) == pytest.approx(error, rel=1e-6)


@pytest.mark.slow
def test_a_regression_keeps_the_inputs_that_matter(hurried):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 12, generator=generator)
    y = 2 * x[:, 3] - x[:, 7] + 0.1 * torch.randn(400, generator=generator)
    torch.manual_seed(0)
    compressed = bn.compress(bn.nn.mlp([12, 16, 1]), (x, y), likelihood="gaussian", progress=False)
    assert compressed.module(x).shape == (400, 1)
    mean_square = float((compressed.module(x)[:, 0] - y).square().mean().detach())
    assert mean_square < 0.5 * float(y.var())
    for select in (m for m in compressed.module.modules() if isinstance(m, bn.nn.SelectInputs)):
        assert {3, 7} <= set(select.indices)


class Branches(nn.Module):
    """A network that is no chain."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.out = nn.Linear(64, 12), nn.Linear(64, 12), nn.Linear(12, 10)

    def forward(self, x):
        return self.out(torch.relu(self.left(x)) + torch.tanh(self.right(x)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "net",
    [Branches(), bn.nn.convnet([4, 6], [12], image=8, kernel=3, pool=1)],
    ids=["branches", "images"],
)
def test_other_networks_than_chains(hurried, net):
    flat = isinstance(net, Branches)
    x = DIGITS.train.x if flat else DIGITS.train.x.reshape(-1, 1, 8, 8)
    options = {"prior": "normal-jeffreys", "tolerance": 100.0, "progress": False}
    compressed = bn.compress(net, (x, DIGITS.train.y), **options)
    sizes = compressed.posterior.complexity()
    assert compressed.weights < compressed.weights_before or (
        flat and sizes["parameters_kept"] < sizes["parameters"]  # input columns stay, as zeros
    )
    assert compressed.module(x[:3]).shape == (3, 10)
    last = compressed.posterior.predict(x[:3], draws=2)
    assert last.shape == (2, 3, 10)


@pytest.mark.slow
def test_it_is_seeded_and_leaves_the_random_state(hurried):
    net = bn.nn.mlp([64, 12, 10])
    before = torch.get_rng_state()
    first, second = (bn.compress(net, DIGITS.train, seed=3, progress=False) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.path.equals(second.path)
    assert torch.equal(first.module(DIGITS.test.x), second.module(DIGITS.test.x))


@pytest.mark.slow
def test_the_smaller_network_is_saved_without_pickle(hurried, tmp_path):
    compressed = bn.compress(bn.nn.mlp([64, 12, 10]), DIGITS.train, progress=False)
    bn.nn.save_net(compressed.module, tmp_path / "small.safetensors")
    again = bn.nn.load_net(tmp_path / "small.safetensors")
    assert torch.equal(again(DIGITS.test.x), compressed.module(DIGITS.test.x))
    assert "weights, validation loss" in repr(compressed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 1.0}, "validation must be .*1"),
        ({"validation": "half"}, "validation"),
        ({"tolerance": -1}, "tolerance must be .*-1"),
        ({"prior": "laplace"}, "prior"),
        ({"likelihood": "gaussian"}, "data: .*regression"),
        ({"seed": 0.5}, "seed must be"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        bn.compress(bn.nn.mlp([64, 12, 10]), DIGITS.train, **options)
