"""Multiply–adds against those of the formulas; latencies with a clock that the networks move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow(nn.Module):
    """Takes as long as it is told, pass by pass, and notes when it ran."""

    def __init__(self, clock: Clock, name: str, seconds: list[float], ran: list[str]) -> None:
        super().__init__()
        self.clock, self.name, self.seconds, self.ran = clock, name, list(seconds), ran

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.ran.append(self.name)
        self.clock.now += self.seconds.pop(0)
        return x


def test_a_latency_is_the_median_of_interleaved_passes_after_the_warm_up():
    clock, ran = Clock(), []
    # The machine is busy in the third round that counts: both networks take ten times as long.
    first = Slow(clock, "a", [9.0, 8.0, 1.0, 1.0, 10.0, 1.5, 0.5], ran)
    second = Slow(clock, "b", [0.0, 0.0, 2.0, 2.0, 20.0, 3.0, 1.0], ran)
    latencies = bn.nn.latencies(
        {"a": first, "b": second}, torch.ones(1, 2), repeats=5, warm_up=2, clock=clock
    )
    assert latencies == {"a": 1.0, "b": 2.0}
    assert ran == ["a", "b"] * 7
    assert first.training
    assert second.training


def test_times_need_a_repeat():
    with pytest.raises(ValueError, match="repeats must be a whole number >= 1, got 0"):
        bn.nn.latencies({"a": nn.Linear(2, 2)}, torch.ones(1, 2), repeats=0)
    with pytest.raises(ValueError, match="warm_up must be a whole number >= 0, got -1"):
        bn.nn.latencies({"a": nn.Linear(2, 2)}, torch.ones(1, 2), warm_up=-1)


def test_multiply_adds_of_a_convolution_and_a_layer():
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten())
    net.append(nn.Linear(4 * 6 * 5, 7))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert bn.nn.multiply_adds(net, torch.ones(3, 2, 6, 5)) == 6 * 5 * 4 * 2 * 9 + 4 * 6 * 5 * 7
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
