"""Hypergradients against the closed form of ridge regression, finite differences, and scipy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bayesnas.inference.bilevel.hypergradients import Greedy, Implicit, Unrolled, make_hypergradient
from bayesnas.inference.bilevel.linear_solvers import Tensors, conjugate_gradients, neumann_series

P, N, M = 5, 40, 30


class Ridge:
    """ℓ = ½‖Xw − y‖²/N + ½ e^h ‖w‖², L = ½‖X'w − y'‖²/M: every derivative in closed form."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.x, self.held_out = draw(N, P), draw(M, P)
        truth = draw(P)
        self.y = self.x @ truth + draw(N)
        self.held_out_y = self.held_out @ truth + draw(M)
        self.h = torch.tensor(-1.0, dtype=torch.float64)

    def lower(self, theta: Tensors, h: Tensors) -> Tensor:
        (w,), (strength,) = theta, h
        fit = 0.5 * (self.x @ w - self.y).square().mean()
        return fit + 0.5 * strength.exp() * w.square().sum()

    def upper(self, theta: Tensors, h: Tensors) -> Tensor:
        return 0.5 * (self.held_out @ theta[0] - self.held_out_y).square().mean()

    def hessian(self) -> Tensor:
        return self.x.T @ self.x / N + self.h.exp() * torch.eye(P, dtype=torch.float64)

    def solution(self, h: Tensor | None = None) -> Tensor:
        strength = (self.h if h is None else h).exp() * torch.eye(P, dtype=torch.float64)
        return torch.linalg.solve(self.x.T @ self.x / N + strength, self.x.T @ self.y / N)

    def slope(self) -> Tensor:
        """dL/dw at the solution."""
        return self.held_out.T @ (self.held_out @ self.solution() - self.held_out_y) / M

    def exact(self) -> Tensor:
        """DL/dh = −(dL/dw)ᵀ H⁻¹ e^h w*."""
        return -self.slope() @ torch.linalg.solve(self.hessian(), self.h.exp() * self.solution())

    def gradient(self, kind: object, w: Tensor | None = None, lr: float = 0.1) -> float:
        start = self.solution() if w is None else w
        method = make_hypergradient(kind)  # type: ignore[arg-type]
        return float(method(self.upper, self.lower, [start], [self.h], lr)[0])


def test_the_closed_form_is_the_slope_of_the_validation_loss():
    ridge, step = Ridge(), 1e-5
    ends = [ridge.upper([ridge.solution(ridge.h + e)], []) for e in (step, -step)]
    assert float(ridge.exact()) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_conjugate_gradients_solve_ridge_regression_in_as_many_steps_as_weights():
    ridge = Ridge()
    assert ridge.gradient(Implicit("cg", steps=P)) == pytest.approx(float(ridge.exact()), rel=1e-8)
    assert ridge.gradient(Implicit("cg", steps=1)) != pytest.approx(float(ridge.exact()), rel=1e-3)


def test_more_steps_than_needed_change_nothing():
    ridge = Ridge()
    assert ridge.gradient(Implicit("cg", steps=50)) == pytest.approx(float(ridge.exact()), rel=1e-8)


def test_the_neumann_series_converges_to_the_closed_form():
    ridge = Ridge()
    size = 1.0 / float(torch.linalg.eigvalsh(ridge.hessian())[-1])
    slope = ridge.gradient(Implicit("neumann", steps=400, lr=size))
    assert slope == pytest.approx(float(ridge.exact()), rel=1e-8)
    # The remainder after J terms is H⁻¹ (I − ηH)^{J+1} b.
    rest = torch.eye(P, dtype=torch.float64) - size * ridge.hessian()
    rest = torch.linalg.matrix_power(rest, 4) @ ridge.slope()
    shortfall = torch.linalg.solve(ridge.hessian(), rest) @ (ridge.h.exp() * ridge.solution())
    truncated = ridge.gradient(Implicit("neumann", steps=3), lr=size)
    assert truncated == pytest.approx(float(ridge.exact() + shortfall), rel=1e-8)


