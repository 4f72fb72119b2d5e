"""Imitation of hand-made optimisers: their settings, the error, its gradient, what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.learned.evaluation import loss_curves, minimise
from bayesnas.inference.learned.imitation import Imitation, lesson_of
from bayesnas.inference.learned.rules import AdamRule, LstmRule, MomentumRule
from bayesnas.inference.learned.tasks.quadratics import Quadratics

SGD = Imitation(torch.optim.SGD, lr=0.004, updates=200, rate=0.05)


def sgd_with_momentum(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.8)


def test_momentum_is_recovered_from_its_steps():
    teacher = replace(SGD, optimizer=sgd_with_momentum, updates=300)
    rule = MomentumRule(rate=0.001, momentum=0.3, learn_momentum=True)
    errors = teacher.teach(rule, Quadratics(4), steps=20)
    assert rule.config()["rate"] == pytest.approx(0.004, rel=1e-2)
    assert rule.config()["momentum"] == pytest.approx(0.8, rel=1e-2)
    assert errors[-1] < 1e-3 < errors[0]


def test_the_rate_of_adam_is_recovered():
    rule = AdamRule(rate=0.5)
    replace(SGD, optimizer=torch.optim.Adam, lr=0.03).teach(rule, Quadratics(4), steps=20)
    assert rule.config()["rate"] == pytest.approx(0.03, rel=1e-2)


def test_a_repeated_optimiser_minimises_as_the_optimiser_does():
    tasks = Quadratics(3)
    teacher = replace(SGD, schedule=lambda progress: 1.0)
    learned = bn.inference.learn_optimizer(
        tasks, rule=MomentumRule(0.02), imitate=teacher, steps=10, unroll=5, rounds=0, validation=3
    )
    curves = loss_curves(learned, tasks, steps=10, count=4, seed=3)
    expected = loss_curves(torch.optim.SGD, tasks, lr=0.004, steps=10, count=4, seed=3)
    torch.testing.assert_close(curves, expected, rtol=1e-2, atol=1e-4)
    assert learned.training["imitate"]["schedule"] == "custom"
    assert len(learned.training["imitate"]["errors"]) == 10


def test_a_scheduled_teacher_is_torch_with_its_own_scheduler():
    drawn, steps = Quadratics(3, dtype=torch.float64).draw(2, seed=0), 6
    path = list(minimise(torch.optim.RMSprop, drawn, 0.1, steps, "cosine"))
    theta = torch.nn.Parameter(drawn.start.clone())
    optimizer = torch.optim.RMSprop([theta], lr=0.1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        before = theta.detach().clone()
        optimizer.zero_grad()
        drawn.losses(theta, step).sum().backward()
        torch.testing.assert_close(path[step].gradient, theta.grad)
        optimizer.step()
        cosine.step()
        torch.testing.assert_close(path[step].change, theta.detach() - before)


def example(steps: int = 5, width: int = 6):
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(2, steps, width, generator=generator, dtype=torch.float64)
    return normal[0], normal[1] * torch.linspace(0.1, 3.0, width, dtype=torch.float64)


def test_drawn_coordinates_estimate_the_formula_without_bias():
    gradients, changes = example()
    lesson = lesson_of(gradients, changes)
    moved = 0.3 * gradients
    weights = 1 / (len(lesson.chances) * lesson.chances * lesson.squares)
    estimate = ((moved - changes).square() * weights * lesson.chances).sum(1).mean()
    squares = changes.square().mean(1)
    scale = squares + (0.2 * squares.sqrt().mean()) ** 2
    expected = ((moved - changes).square().mean(1) / scale).mean()
    assert math.isclose(float(estimate), float(expected), rel_tol=1e-12)
    assert math.isclose(float(lesson.chances.sum()), 1.0, rel_tol=1e-12)


@pytest.mark.parametrize("window", [5, 2])
def test_the_gradient_of_the_error_is_a_finite_difference(window):
    torch.manual_seed(0)
    rule, lesson = LstmRule(units=3).double(), lesson_of(*example())
    count = math.ceil(5 / window)
    teacher = replace(SGD, updates=count, window=window, coordinates=4)

    def errors():
        return list(teacher._errors(rule, lesson, torch.Generator().manual_seed(1)))

    first = errors()[0]  # over the first window, where nothing is cut off
    slopes = torch.autograd.grad(first, list(rule.parameters()))
    directions = [torch.randn_like(value) for value in rule.parameters()]
    ends, step = [], 1e-5
    for sign in (1, -2):
        with torch.no_grad():
            for value, direction in zip(rule.parameters(), directions, strict=True):
                value += sign * step * direction
        ends.append(float(errors()[0].detach()))
    along = sum(float((a * b).sum()) for a, b in zip(slopes, directions, strict=True))
    assert math.isclose(along, (ends[0] - ends[1]) / (2 * step), rel_tol=1e-6)
    assert len(errors()) == count


@pytest.mark.parametrize("rule", [LstmRule(units=4), AdamRule(), MomentumRule(0.1, 0.5)])
def test_a_path_is_the_steps_one_by_one(rule):
    gradients, _ = example()
    rule = rule.double()
    state = rule.start(gradients[0])
    changes, last = rule.path(gradients, state)
    for gradient, change in zip(gradients, changes, strict=True):
        expected, state = rule(gradient, state)
        torch.testing.assert_close(change, expected)
    for curves, expected in zip(last, state, strict=True):
        torch.testing.assert_close(curves, expected)


@pytest.mark.slow
def test_a_network_learns_steps_and_a_falling_rate():
    # Gradients alone don't tell the rate of a step: its state has to count.
    tasks = Quadratics(4)
    teacher = Imitation(torch.optim.Adam, lr=0.1, schedule="cosine", updates=1500, tasks=20)
    learned = bn.inference.learn_optimizer(
        tasks, imitate=teacher, steps=20, unroll=20, rounds=0, validation=0
    )
    errors = learned.training["imitate"]["errors"]
    assert errors[-1] < 0.1  # 1 for a rule that doesn't move
    options = {"steps": 20, "count": 50, "seed": 1}
    curves = loss_curves(learned, tasks, **options).mean(1)
    taught = loss_curves(torch.optim.Adam, tasks, lr=0.1, schedule="cosine", **options).mean(1)
    torch.testing.assert_close(curves, taught, rtol=0.2, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": 3}, "optimizer must be"),
        ({"lr": 0.0}, "lr must be a finite number > 0"),
        ({"schedule": "later"}, "schedule must be one of"),
        ({"updates": 0}, "updates must"),
        ({"rate": math.nan}, "rate must be a finite number > 0"),
        ({"window": 0}, "window must"),
        ({"coordinates": 0}, "coordinates must"),
        ({"tasks": 0}, "tasks must"),
    ],
)
def test_what_an_imitation_refuses(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Imitation(**{"optimizer": torch.optim.SGD, "lr": 0.1, **options})


def test_a_teacher_has_to_move_and_to_stay_finite():
    for teacher in (replace(SGD, schedule=lambda progress: 0.0), replace(SGD, lr=1e30)):
        with pytest.raises(ValueError, match="imitate must take finite steps"):
            bn.inference.learn_optimizer(Quadratics(2), imitate=teacher, steps=10, unroll=5)
    with pytest.raises(TypeError, match="imitate must be"):
        bn.inference.learn_optimizer(Quadratics(2), imitate=torch.optim.Adam)
    with pytest.raises(ValueError, match="rounds must"):
        bn.inference.learn_optimizer(Quadratics(2), rounds=0)
