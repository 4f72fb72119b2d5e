"""Products in bfloat16: which are rounded, how far the bound moves, and that variances are not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import bayesnas as bn
from bayesnas.inference.compile.bfloat16 import round_products


def image_data() -> tuple[Tensor, Tensor]:
    x = torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return x, x.flatten(1)[:, :3].argmax(1)


def image_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


@pytest.mark.parametrize("estimator", ["local", "weight"])
@pytest.mark.parametrize("compile", ["trace", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_fit_follows_that_in_float32(estimator: str, compile: str) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        model = bn.models.GaussianNet(image_net(), estimator=estimator)
        post = bn.fit(
            model, image_data(), steps=20, batch_size=30, compile=compile, precision=precision,
            progress=False,
        )  # fmt: skip
        assert post.settings.precision == precision
        assert {value.dtype for value in post.model.parameters()} == {torch.float32}
        losses.append(torch.tensor(post.history()["loss"].values))
    assert not torch.equal(*losses)
    assert torch.allclose(*losses, rtol=2e-3)


def test_products_have_the_values_of_rounded_factors() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(5, 7, generator=generator), torch.randn(3, 7, generator=generator)

    def gradients(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        return torch.autograd.grad(F.linear(x, w).sum(), (x, w))

    graph = make_fx(gradients)(x, w)
    assert round_products(graph.graph) == 3
    graph.recompile()
    rounded = [value.bfloat16().float() for value in (x, w)]
    for product, expected in zip(graph(x, w), gradients(*rounded), strict=True):
        assert torch.allclose(product, expected.bfloat16().float(), rtol=1e-2, atol=1e-2)
        assert product.dtype == torch.float32


def test_variances_of_local_reparameterisation_are_not_rounded() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 7, generator=generator)
    scale = torch.rand(3, 7, generator=generator)

    def deviation(x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        leaf = scale.detach().requires_grad_()
        variance = F.linear(x.square(), leaf.square())
        (gradient,) = torch.autograd.grad(variance.sqrt().sum(), leaf)
        return variance.detach(), gradient

    graph = make_fx(deviation)(x, scale)
    assert round_products(graph.graph) == 0
    graph.recompile()
    for value, expected in zip(graph(x, scale), deviation(x, scale), strict=True):
        assert torch.equal(value, expected)
    assert bool((graph(x, scale)[0] >= 0).all())


def test_products_of_other_types_stay() -> None:
    graph = make_fx(torch.mm)(torch.ones(2, 2).double(), torch.ones(2, 2).double())
    assert round_products(graph.graph) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "half"}, "precision must be 'float32' or 'bfloat16', got 'half'"),
        ({"precision": "bfloat16", "compile": False}, "precision='bfloat16' is that of a traced"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bn.fit(bn.models.GaussianNet(image_net()), image_data(), steps=1, **options)  # type: ignore[call-overload]
