"""Data reach a user's model as they were handed to the fit; nothing broadcasts in silence."""

from __future__ import annotations

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import constraints

import bayesnas as bn

NOISE = 0.3
OPTIONS: dict[str, Any] = {"steps": 2, "lr": 1e-9, "progress": False}


def guide(x: Tensor, y: Tensor | None = None) -> None:
    loc = pyro.param("loc", torch.tensor(0.0))
    scale = pyro.param("scale", torch.tensor(0.3), constraint=constraints.positive)
    pyro.sample("w", dist.Normal(loc, scale))


def regression(event_dims: int, shapes: list[Any] | None = None) -> Any:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        if shapes is not None and y is not None:
            shapes.append((x.shape[1:], x.dtype, y.shape[1:], y.dtype))
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w * x, NOISE).to_event(event_dims), obs=y)

    return model


def slope(x: Tensor, y: Tensor) -> float:
    return float((x * y).sum() / NOISE**2 / (x.square().sum() / NOISE**2 + 1))


SHAPES = {
    "column": (30, 1),
    "sequence of t": (12, 5, 1),
    "sequence, t = n": (12, 12, 1),
    "image": (8, 1, 3, 3),
    "square": (9, 9),
    "flat": (30,),
    "one row": (1, 1),
}


@pytest.mark.slow_except("one row-64", "square-7", "image-1")
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("name", SHAPES)
def test_targets_keep_their_shape(name: str, batch_size: int) -> None:
    shape = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    y = 2.0 * x + NOISE * torch.randn(shape, generator=generator)
    seen: list[Any] = []
    pair = bn.models.PyroPair(regression(len(shape) - 1, seen), guide)
    post = bn.fit(
        pair, (x, y), batch_size=batch_size, steps=400, lr=0.05, schedule="cosine", compile="trace"
    )
    assert float(post.model.own["loc"].detach()) == pytest.approx(slope(x, y), abs=0.15)
    metrics = post.evaluate((x, y), draws=20)
    w = post.sample(draws=20)["w"].reshape(-1, *[1] * len(shape))
    by_hand = dist.Normal(w * x, NOISE).log_prob(y).flatten(1).sum(1).mean()
    assert metrics["expected_log_lik"] == pytest.approx(float(by_hand), rel=1e-4)
    rmse = (w.mean() * x - y).square().mean().sqrt()
    assert metrics["rmse"] == pytest.approx(float(rmse), rel=1e-3)
    assert post.predict(x, draws=3).shape == (3, *shape)
    tree = post.to_arviz(draws=4, data=(x, y))
    assert tree["observed_data"]["y"].shape == shape
    assert tree["log_likelihood"]["y"].shape == (1, 4, shape[0])
    assert set(seen) == {(torch.Size(shape[1:]), x.dtype, torch.Size(shape[1:]), y.dtype)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_types_are_kept(dtype: torch.dtype) -> None:
    x = (torch.arange(6) % 2).to(dtype)
    y = (torch.arange(6) % 3 > 0).to(dtype)[:, None]
    seen: list[Any] = []

    def model(x: Tensor, y: Tensor | None = None) -> None:
        if y is not None:
            seen.append((x.dtype, y.dtype))
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        mean = (w * x.float())[:, None]
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(mean, 1.0).to_event(1), obs=None if y is None else y + 0.0)

    post = bn.fit(bn.models.PyroPair(model, guide), (x, y), **OPTIONS)
    assert math.isfinite(post.evaluate((x, y), draws=2)["elbo"])
    assert set(seen) == {(dtype, dtype)}


def test_counts_are_no_labels() -> None:
    """Poisson counts: an error of means, not an accuracy."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Poisson((w + x).exp()), obs=y)

    x, y = torch.linspace(0, 1, 10), torch.tensor([0, 2, 1, 3, 1, 2, 4, 2, 5, 3])
    post = bn.fit(bn.models.PyroPair(model, guide), (x, y), **OPTIONS)
    metrics = post.evaluate((x, y), draws=5)
    means = (post.sample(draws=5)["w"][:, None] + x).exp().mean(0)
    assert metrics["rmse"] == pytest.approx(float((means - y).square().mean().sqrt()), rel=1e-4)
    assert "accuracy" not in metrics


MISMATCHED = {
    "flat targets of a column": ((30, 1), (30,), 1),
    "columns under one dim too few": ((30, 1), (30, 1), 0),
    "one column for three": ((30, 3), (30, 1), 1),
    "flat targets, square": ((12, 12), (12,), 1),
    "flat targets of sequences": ((12, 12, 1), (12, 12), 2),
}


@pytest.mark.parametrize("name", MISMATCHED)
def test_a_broadcast_of_observed_values_is_an_error(name: str) -> None:
    x_shape, y_shape, events = MISMATCHED[name]
    x, y = torch.ones(x_shape), torch.ones(y_shape)
    with pytest.raises(ValueError, match="observed site 'y'|would be broadcast|hape"):
        bn.fit(bn.models.PyroPair(regression(events), guide), (x, y), **OPTIONS)


def test_the_error_names_both_shapes() -> None:
    x = torch.ones(30, 1)
    message = r"'y' .* got values \[30\] for batch_shape \[30\] and event_shape \[1\]"
    with pytest.raises(ValueError, match=message):
        bn.fit(bn.models.PyroPair(regression(1), guide), (x, torch.ones(30)), **OPTIONS)


def test_a_latent_of_another_shape_than_the_guides_is_an_error() -> None:
    def wide(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w.sum() * x, NOISE), obs=y)

    x = torch.ones(5)
    with pytest.raises(ValueError, match=r"latent site 'w' has shape \[3\]"):
        bn.fit(bn.models.PyroPair(wide, guide), (x, x), **OPTIONS)


def test_evaluation_takes_targets_of_the_same_shape_alone() -> None:
    x = torch.ones(5, 1)
    post = bn.fit(bn.models.PyroPair(regression(1), guide), (x, x), **OPTIONS)
    with pytest.raises(ValueError, match=r"y must be torch.float32 of shape \['n', 1\]"):
        post.evaluate((x, x[:, 0]))
    with pytest.raises(ValueError, match="x must be torch.float32"):
        post.predict(x.double())
