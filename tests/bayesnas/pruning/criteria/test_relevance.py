"""Belsley's diagnostics by sums, and on features that say the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayesnas.pruning.criteria.relevance import relevance_order, variance_shares


@pytest.fixture
def precision():
    """Of four weights, the first and third of almost equal features."""
    random = np.random.default_rng(2)
    x = random.normal(size=(60, 4))
    x[:, 2] = x[:, 0] + 0.05 * random.normal(size=60)
    return torch.tensor(x.T @ x + 0.1 * np.eye(4))


def test_shares_are_those_of_the_variances(precision):
    eta, shares = variance_shares(precision)
    values, vectors = np.linalg.eigh(precision.numpy())
    covariance = np.linalg.inv(precision.numpy())
    for i in range(4):
        parts = [vectors[i, j] ** 2 / values[j] for j in range(4)]
        assert sum(parts) == pytest.approx(covariance[i, i])
        np.testing.assert_allclose(shares[i], np.array(parts) / covariance[i, i], atol=1e-12)
    np.testing.assert_allclose(eta, values[-1] / values)


def test_one_of_two_weights_that_say_the_same_goes_first_and_not_the_other(precision):
    order = relevance_order(precision, torch.ones(4).bool()).tolist()
    assert order[0] in (0, 2)
    assert order[1] in (1, 3)
    assert sorted(order) == [0, 1, 2, 3]


def test_weights_that_may_not_go_are_left_out(precision):
    order = relevance_order(precision, torch.tensor([False, True, True, False])).tolist()
    assert order[0] == 2
    assert sorted(order) == [1, 2]


def test_a_precision_that_is_none_is_named():
    with pytest.raises(ValueError, match="must be positive definite, got the eigenvalue -1"):
        variance_shares(-torch.eye(3))
