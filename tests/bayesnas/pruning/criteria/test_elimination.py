"""Removals against least squares, exact evidences and posteriors of what is left."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from bayesnas.pruning.criteria.elimination import conditional_mean, elimination_order

NOISE = 0.7


@pytest.fixture
def regression():
    random = np.random.default_rng(5)
    x = random.normal(size=(40, 12))
    x[:, 1] = x[:, 0] + 0.3 * random.normal(size=40)
    y = x @ random.normal(size=12) + random.normal(size=40)
    return x, y, np.linalg.lstsq(x, y, rcond=None)[0]


def squares(x, y, w):
    return 0.5 * np.sum((y - x @ w) ** 2)


def singles(places):
    return torch.tensor(list(places))[:, None]


def run(x, w, count, removable=None):
    """So many removals by Optimal Brain Surgeon, and the weights after them."""
    places = range(len(w)) if removable is None else np.flatnonzero(removable)
    curvature = torch.tensor(x.T @ x)
    order = elimination_order(torch.tensor(w), curvature, singles(places))[0]
    gone = [int(list(places)[at]) for at in order[:count]]
    removed = torch.zeros(len(w), dtype=torch.bool)
    removed[gone] = True
    return gone, conditional_mean(torch.tensor(w), curvature, removed).numpy()


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
    order, gains = elimination_order(w, torch.diag(h), singles(range(4)))
    saliency = 0.5 * h * w.square()
    assert order.tolist() == saliency.argsort().tolist()
    torch.testing.assert_close(-gains, saliency.sort().values)
    left = conditional_mean(w, torch.diag(h), torch.tensor([False, True, False, True]))
    assert left.tolist() == [3.0, 0.0, -2.0, 0.0]


def test_a_singular_curvature_is_named():
    with pytest.raises(ValueError, match="must be positive definite: weights that the loss does"):
        elimination_order(torch.ones(2), -torch.eye(2), singles(range(2)))


# Bayesian model reduction ------------------------------------------------------------------------


@pytest.fixture
def conjugate():
    """x, y, prior deviations, and mean and precision of the exact posterior of y = x w + noise."""
    random = np.random.Generator(np.random.PCG64(4))
    x = random.normal(size=(25, 6))
    x[:, 3] += 0.9 * x[:, 0]
    x[:, 5] -= 0.8 * x[:, 1]
    weights = np.array([1.5, 0.0, 0.05, -0.4, 0.3, 0.2])
    y = x @ weights + NOISE * random.normal(size=25)
    prior = np.array([1.0, 0.5, 2.0, 1.3, 0.8, 1.1])
    return x, y, prior, *exact_posterior(x, y, prior)


def exact_posterior(x, y, prior):
    precision = x.T @ x / NOISE**2 + np.diag(prior**-2.0)
    return np.linalg.solve(precision, x.T @ y) / NOISE**2, precision


def log_evidence(x, y, prior):
    """ln N(y; 0, σ² I + x diag(s²) xᵀ), the weights integrated out."""
    covariance = NOISE**2 * np.eye(len(y)) + x * prior**2 @ x.T
    return stats.multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)


def subsets(count):
    return itertools.chain.from_iterable(
        itertools.combinations(range(count), size) for size in range(1, count + 1)
    )


def test_the_gain_of_every_subset_is_the_difference_of_two_exact_evidences(conjugate):
    x, y, prior, mean, precision = conjugate
    whole = log_evidence(x, y, prior)
    for gone in subsets(6):
        stay = [i for i in range(6) if i not in gone]
        _, gains = elimination_order(
            torch.tensor(mean),
            torch.tensor(precision),
            torch.tensor([gone]),
            torch.tensor(prior**-2.0),
        )
        expected = log_evidence(x[:, stay], y, prior[stay]) - whole
        assert gains.item() == pytest.approx(expected, abs=1e-8)


def test_what_stays_has_the_exact_posterior_of_the_smaller_model(conjugate):
    x, y, prior, mean, precision = conjugate
    for gone in subsets(6):
        stay = [i for i in range(6) if i not in gone]
        removed = torch.tensor([i in gone for i in range(6)])
        left = conditional_mean(torch.tensor(mean), torch.tensor(precision), removed).numpy()
        smaller_mean, smaller_precision = exact_posterior(x[:, stay], y, prior[stay])
        np.testing.assert_allclose(left[stay], smaller_mean, atol=1e-8)
        np.testing.assert_allclose(precision[np.ix_(stay, stay)], smaller_precision, atol=1e-8)
        assert (left[list(gone)] == 0).all()


@pytest.mark.parametrize("groups", [[[0], [1], [2], [3], [4], [5]], [[0, 3], [1, -1], [2, 5]]])
def test_every_step_takes_what_leaves_the_largest_evidence(conjugate, groups):
    """Single weights, and groups of which one has fewer members."""
    x, y, prior, mean, precision = conjugate
    order, gains = elimination_order(
        torch.tensor(mean),
        torch.tensor(precision),
        torch.tensor(groups),
        torch.tensor(prior**-2.0),
    )
    stay, before = list(range(6)), log_evidence(x, y, prior)
    for step, chosen in enumerate(order.tolist()):
        left = {
            other: [i for i in stay if i not in groups[other]] for other in order.tolist()[step:]
        }
        evidences = {o: log_evidence(x[:, rest], y, prior[rest]) for o, rest in left.items()}
        assert chosen == max(evidences, key=evidences.get)
        assert gains[step].item() == pytest.approx(evidences[chosen] - before, abs=1e-8)
        stay, before = left[chosen], evidences[chosen]
    assert sorted(order.tolist()) == list(range(len(groups)))


@pytest.mark.parametrize("members", [1, 3])
def test_many_removals_are_those_of_the_plain_recursion(members):
    """More than wait before the covariance is brought up to date, three times over."""
    random = np.random.Generator(np.random.PCG64(7))
    x = random.normal(size=(400, 210))
    precision, mean = x.T @ x / 400 + 0.1 * np.eye(210), random.normal(size=210)
    groups = random.permutation(210).reshape(-1, members)
    prior = random.uniform(0.5, 2.0, size=210)
    order, gains = elimination_order(
        *(torch.tensor(each) for each in (mean, precision, groups, prior))
    )
    covariance, mu, free = np.linalg.inv(precision), mean.copy(), set(range(len(groups)))
    for step, gain in enumerate(gains.tolist()):
        expected = {}
        for group in free:
            at = groups[group]
            block = covariance[np.ix_(at, at)]
            square = mu[at] @ np.linalg.solve(block, mu[at])
            log_det = np.linalg.slogdet(block)[1] + np.log(prior[at]).sum()
            expected[group] = -0.5 * (square + log_det)
        chosen = max(expected, key=expected.get)
        assert int(order[step]) == chosen
        assert gain == pytest.approx(expected[chosen], rel=1e-9, abs=1e-9)
        at = groups[chosen]
        weights = covariance[:, at] @ np.linalg.inv(covariance[np.ix_(at, at)])
        mu, covariance = mu - weights @ mu[at], covariance - weights @ covariance[at]
        free.remove(chosen)
