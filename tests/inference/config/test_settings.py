"""Settings of a fit: each checked before any training, by name."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch

import bayesnas as bn

FIT = {"steps": 6, "batch_size": 8}


SETTINGS = [
    ("kl_weight", [-1, -1e-9, math.nan, math.inf, "1", None, True, 1j], "a finite number >= 0"),
    ("batch_size", [0, -3, 2.0, math.nan, "8", True], "a whole number >= 1"),
    ("steps", [0, -3, 2.5, "8", True], "a whole number >= 1"),
    ("lr", [0, 0.0, -1e-3, math.nan, math.inf, "x", True], "a finite number > 0"),
    ("clip", [0, -1.0, math.nan, math.inf, "x", True], "a finite number > 0"),
    ("restarts", [0, -1, 1.5, None, True], "a whole number >= 1"),
    ("seed", [-1, 0.5, None, "0", True, 2**63], "a whole number from 0"),
    ("checkpoint_every", [0, -1, 2.5, None], "a whole number >= 1"),
]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [(name, value, expected) for name, values, expected in SETTINGS for value in values],
)
def test_settings(refused, name, value, expected):
    refused(ValueError, f"{name} must be {expected}.*, got {value!r}", **{name: value})


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_epochs(refused, value):
    refused(ValueError, "epochs must be a whole number >= 1", epochs=value, steps=None)


def test_epochs_and_steps(refused):
    refused(ValueError, "either epochs or steps, got epochs=", epochs=2, steps=3)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_patience(refused, xy, value):
    refused(ValueError, "patience must be a whole number >= 1", patience=value, validation=xy)


def test_patience_without_validation(refused):
    refused(ValueError, "patience needs validation=", patience=3)


def test_numbers_of_numpy_are_numbers(net, xy, numbers, tmp_path):
    options = {"steps": 4, "batch_size": 8, "restarts": 2, "patience": 1, "seed": 3}
    given = {name: np.int64(value) for name, value in options.items()}
    given |= {"kl_weight": np.float32(0.5), "lr": np.float64(0.01), "clip": np.float32(0.25)}
    expected = bn.fit(net, xy, validation=xy, kl_weight=0.5, lr=0.01, clip=0.25, **options)
    assert numbers(bn.fit(net, xy, validation=xy, out=tmp_path / "run", **given)) == numbers(
        expected
    )
    assert bn.load(tmp_path / "run").settings == expected.settings


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", r"schedule must be one of \['constant', 'cosine'\]"),
        (None, "schedule must be one of"),
        (["cosine"], "schedule must be one of"),
        (lambda done: math.nan, "schedule must give a finite factor >= 0, got nan at 0"),
        (lambda done: -0.5, "schedule must give a finite factor >= 0, got -0.5"),
        (lambda done: "fast", "schedule must give a finite factor"),
    ],
)
def test_schedule(refused, schedule, message):
    refused(ValueError, message, schedule=schedule)


def test_schedule_that_breaks_on_the_way(net, xy):
    with pytest.raises(ValueError, match="finite factor >= 0, got -0.1 at 0.6"):
        bn.fit(net, xy, steps=10, schedule=lambda done: 1.0 if done < 0.55 else -0.1)


class Closing(torch.optim.SGD):
    def step(self, closure):
        return super().step(closure)


class Odd(torch.optim.SGD):
    def step(self, closure=None):
        self.state[self.param_groups[0]["params"][0]]["past"] = [object()]


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("adam", TypeError, "optimizer must make an optimiser .*got 'adam'"),
        (None, TypeError, "optimizer must make an optimiser"),
        (dict, ValueError, "optimizer must make an optimiser"),
        (lambda parameters, lr: 3, TypeError, r"torch\.optim\.Optimizer .*got int"),
        (torch.optim.LBFGS, TypeError, "got LBFGS, which calls a closure"),
        (Closing, TypeError, "got Closing, which calls a closure"),
        (
            functools.partial(torch.optim.Adam, betas=(1.2, 0.9)),
            ValueError,
            "optimizer must make an optimiser .*beta",
        ),
    ],
)
def test_optimizer(refused, optimizer, error, message):
    refused(error, message, optimizer=optimizer)


def test_optimizer_whose_state_no_checkpoint_holds(net, xy, tmp_path):
    with pytest.raises(ValueError, match="optimizer: a checkpoint .*got 'past' of Odd"):
        bn.fit(net, xy, optimizer=Odd, out=tmp_path / "run", **FIT)
    assert not (tmp_path / "run").exists()
    bn.fit(net, xy, optimizer=Odd, **FIT)  # without checkpoints it is the user's business


@pytest.mark.parametrize("device", ["cpu:x", "gpu", "meta", "mps", None, 1.5])
def test_device(refused, device):
    refused(ValueError, "device must be 'auto', 'cpu' or 'cuda', got", device=device)


def test_cuda_that_is_absent(refused, net, xy, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:1", torch.device("cuda")):
        refused(ValueError, r"got 'cuda.*', but torch finds no GPU", device=device)
    bn.fit(net, xy, device="auto", **FIT).save(tmp_path / "saved")
    with pytest.raises(ValueError, match="torch finds no GPU"):
        bn.load(tmp_path / "saved", device="cuda")


def test_cuda_device_that_is_absent(refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    refused(ValueError, "device must be below cuda:2, got 'cuda:2'", device="cuda:2")