def test_a_series_of_no_products_takes_the_inverse_hessian_to_be_the_step_size():
    """−η (dL/dw)ᵀ e^h w, both at w: T1–T2; one unrolled step is that for a small η."""
    ridge, lr = Ridge(), 1e-4
    w = ridge.solution() + 1.0
    slope = ridge.held_out.T @ (ridge.held_out @ w - ridge.held_out_y) / M
    expected = float(-lr * slope @ (ridge.h.exp() * w))
    gradient = ridge.gradient(Implicit("neumann", steps=0), w, lr)
    assert gradient == pytest.approx(expected, rel=1e-10)
    assert ridge.gradient("unrolled", w, lr) == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match="steps must be a whole number from 1 to 1000000, got 0"):
        Implicit("cg", steps=0)


def test_damping_adds_to_the_hessian():
    ridge = Ridge()
    damped = ridge.hessian() + 0.7 * torch.eye(P, dtype=torch.float64)
    expected = -ridge.slope() @ torch.linalg.solve(damped, ridge.h.exp() * ridge.solution())
    gradient = ridge.gradient(Implicit(steps=P, damping=0.7))
    assert gradient == pytest.approx(float(expected), rel=1e-8)


def test_one_unrolled_step_is_second_order_darts_in_closed_form():
    """W' = w − η∇ℓ(w), so dL/dh = −η (dL/dw')ᵀ e^h w."""
    ridge, lr = Ridge(), 0.3
    w = ridge.solution() + 1.0
    slope = ridge.x.T @ (ridge.x @ w - ridge.y) / N + ridge.h.exp() * w
    moved = w - lr * slope
    upper = ridge.held_out.T @ (ridge.held_out @ moved - ridge.held_out_y) / M
    expected = float(-lr * upper @ (ridge.h.exp() * w))
    assert ridge.gradient("unrolled", w, lr) == pytest.approx(expected, rel=1e-10)
    assert ridge.gradient(Unrolled(lr=lr), w, lr=99.0) == pytest.approx(expected, rel=1e-10)


def test_unrolling_far_enough_gives_the_hypergradient_of_the_solution():
    ridge = Ridge()
    size = 1.0 / float(torch.linalg.eigvalsh(ridge.hessian())[-1])
    gradient = ridge.gradient(Unrolled(steps=400, lr=size), torch.zeros(P, dtype=torch.float64))
    assert gradient == pytest.approx(float(ridge.exact()), rel=1e-8)


def test_greedy_is_zero_where_h_acts_on_the_lower_loss_alone():
    ridge = Ridge()
    assert ridge.gradient(Greedy()) == 0.0


def small_net(theta: Tensors, h: Tensors, x: Tensor, y: Tensor) -> Tensor:
    """A net of two mixed layers: h weighs operations, as α does in DARTS."""
    first, second = theta
    share = h[0].softmax(0)
    hidden = share[0] * (x @ first).tanh() + share[1] * (x @ first).sin()
    return (hidden @ second - y).square().mean() + 0.01 * first.square().sum()


class SmallNet:
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.theta = [draw(3, 4), draw(4)]
        self.h = torch.tensor([0.3, -0.2], dtype=torch.float64)
        self.train, self.held_out = (draw(20, 3), draw(20)), (draw(20, 3), draw(20))

    def lower(self, theta: Tensors, h: Tensors) -> Tensor:
        return small_net(theta, h, *self.train)

    def upper(self, theta: Tensors, h: Tensors) -> Tensor:
        return small_net(theta, h, *self.held_out)

    def descended(self, h: Tensor, steps: int, lr: float) -> list[Tensor]:
        theta = self.theta
        for _ in range(steps):
            theta = [value.detach().requires_grad_() for value in theta]
            slopes = torch.autograd.grad(self.lower(theta, [h]), theta)
            theta = [value - lr * slope for value, slope in zip(theta, slopes, strict=True)]
        return [value.detach() for value in theta]

    def minimum(self, h: Tensor) -> list[Tensor]:
        """Θ* of the lower loss: descent, then Newton's method."""
        shapes = [value.shape for value in self.theta]
        split = lambda flat: [  # noqa: E731
            part.view(shape)
            for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)
        ]
        loss = lambda flat: self.lower(split(flat), [h])  # noqa: E731
        flat = torch.cat([value.flatten() for value in self.descended(h, 300, 0.2)])
        for _ in range(10):
            slope = torch.autograd.functional.jacobian(loss, flat)
            curvature = torch.autograd.functional.hessian(loss, flat)
            flat = flat - torch.linalg.solve(curvature, slope)
        return split(flat)

    def slope(self, solve: Callable[[Tensor], list[Tensor]], step: float = 1e-6) -> list[float]:
        """By finite differences: dL/dh where θ is found from h."""
        slopes = []
        for index in range(2):
            shift = step * torch.eye(2, dtype=torch.float64)[index]
            ends = []
            for h in (self.h + shift, self.h - shift):
                ends.append(float(self.upper(solve(h), [h])))
            slopes.append((ends[0] - ends[1]) / (2 * step))
        return slopes


