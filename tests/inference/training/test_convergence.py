"""A fit says when its bound still rose at the end, and only then."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.training.convergence import unconverged

STEPS = 2000


def record(bound: torch.Tensor, noise: float) -> ChainRecord:
    """A history at λ = 2 whose KL is 10, of a bound."""
    generator = torch.Generator().manual_seed(0)
    noisy = bound + noise * torch.randn(len(bound), generator=generator)
    columns = [-noisy, noisy + 20.0, torch.full_like(bound, 10.0), torch.full_like(bound, 2.0)]
    return ChainRecord({}, torch.stack(columns, 1), [])


def settings(**given):
    plain = {"amortization": None, "patience": None, "bilevel": None, "kl_warmup": 0.0, "lr": 0.01}
    return SimpleNamespace(**plain | given)


def bound_of(share: float, steps: int = STEPS) -> torch.Tensor:
    """From −200 up to −100 at 0.7 of the steps, a share of it, linearly, between 0.5 and 0.7."""
    t = (torch.arange(steps) + 0.5) / steps
    before = -100 - 100 * share
    late = before + 100 * share * ((t - 0.5) / 0.2).clamp(max=1)
    return torch.where(t < 0.5, -200 + (before + 200) * (t / 0.4).clamp(max=1), late)


@pytest.mark.parametrize(
    ("share", "noise", "said"),
    [(0.0, 1.0, False), (0.03, 1.0, False), (0.2, 1.0, True), (0.2, 2000.0, False)],
)
def test_a_gain_that_goes_on_is_told(share, noise, said):
    message = unconverged([record(bound_of(share), noise)], settings())
    assert (message is not None) == said
    if message is not None:  # between the two stretches lie seven eighths of the slope
        (number,) = re.findall(r"converged: (\d+) %", message)
        assert 100 * share * 0.75 < int(number) <= 100 * share


def test_where_it_cannot_be_told_nothing_is_said():
    steep = record(bound_of(0.5), 1.0)
    assert unconverged([steep], settings()) is not None
    for given in ({"patience": 2}, {"bilevel": {}}, {"amortization": object()}, {"kl_warmup": 0.8}):
        assert unconverged([steep], settings(**given)) is None
    assert unconverged([record(bound_of(0.5, 100), 1.0)], settings()) is None


def test_a_trifle_is_not_told():
    t = torch.arange(STEPS) / STEPS
    assert unconverged([record(-100 + 0.2 * t, 1e-3)], settings()) is None


def test_after_a_warm_up_the_stretches_are_later():
    """Steep to 55 % of the steps and flat from there on."""
    t = torch.arange(STEPS) / STEPS
    bound = -100 * (1 + 5 * (0.55 - t).clamp(min=0))
    assert unconverged([record(bound, 0.1)], settings()) is not None
    assert unconverged([record(bound, 0.1)], settings(kl_warmup=0.5)) is None


@pytest.mark.parametrize(("lr", "said"), [(1e-4, True), (0.05, False)])
def test_a_fit_says_so(net, xy, caplog, lr, said):
    """A step of Adam is about lr: 400 of 1e-4 go nowhere near, 400 of 0.05 everywhere."""
    with caplog.at_level(logging.WARNING, "bayesnas"):
        bn.fit(net, xy, steps=400, lr=lr, schedule="constant", progress=False)
    assert ("not converged" in caplog.text) == said
