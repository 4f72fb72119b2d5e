"""Optimal Brain Surgeon against least squares on the weights that are left."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayesnas.pruning.criteria.surgeon import surgeon


@pytest.fixture
def regression():
    random = np.random.default_rng(5)
    x = random.normal(size=(40, 12))
    x[:, 1] = x[:, 0] + 0.3 * random.normal(size=40)
    y = x @ random.normal(size=12) + random.normal(size=40)
    return x, y, np.linalg.lstsq(x, y, rcond=None)[0]


def squares(x, y, w):
    return 0.5 * np.sum((y - x @ w) ** 2)


def run(x, w, count, removable=None):
    free = torch.ones(len(w), dtype=torch.bool) if removable is None else torch.tensor(removable)
    order, left = surgeon(torch.tensor(w), torch.tensor(x.T @ x), free, count)
    return order.tolist(), left.numpy()


@pytest.mark.parametrize("count", [0, 1, 5, 11, 12])
def test_what_stays_is_the_least_squares_fit_on_it(regression, count):
    x, y, w = regression
    order, left = run(x, w, count)
    assert len(set(order)) == count
    stay = [index for index in range(12) if index not in order]
    expected = np.zeros(12)
    if stay:
        expected[stay] = np.linalg.lstsq(x[:, stay], y, rcond=None)[0]
    np.testing.assert_allclose(left, expected, atol=1e-10)
    assert (left[order] == 0).all()


def test_every_step_takes_the_cheapest_weight(regression):
    x, y, w = regression
    order, _ = run(x, w, 12)
    gone = []
    for chosen in order:
        costs = {}
        for index in set(range(12)) - set(gone):
            stay = [i for i in range(12) if i not in (*gone, index)]
            fit = np.zeros(12)
            if stay:
                fit[stay] = np.linalg.lstsq(x[:, stay], y, rcond=None)[0]
            costs[index] = squares(x, y, fit)
        assert chosen == min(costs, key=costs.get)
        gone.append(chosen)


def test_weights_that_may_not_go_are_moved_and_stay(regression):
    x, y, w = regression
    order, left = run(x, w, 10, [index not in (0, 4) for index in range(12)])
    assert {0, 4}.isdisjoint(order)
    expected = np.linalg.lstsq(x[:, [0, 4]], y, rcond=None)[0]
    np.testing.assert_allclose(left[[0, 4]], expected, atol=1e-10)


def test_of_a_diagonal_curvature_it_is_optimal_brain_damage():
    w = torch.tensor([3.0, 1.0, -2.0, 0.5], dtype=torch.float64)
    h = torch.tensor([0.1, 4.0, 1.0, 9.0], dtype=torch.float64)
    order, left = surgeon(w, torch.diag(h), torch.ones(4).bool(), 2)
    assert order.tolist() == (h * w.square()).argsort()[:2].tolist()
    assert left[order].tolist() == [0.0, 0.0]
    assert left.sort().values.tolist() == [-2.0, 0.0, 0.0, 1.0]


def test_a_singular_curvature_is_named():
    with pytest.raises(ValueError, match="must be positive definite: weights that the loss does"):
        surgeon(torch.ones(2), -torch.eye(2), torch.ones(2).bool(), 1)