@pytest.mark.parametrize(("kind", "steps"), [("greedy", 0), ("unrolled", 1), (Unrolled(4), 4)])
def test_darts_gradients_of_both_orders_match_finite_differences(kind: object, steps: int):
    net = SmallNet()
    method = make_hypergradient(kind)  # type: ignore[arg-type]
    solve = lambda h: net.descended(h, steps, 0.1)  # noqa: E731
    (gradient,) = method(net.upper, net.lower, net.theta, [net.h], 0.1)
    assert gradient.tolist() == pytest.approx(net.slope(solve), rel=1e-5)


@pytest.mark.slow_except("kind0")
@pytest.mark.parametrize("kind", [Implicit("cg", 40), Implicit("neumann", 3000, lr=0.4)])
def test_implicit_gradients_match_finite_differences_of_the_minimum(kind: Implicit):
    net = SmallNet()
    lower = net.lower
    # The penalty makes the lower problem convex around its minimum.
    net.lower = lambda theta, h: lower(theta, h) + 0.05 * sum(t.square().sum() for t in theta)
    (gradient,) = kind(net.upper, net.lower, net.minimum(net.h), [net.h], 0.1)
    assert gradient.tolist() == pytest.approx(net.slope(net.minimum), rel=1e-5)


def test_conjugate_gradients_stop_at_negative_curvature():
    """On a saddle the step before the bad direction is kept, and nothing is infinite."""
    matrix = torch.diag(torch.tensor([2.0, 1.0, -1.0]))
    for target in ([1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]):
        b = torch.tensor(target)
        (solution,) = conjugate_gradients(lambda v: [matrix @ v[0]], [b], 10)
        assert solution.isfinite().all()
    (solution,) = conjugate_gradients(
        lambda v: [matrix @ v[0]], [torch.tensor([1.0, 1.0, 0.0])], 10
    )
    assert solution.tolist() == pytest.approx([0.5, 1.0, 0.0], abs=1e-6)


def test_solvers_take_tensors_of_any_shapes_and_types():
    scales = [torch.tensor(2.0), torch.full((2, 2), 4.0, dtype=torch.float64)]
    target = [torch.tensor(1.0), torch.ones(2, 2, dtype=torch.float64)]
    product = lambda v: [s * part for s, part in zip(scales, v, strict=True)]  # noqa: E731
    for solution in (
        conjugate_gradients(product, target, 5),
        neumann_series(product, target, 60, 0.3),
    ):
        assert [value.dtype for value in solution] == [torch.float32, torch.float64]
        assert float(solution[0]) == pytest.approx(0.5, rel=1e-5)
        assert solution[1].flatten().tolist() == pytest.approx([0.25] * 4, rel=1e-5)


def test_options_out_of_range_are_named():
    for make, message in (
        (lambda: Unrolled(0), "steps must be a whole number from 1 to 1000000, got 0"),
        (lambda: Unrolled(lr=-1.0), "lr must be a finite number > 0, got -1.0"),
        (lambda: Implicit("newton"), r"solver must be one of \['cg', 'neumann'\], got 'newton'"),
        (lambda: Implicit(damping=-1.0), "damping must be a finite number >= 0, got -1.0"),
        (lambda: make_hypergradient("reverse"), "hypergradient must be one of .*got 'reverse'"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="hypergradient must be one of .*got 3"):
        make_hypergradient(3)  # type: ignore[arg-type]
