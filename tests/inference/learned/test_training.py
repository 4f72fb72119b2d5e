"""Unrolled gradients against closed forms and finite differences, and what training refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bayesnas.inference.bilevel.derivatives import gradient
from bayesnas.inference.learned.evaluation import loss_curves
from bayesnas.inference.learned.optimizer import LearnedOptimizer
from bayesnas.inference.learned.rules import AdamRule, LstmRule, MomentumRule
from bayesnas.inference.learned.tasks.base import Drawn, TaskFamily
from bayesnas.inference.learned.tasks.quadratics import Quadratics
from bayesnas.inference.learned.training import Window, learn_optimizer
from bayesnas.runtime.random_state import derived_seed

CURVATURE, START, STEPS = 0.7, 1.5, 6


class OneParabola(TaskFamily):
    """f(θ) = ½ a θ², from θ₀."""

    def draw(self, count: int, seed: int) -> Drawn:
        start = torch.full((count, 1), START, dtype=torch.float64)
        return Drawn(start, lambda theta, step: CURVATURE * theta[:, 0].square() / 2)

    def config(self) -> dict[str, object]:
        return {"tasks": "parabola"}


def rate_rule(rate: float) -> MomentumRule:
    rule = MomentumRule(rate).double()
    rule.log_rate.data = torch.tensor(math.log(rate), dtype=torch.float64)
    return rule


def unrolled(rule, drawn, lengths, **options) -> tuple[float, list[Tensor]]:
    """Mean loss over windows of some lengths one after another, and the gradient by φ."""
    window = Window(rule, options.pop("second", True), options.pop("coordinates", None), seed=0)
    theta, state, first = drawn.start, rule.start(drawn.start), 0
    trained = [value for value in rule.parameters() if value.requires_grad]
    loss, slopes = 0.0, [torch.zeros_like(value) for value in trained]
    for length in lengths:
        curves, theta, state = window.take(drawn, theta, state, first, length)
        share = length / sum(lengths)
        loss += share * float(curves.detach())
        parts = gradient(curves, trained)
        slopes = [a + share * b for a, b in zip(slopes, parts, strict=True)]
        first += length
    return loss, slopes


def closed_form(rate: float) -> tuple[float, float]:
    """Mean over t = 1…T of ½aθ₀²(1 − ηa)^{2t}, and its derivative by ln η."""
    power = 1 - rate * CURVATURE
    scale = CURVATURE * START**2 / 2 / STEPS
    loss = scale * sum(power ** (2 * t) for t in range(1, STEPS + 1))
    slope = scale * sum(-2 * t * CURVATURE * power ** (2 * t - 1) for t in range(1, STEPS + 1))
    return loss, rate * slope


@pytest.mark.parametrize("rate", [0.05, 0.6, 1.3, 2.0])
def test_loss_and_gradient_of_a_learned_rate_are_the_closed_form(rate):
    drawn = OneParabola().draw(3, seed=0)
    loss, slopes = unrolled(rate_rule(rate), drawn, [STEPS])
    expected, slope = closed_form(rate)
    assert math.isclose(loss, expected, rel_tol=1e-12)
    assert math.isclose(float(slopes[0]), slope, rel_tol=1e-10)


@pytest.mark.parametrize("layers", [1, 2])
def test_unrolled_gradients_are_finite_differences(layers):
    torch.manual_seed(0)
    rule = LstmRule(layers=layers, units=5).double()
    drawn = Quadratics(4, dtype=torch.float64).draw(3, seed=1)
    _, slopes = unrolled(rule, drawn, [STEPS])
    values = list(rule.parameters())
    directions = [torch.randn_like(value) for value in values]
    step, ends = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            for value, direction in zip(values, directions, strict=True):
                value += sign * step * direction
        ends.append(unrolled(rule, drawn, [STEPS])[0])
        with torch.no_grad():
            for value, direction in zip(values, directions, strict=True):
                value -= sign * step * direction
    difference = (ends[0] - ends[1]) / (2 * step)
    along = sum(float((a * b).sum()) for a, b in zip(slopes, directions, strict=True))
    assert math.isclose(along, difference, rel_tol=1e-6)


def noisy(curvatures: list[float]) -> Drawn:
    """One task of several coordinates of other curvatures: no single η is best for all steps."""
    diagonal = torch.tensor(curvatures, dtype=torch.float64)
    start = torch.full((1, len(curvatures)), START, dtype=torch.float64)
    return Drawn(start, lambda theta, step: (diagonal * theta.square()).sum(1) / 2)


def test_truncation_lowers_the_learned_rate():
    # Few steps gain by the steep coordinate alone, of the smallest best rate; many by the flat one.
    drawn = noisy([1.0, 0.05])

    def best(lengths):
        low, high = 1e-3, 1.999
        for _ in range(25):
            middle = math.sqrt(low * high)
            slope = float(unrolled(rate_rule(middle), drawn, lengths)[1][0])
            low, high = (middle, high) if slope < 0 else (low, middle)
        return low

    rates = [best(lengths) for lengths in ([1] * 20, [5] * 4, [20])]
    assert rates == sorted(rates)
    assert rates[0] < 0.95 * rates[-1]


def test_without_second_derivatives_a_gradient_is_constant():
    # Then dθ_t/dη = −Σ_{s<t} ∇f(θ_s): no factor of the curvature between the steps.
    rate, drawn = 0.5, OneParabola().draw(1, seed=0)
    _, slopes = unrolled(rate_rule(rate), drawn, [STEPS], second=False)
    thetas = [START * (1 - rate * CURVATURE) ** t for t in range(STEPS + 1)]
    moved = [-CURVATURE * sum(thetas[:t]) for t in range(STEPS + 1)]
    expected = rate * sum(CURVATURE * thetas[t] * moved[t] for t in range(1, STEPS + 1)) / STEPS
    assert math.isclose(float(slopes[0]), expected, rel_tol=1e-10)
    assert not math.isclose(float(slopes[0]), closed_form(rate)[1], rel_tol=0.1)


def test_gradients_of_some_coordinates_add_up_to_that_of_all():
    torch.manual_seed(0)
    rule, width = LstmRule(units=4).double(), 4
    drawn = Quadratics(width, dtype=torch.float64).draw(2, seed=1)
    _, whole = unrolled(rule, drawn, [STEPS], second=False)
    window = Window(rule, False, 1, seed=0)  # of one coordinate, each of the four once
    order, parts = iter(range(width)), []
    window_some = lambda *args, **options: torch.tensor([next(order)])  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randperm", window_some)
        for _ in range(width):
            loss, theta, _ = window.take(drawn, drawn.start, rule.start(drawn.start), 0, STEPS)
            parts.append(gradient(loss, list(rule.parameters())))
    for index, expected in enumerate(whole):
        mean = torch.stack([part[index] for part in parts]).mean(0)
        torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-12)
    plain = Window(rule, False, None, seed=0)
    torch.testing.assert_close(
        theta, plain.take(drawn, drawn.start, rule.start(drawn.start), 0, STEPS)[1]
    )


def test_training_lowers_the_loss_and_keeps_the_best():
    options = {"steps": 10, "unroll": 10, "rounds": 10, "batch": 8, "lr": 0.02, "validation": 10}
    tasks = Quadratics(2)
    learned = learn_optimizer(tasks, progress=False, **options)
    losses = learned.training["validation"]
    assert len(losses) == 6
    assert min(losses) < losses[0]
    kept = loss_curves(learned, tasks, steps=10, count=10, seed=derived_seed(0, 2))
    assert math.isclose(float(kept[-1].mean()), min(losses), rel_tol=1e-5)
    again = learn_optimizer(tasks, progress=False, **options)
    assert again.rule.fingerprint() == learned.rule.fingerprint()
    other = learn_optimizer(tasks, progress=False, seed=1, **options)
    assert other.rule.fingerprint() != learned.rule.fingerprint()


def test_a_window_longer_than_the_task_is_cut():
    learned = learn_optimizer(
        Quadratics(2), rule=MomentumRule(), steps=5, unroll=3, rounds=2, validation=1
    )
    assert learned.training["unroll"] == 3


class NoGradient(OneParabola):
    def draw(self, count: int, seed: int) -> Drawn:
        start = torch.ones(count, 1)
        return Drawn(start, lambda theta, step: theta.detach().sum(1).round())


class WholeNumbers(OneParabola):
    def draw(self, count: int, seed: int) -> Drawn:
        return Drawn(torch.ones(count, 1, dtype=torch.long), lambda theta, step: theta.sum(1))


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        (Quadratics(2), {"steps": 10, "unroll": 20}, "unroll must be at most steps=10"),
        (Quadratics(2), {"unroll": 0}, "unroll must be a whole number >= 1"),
        (Quadratics(2), {"rounds": 0}, "rounds must"),
        (Quadratics(2), {"lr": -1.0}, "lr must be a finite number > 0"),
        (Quadratics(2), {"second_derivatives": True, "coordinates": 1}, "coordinates must be None"),
        (Quadratics(2), {"rule": torch.nn.Linear(1, 1)}, "rule must be an UpdateRule"),
        (Quadratics, {}, "tasks must be a TaskFamily"),
        (NoGradient(), {}, "tasks must have losses with a gradient"),
        (WholeNumbers(), {}, "tasks must have floating-point parameters"),
    ],
)
def test_what_training_refuses(tasks, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        learn_optimizer(tasks, **options)


def test_curves_are_those_of_each_task_alone():
    tasks = Quadratics(3)
    curves = loss_curves(torch.optim.Adam, tasks, lr=0.1, steps=8, count=4, seed=2)
    drawn = tasks.draw(4, derived_seed(2, 0))
    for task in range(4):
        theta = torch.nn.Parameter(drawn.start.clone())
        adam = torch.optim.Adam([theta], lr=0.1)
        for step in range(8):
            loss = drawn.losses(theta, step)[task]
            torch.testing.assert_close(curves[step, task], loss.detach())
            adam.zero_grad()
            loss.backward()
            adam.step()


def test_a_learned_rate_of_adam_is_adam():
    options = {"steps": 10, "count": 3}
    curves = loss_curves(LearnedOptimizer(AdamRule(rate=0.05)), Quadratics(3), **options)
    expected = loss_curves(torch.optim.Adam, Quadratics(3), lr=0.05, **options)
    torch.testing.assert_close(curves, expected, rtol=1e-4, atol=1e-5)
    _, slopes = unrolled(AdamRule(rate=0.05).double(), noisy([1.0, 0.0]), [5])
    assert bool(slopes[0].isfinite())  # where a coordinate never has a gradient, too


def test_without_validation_the_last_rule_is_kept():
    options = {"steps": 4, "unroll": 2, "rounds": 3, "batch": 1, "validation": 0}
    learned = learn_optimizer(Quadratics(2), rule=AdamRule(), progress=False, **options)
    assert learned.training["validation"] == []
    assert learned.rule.config() != AdamRule().config()


def test_a_learned_rate_is_plain_gradient_descent():
    learned = LearnedOptimizer(MomentumRule(rate=0.02, momentum=0.5))
    options = {"steps": 10, "count": 3}
    curves = loss_curves(learned, Quadratics(3), **options)

    def sgd(parameters, lr):
        return torch.optim.SGD(parameters, lr=lr, momentum=0.5)

    torch.testing.assert_close(curves, loss_curves(sgd, Quadratics(3), lr=0.02, **options))
