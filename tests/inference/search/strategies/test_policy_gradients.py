"""REINFORCE against the derivative of expectations that are enumerated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bayesnas.inference.search import Categorical, SearchSpace
from bayesnas.inference.search.strategies.budgeted import Budgeted
from bayesnas.inference.search.strategies.policies import Controller, IndependentPolicy
from bayesnas.inference.search.strategies.policy_gradients import (
    LogRank,
    MovingBaseline,
    surrogate,
)
from bayesnas.inference.search.strategies.reinforce import Reinforce

SIZES = [2, 3, 2]
EVERY = torch.cartesian_prod(*(torch.arange(size) for size in SIZES))


def independent() -> IndependentPolicy:
    policy = IndependentPolicy(SIZES).double()
    policy.free.data = torch.randn(3, 3, dtype=torch.float64)
    return policy


def recurrent() -> Controller:
    return Controller(SIZES, hidden=5, temperature=0.2, tanh_constant=2.5, seed=1).double()


def gradients(value, policy):
    by_parameter = torch.autograd.grad(value, list(policy.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in by_parameter if g is not None])


@pytest.mark.parametrize("make", [independent, recurrent])
def test_the_expected_gradient_is_that_of_the_expectation(make):
    """Σ π(a) ∇ surrogate(a) = ∇ Σ π(a) s(a), whatever the baseline."""
    policy, scores = make(), torch.randn(len(EVERY), dtype=torch.float64)
    exact = gradients((policy(EVERY)[0].exp() * scores).sum(), policy)
    weights = policy(EVERY)[0].exp().detach()
    assert torch.isclose(weights.sum(), torch.tensor(1.0, dtype=torch.float64))
    terms = [
        weight * surrogate(policy, string[None], score[None] - 0.7)
        for weight, string, score in zip(weights, EVERY, scores, strict=True)
    ]
    torch.testing.assert_close(gradients(torch.stack(terms).sum(), policy), exact)


def test_the_mean_of_the_entropies_is_the_entropy():
    policy = recurrent()
    logs, entropies = policy(EVERY)
    assert torch.isclose((logs.exp() * entropies).sum(), -(logs.exp() * logs).sum())


def test_draws_have_the_probabilities_of_the_policy():
    policy, draws = recurrent(), 30_000
    strings = policy.sample(np.random.default_rng(0).random((draws, 3)))
    numbers = strings @ torch.tensor([6, 2, 1])
    shares = torch.bincount(numbers, minlength=len(EVERY)) / draws
    expected = policy(EVERY)[0].exp().detach()
    errors = (expected * (1 - expected) / draws).sqrt()
    assert ((shares - expected).abs() < 5.5 * errors).all()


def test_the_tanh_constant_bounds_the_odds():
    """Logits in (−2.5, 2.5): no probability ratio above e⁵, also for large weights."""
    policy = recurrent()
    policy.heads.data *= 1e4
    logs = policy.log_probabilities(EVERY)
    finite = logs.masked_fill(logs == -math.inf, math.nan)
    spread = np.nanmax(finite.detach(), -1) - np.nanmin(finite.detach(), -1)
    assert spread.max() <= 5 + 1e-9
    assert spread.max() > 4.9


def test_a_moving_baseline_by_hand():
    baseline = MovingBaseline(0.75)
    assert [baseline.excess(2.0), baseline.update(2.0), baseline.excess(4.0)] == [0, 2, 2]
    assert [baseline.update(4.0), baseline.excess(0.5)] == [2.5, -2.0]


def test_log_ranks_are_exponential_whatever_the_scale():
    """Of 4000 scores that are alike distributed: mean −1 and variance 1, within 5.5 errors.

    The fourth moment of an exponential about its mean is 9: the variance has an error √(8/n).
    """
    ranks, count = LogRank(), 4000
    shaped = [ranks(score) for score in np.exp(5 * np.random.default_rng(0).normal(size=count))]
    assert abs(np.mean(shaped) + 1) < 5.5 / math.sqrt(count) + 0.02  # early ranks are coarse
    assert abs(np.var(shaped) - 1) < 5.5 * math.sqrt(8 / count) + 0.02


def test_log_ranks_by_hand():
    ranks = LogRank()
    assert [math.exp(ranks(score)) for score in (2.0, 1.0, 3.0, 1.0)] == pytest.approx(
        [1 / 2, 1 / 4, 5 / 6, 1 / 4]
    )


def test_a_step_of_the_controller_is_adam_on_the_surrogate(search_space):
    """Two candidates, one step: the same as by hand from a controller of the same seed."""
    options = {"batch": 2, "lr": 0.1, "entropy_weight": 0.3, "shaping": "none"}
    search, other = (Reinforce(search_space, seed=5, **options) for _ in range(2))
    search.tell({"a": 1, "b": 0, "c": 2}, [3.0])
    search.tell({"a": 2, "b": 1, "c": 0}, [5.0])
    strings, losses = torch.tensor([[1, 0, 2], [2, 1, 0]]), torch.tensor([0.0, 2.0])
    optimizer = torch.optim.Adam(other.controller.parameters(), lr=0.1)
    logs, entropies = other.controller(strings)
    ((losses * logs).mean() - 0.3 * entropies.mean()).backward()
    optimizer.step()
    pairs = zip(search.controller.parameters(), other.controller.parameters(), strict=True)
    assert all(torch.allclose(one, two) for one, two in pairs)


def test_a_budget_is_met_where_every_edge_pays():
    """Loss 4 − kept at a budget of 1 of 4 edges: E C falls from 2; with a wide budget it is 4.

    Over 16 seeds the first is 0.78 ± 0.13.
    """
    space = SearchSpace({name: Categorical((0, 1)) for name in "abcd"})
    kept = {}
    for budget in (1.0, 8.0):
        search = Budgeted(space, budget=budget, cost_weight=4.0, shaping="none")
        expected = []
        for _ in range(300):
            candidate = search.ask()
            cost = sum(candidate.values())
            search.tell(candidate, [4.0 - cost, cost])
            expected.append(search.policy.probabilities[:, 1].sum().item())
        kept[budget] = sum(expected[-150:]) / 150
    assert 0.05 < kept[1.0] < 1.5
    assert kept[8.0] > 3.8


def test_budgets_and_scores_that_do_not_go_together(search_space):
    candidate = {"a": 0, "b": 0, "c": 0}
    with pytest.raises(ValueError, match="with a budget takes a loss and a cost, got 1 scores"):
        Budgeted(search_space, budget=1.0).tell(candidate, [0.5])
    with pytest.raises(ValueError, match="takes one objective, got 2"):
        Budgeted(search_space).tell(candidate, [0.5, 1.0])
    with pytest.raises(ValueError, match="budget must be a finite number > 0"):
        Budgeted(search_space, budget=0.0)
