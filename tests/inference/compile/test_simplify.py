"""Leaving operations out of a traced step: the numbers stay, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from bayesnas.inference.compile.simplify import simplify

X = torch.linspace(-2.0, 3.0, 12).reshape(3, 4)
SMALL = torch.tensor(0.37)


def simplified(function: Callable[..., object], *tensors: Tensor) -> tuple[GraphModule, list[str]]:
    """The traced function without what changes nothing, and the operations that are left."""
    traced = make_fx(function)(*(tensor.clone() for tensor in tensors))
    simplify(traced.graph)
    traced.recompile()
    calls = [node for node in traced.graph.nodes if node.op == "call_function"]
    return traced, [str(node.target).removeprefix("aten.") for node in calls]


def names_only(x: Tensor, s: Tensor) -> Tensor:
    return x.detach().view(3, 4).expand(3, 4).t().t() * 2.0


def gradient_of_a_square(x: Tensor, s: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad((leaf**2).sum(), leaf)[0]


def a_small_tensor_times_a_large(x: Tensor, s: Tensor) -> Tensor:
    return (s.expand(3, 4) * 0.5).neg() / x


def a_row_minus_a_large(x: Tensor, s: Tensor) -> Tensor:
    return x.select(1, 0).unsqueeze(1).expand(3, 4) - x


def unread(x: Tensor, s: Tensor) -> Tensor:
    x.exp().sum()
    return x + s


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (names_only, ["mul.Tensor"]),
        (a_small_tensor_times_a_large, ["mul.Tensor", "neg.default", "div.Tensor"]),
        (a_row_minus_a_large, ["select.int", "unsqueeze.default", "sub.Tensor"]),
        (unread, ["add.Tensor"]),
    ],
)
def test_only_what_makes_numbers_is_left(
    function: Callable[[Tensor, Tensor], Tensor], left: list[str]
) -> None:
    traced, operations = simplified(function, X, SMALL)
    assert operations == left
    assert torch.equal(traced(X, SMALL), function(X, SMALL))


def test_a_gradient_loses_its_first_powers() -> None:
    traced, operations = simplified(gradient_of_a_square, X, SMALL)
    assert operations.count("pow.Tensor_Scalar") == 1  # the square itself
    assert torch.equal(traced(X, SMALL), 2 * X)


def test_a_value_that_is_read_after_its_source_was_overwritten_is_still_copied() -> None:
    def overwritten(x: Tensor) -> Tensor:
        before = x.view(12).pow(1.0)
        x.mul_(2.0)
        return before + x.view(12)

    traced, _ = simplified(overwritten, X)
    assert torch.equal(traced(X.clone()), 3 * X.view(12))


def test_writing_to_an_argument_is_an_effect_though_nobody_reads_it() -> None:
    def counted(x: Tensor, total: Tensor) -> Tensor:
        total[0].add_(x.sum())
        return x * 1.5

    traced, _ = simplified(counted, X, torch.zeros(2))
    total = torch.zeros(2)
    traced(X, total)
    assert torch.equal(total, torch.stack([X.sum(), torch.tensor(0.0)]))


def test_unread_random_numbers_are_still_drawn() -> None:
    def noisy(x: Tensor) -> Tensor:
        torch.randn(5)
        return x + torch.rand(4)

    traced, _ = simplified(noisy, X)
    torch.manual_seed(3)
    expected = noisy(X)
    torch.manual_seed(3)
    assert torch.equal(traced(X), expected)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (torch.tensor(0.37, dtype=torch.float64), X),  # a result in double precision
        (SMALL.bfloat16(), X.bfloat16()),
    ],
    ids=["double and single", "bfloat16"],
)
def test_an_expansion_that_decides_the_precision_stays(small: Tensor, large: Tensor) -> None:
    def scaled(s: Tensor, x: Tensor) -> Tensor:
        return s.expand(3, 4) * x

    traced, operations = simplified(scaled, small, large)
    value, expected = traced(small, large), scaled(small, large)
    assert "expand.default" in operations
    assert value.dtype == expected.dtype
    assert torch.equal(value, expected)


def test_an_expansion_that_somebody_reads_as_it_is_stays() -> None:
    def halves(s: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        half = s.expand(3, 4) * 0.5
        return half.contiguous(), half + x

    traced, _ = simplified(halves, SMALL, X)
    for value, expected in zip(traced(SMALL, X), halves(SMALL, X), strict=True):
        assert torch.equal(value, expected)
        assert value.shape == expected.shape
