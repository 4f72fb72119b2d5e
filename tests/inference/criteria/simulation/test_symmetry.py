"""Tests of symmetry and uniformity, beside all sign patterns and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import kstest

from bayesnas.inference.criteria.simulation.symmetry import symmetry_test, uniformity_test


def distance(p):
    """The statistic as it is defined: of p and 1 − p, the largest difference of their CDFs."""
    at = np.r_[p, 1 - p, np.nextafter(p, 0), np.nextafter(1 - p, 0)]
    below = (p[None] <= at[:, None]).mean(1)
    mirrored = (1 - p[None] <= at[:, None]).mean(1)
    return np.abs(below - mirrored).max()


@pytest.mark.parametrize("seed", range(4))
def test_symmetry_is_that_of_all_sign_patterns(seed):
    # A power above one pushes all to the left, so that some are extreme.
    p = np.random.default_rng(seed).uniform(size=9) ** (1 + seed)
    reference = [
        distance(0.5 + np.abs(p - 0.5) * np.array(signs))
        for signs in itertools.product([-1, 1], repeat=len(p))
    ]
    expected = np.mean(np.array(reference) >= distance(p) - 1e-9)
    assert symmetry_test(p) == pytest.approx(expected, abs=1e-12)


def test_one_column_at_a_time():
    p = np.random.default_rng(0).uniform(size=(30, 2, 3))
    for test in (symmetry_test, uniformity_test):
        p_value = test(p)
        assert p_value.shape == (2, 3)
        assert p_value[1, 2] == test(p[:, 1, 2])


def test_p_values_of_many_simulations_do_not_vanish_in_rounding():
    assert symmetry_test(np.full(60, 0.9) - np.arange(60) / 1e3) == 2.0**-59
    assert symmetry_test(np.full(7, 0.5)) == 1.0


def test_uniformity_is_that_of_scipy():
    rng = np.random.default_rng(1)
    for p in (rng.uniform(size=50), rng.beta(0.5, 0.5, size=50), rng.uniform(size=50) / 2):
        assert uniformity_test(p) == pytest.approx(kstest(p, "uniform").pvalue, rel=1e-6)
