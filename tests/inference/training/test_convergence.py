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
    for given in ({"patience": 2}, {"bilevel": {}}, {"kl_warmup": 0.8}):
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


def along(shares: tuple[float, float, float], noise: float = 0.02, steps: int = STEPS):
    """A history of λ from 0.1 to 100 where each decade gains its share late, as ``bound_of``."""
    generator = torch.Generator().manual_seed(1)
    kl_weight = 10 ** (3 * torch.rand(steps, generator=generator) - 1)
    decade = kl_weight.log10().add(1).floor().clamp(0, 2).long()
    each = torch.stack([(bound_of(share, steps) + 200) / 100 for share in shares])
    gained = each[decade, torch.arange(steps)]  # from 0 to 1
    noisy = 1 + noise * torch.randn(steps, generator=generator)
    expected, kl = -3000 + 2700 * gained * noisy, 1000 - 900 * gained * noisy / (1 + 1 / kl_weight)
    columns = [kl_weight * kl - expected, expected, kl, kl_weight]
    return ChainRecord({}, torch.stack(columns, 1), [])


SPAN = SimpleNamespace(span=SimpleNamespace(low=0.1, high=100.0))


@pytest.mark.parametrize(
    ("shares", "where"),
    [
        ((0.0, 0.0, 0.0), None),
        ((0.03, 0.03, 0.03), None),
        ((0.0, 0.0, 0.3), "10…100"),
        ((0.3, 0.0, 0.0), "0.1…1"),
        ((0.3, 0.0, 0.3), "0.1…1 and 10…100"),
        ((0.3, 0.3, 0.3), "0.1…100"),
    ],
)
def test_of_a_fit_over_a_range_it_is_told_at_which_kl_weights(shares, where):
    for steps in (STEPS, 400):
        message = unconverged([along(shares, steps=steps)], settings(amortization=SPAN))
        if where is None:
            assert message is None
        else:
            assert message.startswith(f"not converged: at λ = {where}, ")
            (number,) = re.findall(r", (\d+) % of what", message)
            assert 15 <= int(number) <= 40


def test_noise_is_no_rise_and_the_history_alone_tells_the_range():
    assert unconverged([along((0.0, 0.0, 0.3), noise=1.0)], settings(amortization=SPAN)) is None
    message = unconverged([along((0.0, 0.0, 0.3))], settings())
    assert message is not None
    assert re.search(r"at λ = (9\.9\d?|10(\.\d)?)…(99\.\d|100), ", message)


@pytest.mark.parametrize(("lr", "said"), [(1e-3, True), (0.1, False)])
def test_a_fit_over_a_range_says_so(net, xy, caplog, lr, said):
    """Of every weight ln σ has to go from ln 0.01 or so up to that of the prior."""
    with caplog.at_level(logging.WARNING, "bayesnas"):
        post = bn.fit(net, xy, kl_weight=bn.LogUniform(0.1, 10), steps=600, lr=lr, progress=False)
    assert ("not converged: at λ = " in caplog.text) == said
    at_one = post.at(1.0)
    assert (unconverged(at_one.records(), at_one.settings) is not None) == said


@pytest.mark.parametrize(("lr", "said"), [(1e-4, True), (0.05, False)])
def test_a_fit_says_so(net, xy, caplog, lr, said):
    """A step of Adam is about lr: 400 of 1e-4 go nowhere near, 400 of 0.05 everywhere."""
    with caplog.at_level(logging.WARNING, "bayesnas"):
        bn.fit(net, xy, steps=400, lr=lr, schedule="constant", progress=False)
    assert ("not converged" in caplog.text) == said
