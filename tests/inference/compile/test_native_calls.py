"""Operators called by torch's functions: the same numbers, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from bayesnas.inference.compile.native_calls import by_bindings

IMAGES = torch.linspace(-1.0, 2.0, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
MATRIX = torch.linspace(-2.0, 1.5, 20).reshape(4, 5)


def reductions(x: Tensor) -> Tensor:
    wide = torch.stack([x.sum(), x.mean(), x.amax(), x.var(correction=0), x.logsumexp((0, 1))])
    return wide.unsqueeze(1) + torch.cat([x.sum(1), x.std(0), x.prod(1)]).cumsum(0)


def choices(x: Tensor) -> Tensor:
    index = torch.arange(4).unsqueeze(1)
    picked = x.gather(1, index) + x[:, 1:3].flip(0) + x[[0, 2, 1, 3], :2]
    return torch.where(picked > 0, picked.clamp(max=0.7), x.new_full((4, 2), -3.0))


def written(x: Tensor) -> Tensor:
    copy = x.clone()
    copy.lerp_(x.square(), 0.3).add_(x, alpha=2.0)
    copy[1:3].mul_(0.5)
    copy.index_add_(0, torch.tensor([0, 0, 3]), x[:3])
    return copy.double().pow(2) + 2**x


torch.manual_seed(0)
NET = nn.Sequential(
    nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2),
    nn.Conv2d(4, 4, 3, groups=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3),
)  # fmt: skip


def gradient_of_a_net(x: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    loss = F.cross_entropy(NET(leaf), torch.tensor([2, 0]))
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [leaf, *NET.parameters()])])


def noise(x: Tensor) -> Tensor:
    return F.dropout(x, 0.4) + torch.randn(5) * torch.rand_like(x) + torch.bernoulli(x.sigmoid())


def targets(function: Callable[..., object], tensors: Sequence[Tensor]) -> list[object]:
    traced = by_bindings(make_fx(function)(*tensors))
    return [node.target for node in traced.graph.nodes if node.op.startswith("call")]


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (reductions, MATRIX),
        (choices, MATRIX),
        (written, MATRIX),
        (gradient_of_a_net, IMAGES),
        (noise, MATRIX),
    ],
)
def test_the_numbers_are_those_of_the_operators(
    function: Callable[[Tensor], Tensor], given: Tensor
) -> None:
    traced = make_fx(function)(given.clone())
    bound = by_bindings(traced)
    results, states = [], []
    for run in (traced, bound):
        torch.manual_seed(7)
        with torch.no_grad():
            results.append(run(given.clone()))
        states.append(torch.get_rng_state())
    assert torch.equal(*results)
    assert torch.equal(*states)


def test_arithmetic_is_called_by_torchs_functions_and_methods() -> None:
    called = targets(lambda x: (x * 2 + x.exp()).view(20).sum(), [MATRIX])
    assert called == [torch.mul, torch.exp, torch.add, "view", torch.sum]


def test_an_operator_without_a_function_stays() -> None:
    called = targets(lambda x: x[1:3], [MATRIX])
    assert called == [torch.ops.aten.slice.Tensor]


def test_the_recorded_graph_is_left_as_it_is() -> None:
    traced = make_fx(lambda x: x * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))(MATRIX)
    code = traced.code
    assert torch.equal(by_bindings(traced)(MATRIX), MATRIX * torch.arange(1.0, 6.0))
    assert traced.code == code
