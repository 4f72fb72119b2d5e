"""Optimisers of all kinds: what a checkpoint holds of one is all that it needs to go on."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.optim.optimizer_state import optimizer_state, restore_optimizer
from bayesnas.inference.optim.optimizers import build_optimizer, try_out_optimizer
from bayesnas.tensor_files import read_tensors, write_tensors

_spec = importlib.util.spec_from_file_location(
    "killable_fits", Path(__file__).parents[2] / "scenarios" / "killable_fits.py"
)
assert _spec is not None
assert _spec.loader is not None
killable_fits = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(killable_fits)

OPTIMISERS = {
    "Adam": torch.optim.Adam,
    "Adam, not fused": functools.partial(torch.optim.Adam, fused=False),
    "AMSGrad": functools.partial(torch.optim.Adam, amsgrad=True, weight_decay=0.1),
    "AdamW": torch.optim.AdamW,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "Adamax": torch.optim.Adamax,
    "SGD": torch.optim.SGD,
    "Nesterov": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "RMSprop": functools.partial(torch.optim.RMSprop, momentum=0.5, centered=True),
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Adafactor": torch.optim.Adafactor,
    "ASGD": functools.partial(torch.optim.ASGD, t0=3),
    "Rprop": torch.optim.Rprop,
    "numbers, other types, groups": killable_fits.Accumulating,
    "two groups": lambda parameters, lr: torch.optim.Adam(
        [{"params": parameters[:1], "betas": (0.5, 0.9)}, {"params": parameters[1:]}], lr=lr
    ),
}


def parameters():
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(4))]


def take_steps(optimizer, values, count):
    for _ in range(count):
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        optimizer.zero_grad()
        sum((value.sin() * value).sum() for value in values).backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_goes_on_exactly(tmp_path, name):
    factory, unbroken = OPTIMISERS[name], parameters()
    before = build_optimizer(factory, unbroken, 0.05)
    take_steps(before, unbroken, 4)
    tensors, values = optimizer_state(before)
    write_tensors(tmp_path / "state", tensors, values)
    copies = [nn.Parameter(value.detach().clone()) for value in unbroken]
    random_state = torch.get_rng_state()
    take_steps(before, unbroken, 4)

    after = build_optimizer(factory, copies, 0.05)
    restore_optimizer(after, *read_tensors(tmp_path / "state"))
    torch.set_rng_state(random_state)
    take_steps(after, copies, 4)
    assert all(torch.equal(a, b) for a, b in zip(copies, unbroken, strict=True))
    for old, new in zip(unbroken, copies, strict=True):
        assert {k: type(v) for k, v in before.state[old].items()} == {
            k: type(v) for k, v in after.state[new].items()
        }
        for key, value in before.state[old].items():
            if isinstance(value, torch.Tensor):
                assert value.dtype == after.state[new][key].dtype
    for old, new in zip(before.param_groups, after.param_groups, strict=True):
        assert {k: v for k, v in old.items() if k != "params"} == {
            k: v for k, v in new.items() if k != "params"
        }


@pytest.mark.parametrize("name", OPTIMISERS)
def test_fit_goes_on_exactly(net, xy, numbers, tmp_path, name):
    options = {"steps": 9, "batch_size": 8, "lr": 0.02, "optimizer": OPTIMISERS[name]}

    def stop(event):
        if event.step == 6:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=tmp_path / "run", checkpoint_every=5, on_step=stop, **options)
    seen = []
    post = bn.fit(
        net, xy, out=tmp_path / "run", resume=True, checkpoint_every=5, **options,
        on_step=lambda event: seen.append(event.step),
    )  # fmt: skip
    assert seen == [6, 7, 8, 9]
    assert numbers(post) == numbers(bn.fit(net, xy, **options))


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (torch.optim.Adam, "Adam"),
        (functools.partial(torch.optim.Adam, betas=(0.9, 0.99)), "Adam(betas=(0.9, 0.99))"),
        (lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.5), "SGD(momentum=0.5)"),
        (functools.partial(torch.optim.SGD, momentum=0), "SGD"),
        (torch.optim.AdamW, "AdamW"),
        (OPTIMISERS["Nesterov"], "SGD(momentum=0.9, nesterov=True)"),
    ],
)
def test_description(factory, expected):
    assert try_out_optimizer(factory, parameters(), 0.1, saved=True) == expected


def test_description_stands_in_the_settings(net, xy):
    post = bn.fit(net, xy, steps=2, optimizer=OPTIMISERS["Nesterov"])
    assert post.settings.optimizer == "SGD(momentum=0.9, nesterov=True)"


@pytest.mark.parametrize("name", OPTIMISERS)
def test_trying_out_changes_nothing(name):
    values, state = parameters(), torch.get_rng_state()
    before = [value.detach().clone() for value in values]
    try_out_optimizer(OPTIMISERS[name], values, 0.1, saved=True)
    assert all(torch.equal(a, b) for a, b in zip(values, before, strict=True))
    assert all(value.grad is None for value in values)
    assert torch.equal(torch.get_rng_state(), state)
