"""Checks of constructor arguments that more than one model shares."""

from __future__ import annotations

import re
import resource

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.models import checks


def test_the_estimate_is_that_of_values_gradients_and_moments(monkeypatch) -> None:
    """16 bytes of every float parameter; one byte too few is refused."""
    parameters = 7 * 3 + 3
    monkeypatch.setattr(checks, "available_memory", lambda: 16.0 * parameters)
    checks.check_memory("latents", 7, lambda k: [nn.Linear(k, 3)])
    monkeypatch.setattr(checks, "available_memory", lambda: 16.0 * parameters - 1)
    with pytest.raises(ValueError, match=r"latents=7 takes about 0 MiB"):
        checks.check_memory("latents", 7, lambda k: [nn.Linear(k, 3)])


@pytest.mark.parametrize("cls", [bn.models.ArdVae, bn.models.IndianBuffetVae])
@pytest.mark.parametrize("latents", [10**9, 10**17])
def test_more_latents_than_memory_holds_are_refused_before_any_is_made(cls, latents: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=rf"latents={latents} takes about .* MiB .* are free") as e:
        cls(784, latents=latents)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    size = re.search(r"about ([\d,]+) MiB", str(e.value))
    assert size is not None
    width = cls(784, latents=1).networks.first
    # The encoder's last layer has 2 or 3 outputs a latent, the decoder's first layer 1, or 2
    # with the scales of its posterior.
    exact = 16 * latents * 4 * width / 2**20
    assert int(size[1].replace(",", "")) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("cls", [bn.models.ArdVae, bn.models.IndianBuffetVae])
def test_the_estimate_counts_the_parameters_of_the_model(cls, monkeypatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(checks, "available_memory", lambda: seen.append(0.0) or 0.0)
    with pytest.raises(ValueError, match="takes about"):
        cls((1, 8, 8), latents=5000, network="convolution")
    assert seen
    monkeypatch.undo()
    model = cls((1, 8, 8), latents=50, network="convolution")
    weights = sum(p.numel() for p in model.parameters())
    monkeypatch.setattr(checks, "available_memory", lambda: 15.5 * weights)
    with pytest.raises(ValueError, match="takes about"):
        cls((1, 8, 8), latents=50, network="convolution")
    monkeypatch.setattr(checks, "available_memory", lambda: 16.5 * weights)
    cls((1, 8, 8), latents=50, network="convolution")


def test_available_memory_is_what_the_machine_has() -> None:
    total = torch.tensor(checks.available_memory())
    assert 2**24 < total < 2**50
