"""Temperature schedules: their ends, their middle, and bad arguments."""

from __future__ import annotations

import math

import pytest

from bayesnas.distributions import (
    constant_temperature,
    exponential_temperature,
    linear_temperature,
)


def test_linear_reaches_its_ends_and_stays():
    tau = linear_temperature(2.0, 0.5, 3)
    assert [tau(step) for step in (0, 1, 2, 3, 4)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.5])


def test_exponential_decays_to_its_floor():
    tau = exponential_temperature(2.0, 0.1, 0.5)
    assert tau(2) == pytest.approx(2.0 * math.exp(-1))
    assert tau(100) == 0.1


def test_constant_is_constant():
    assert {constant_temperature(0.7)(step) for step in (0, 5, 99)} == {0.7}


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_bad_temperatures_are_named(bad):
    for make in (
        lambda: constant_temperature(bad),
        lambda: linear_temperature(bad, 1.0, 5),
        lambda: linear_temperature(1.0, bad, 5),
        lambda: exponential_temperature(1.0, bad, 0.1),
    ):
        with pytest.raises(ValueError, match="temperature must be a finite number > 0"):
            make()


def test_bad_lengths_are_named():
    with pytest.raises(ValueError, match="steps must be"):
        linear_temperature(1.0, 0.5, 0)
    with pytest.raises(ValueError, match="rate must be"):
        exponential_temperature(1.0, 0.5, -1.0)
