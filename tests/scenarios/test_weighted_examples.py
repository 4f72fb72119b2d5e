"""Weights of examples and classes: twice the weight is the row twice, none is the row left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.config.example_weights import carrying, example_weights
from bayesnas.inference.elbo.bound import bound_terms

QUICK: dict[str, Any] = {"steps": 3, "progress": False}


@pytest.fixture
def rows() -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, targets, and weights that count row 3 twice and row 5 not at all."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 3, generator=generator)
    y = x @ torch.tensor([1.0, 0.0, -1.0]) + 0.3 * torch.randn(30, generator=generator)
    weights = torch.ones(30)
    weights[3], weights[5] = 2, 0
    return x, y, weights


KEPT = [*(row for row in range(30) if row != 5), 3]

MODELS: dict[str, Any] = {
    "regression": lambda: bn.models.ArdRegression(3, noise_scale=0.3),
    "logistic": lambda: bn.models.SpikeAndSlabRegression(3, likelihood="bernoulli"),
    "net": lambda: bn.models.GaussianNet(
        bn.nn.mlp([3, 4, 1]), likelihood="gaussian", estimator="weight"
    ),
    "counts": lambda: bn.models.SpikeAndSlabNet(
        bn.nn.mlp([3, 4, 1]), likelihood="poisson", estimator="weight"
    ),
}


def bound(model: Any, x: Tensor, y: Tensor, weights: Tensor | None) -> Any:
    split = Split.of((x, y), task=model.task, dtype=model.dtype)
    model, split = carrying(model, split, weights)
    torch.manual_seed(0)
    with torch.no_grad():
        return bound_terms(model, split.x, split.y)


@pytest.mark.parametrize("name", MODELS)
def test_the_bound_of_a_weighted_row_is_that_of_the_row_so_often(name: str, rows: Any) -> None:
    x, y, weights = rows
    y = {"logistic": (y > 0).long(), "counts": y.exp().round()}.get(name, y)
    torch.manual_seed(1)
    model = MODELS[name]().double()
    model.reset()
    weighted, repeated = bound(model, x, y, weights), bound(model, x[KEPT], y[KEPT], None)
    assert float(weighted.log_lik["y"]) == pytest.approx(float(repeated.log_lik["y"]), rel=1e-6)
    assert float(weighted.kl_divergence()) == pytest.approx(float(repeated.kl_divergence()))
    alike = bound(model, x, y, torch.ones(30))
    assert float(alike.log_lik["y"]) == float(bound(model, x, y, None).log_lik["y"])


def test_latents_of_an_example_are_weighed_with_it(rows: Any) -> None:
    x, _, weights = rows
    model = bn.models.ArdVae(3, 2, likelihood="gaussian", hidden=[4])
    local = [
        sum(float(terms.kl[name]) for name in terms.local)
        for terms in (bound(model, x, x, weights), bound(model, x[KEPT], x[KEPT], None))
    ]
    assert local[0] == pytest.approx(local[1], rel=1e-5)


def test_a_weighted_fit_is_weighted_least_squares(rows: Any) -> None:
    x, y, weights = rows
    weights = weights + 0.5 * torch.arange(30).remainder(3)
    design = torch.cat([x, torch.ones(30, 1)], dim=1).double()
    gram = design.mT @ (weights.double()[:, None] * design)
    exact = torch.linalg.solve(gram, design.mT @ (weights * y).double())
    model = bn.models.GaussianNet(
        nn.Linear(3, 1), likelihood="gaussian", noise_scale=0.3, stochastic="none"
    )
    settings = {"steps": 400, "lr": 0.05, "batch_size": 30, "progress": False}
    post = bn.fit(model, (x, y), kl_weight=0.0, sample_weight=weights, **settings)
    layer = post.model.plain_module()
    coefficients = [*layer.weight[0].tolist(), layer.bias.item()]
    assert coefficients == pytest.approx(exact.tolist(), abs=1e-3)


@pytest.mark.slow_except("1-options1")
@pytest.mark.parametrize("options", [{"batched": True}, {"compile": "trace"}, {"compile": False}])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_weights_follow_their_rows_into_batches(
    rows: Any, batch_size: int, options: dict[str, Any]
) -> None:
    """A row of weight 0 is never seen, whatever stands in it."""
    x, y, weights = rows
    strange, other = x.clone(), y.clone()
    strange[5], other[5] = 1e3, -1e3
    net = MODELS["net"]()
    settings = {
        **QUICK,
        "steps": 60,
        "lr": 0.01,
        "restarts": 2,
        "batch_size": batch_size,
        **options,
    }
    plain, changed = (
        bn.fit(net, data, sample_weight=weights, **settings) for data in ((x, y), (x, other))
    )
    assert plain.history().equals(changed.history())
    finite = bn.fit(net, (strange, other), sample_weight=weights, **settings)
    assert bool(np.isfinite(finite.history()["loss"]).all())


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0}, [0.5, 2.0], {1: 3.0}])
def test_classes_weigh_as_in_scikit_learn(class_weight: Any) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 2))
    y = (x[:, 0] + generator.logistic(size=300) > 1.5).astype(int)
    by_class = class_weight if not isinstance(class_weight, list) else dict(enumerate(class_weight))
    # A penalty so small that it says nothing: maximum likelihood.
    expected = LogisticRegression(class_weight=by_class, C=1e8, tol=1e-8, max_iter=1000).fit(x, y)
    model = bn.models.GaussianNet(nn.Linear(2, 1), likelihood="bernoulli", stochastic="none")
    settings = {"steps": 700, "lr": 0.05, "batch_size": 300, "compile": "trace", "progress": False}
    post = bn.fit(model, (x, y), kl_weight=0.0, class_weight=class_weight, **settings)
    layer = post.model.plain_module()
    assert layer.weight[0].tolist() == pytest.approx(expected.coef_[0], abs=5e-3)
    assert layer.bias.tolist() == pytest.approx(expected.intercept_, abs=5e-3)
    # Evaluation counts all rows alike.
    probability = torch.tensor(expected.predict_proba(x)[:, 1])
    nll = torch.nn.functional.binary_cross_entropy(probability, torch.tensor(y).double())
    assert post.evaluate((x, y), draws=0)["nll"] == pytest.approx(nll.item(), abs=2e-3)


def test_balanced_weights_are_scikit_learns_and_multiply_those_of_rows() -> None:
    y = torch.tensor([0, 0, 0, 2, 2, 1])
    split = Split.of((torch.zeros(6, 3), y))
    weights = example_weights(MODELS["net"](), split, split, torch.arange(6), "balanced")
    labels = y.numpy()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)[labels]
    assert torch.allclose(weights, torch.tensor(expected * np.arange(6)))


def test_a_weighted_run_is_resumed_with_its_weights(rows: Any, tmp_path: Any) -> None:
    x, y, weights = rows
    options: dict[str, Any] = {**QUICK, "out": tmp_path / "run", "resume": True}
    post = bn.fit(MODELS["net"](), (x, y), sample_weight=weights, **options)
    again = bn.fit(MODELS["net"](), (x, y), sample_weight=weights.numpy(), **options)
    assert again.evaluate((x, y)) == post.evaluate((x, y))
    assert bn.load(tmp_path / "run").evaluate((x, y)) == post.evaluate((x, y))
    for other in (None, weights + 1):
        with pytest.raises(ValueError, match="weighted its examples otherwise"):
            bn.fit(MODELS["net"](), (x, y), sample_weight=other, **options)
    tree = post.to_arviz(draws=3, data=(x, y))
    assert "lp" not in tree["sample_stats"]  # the log target of other weights
    unweighted = post.refine((x, y), **QUICK)
    assert unweighted.run.weights == ""
    assert post.refine((x, y), sample_weight=weights, **QUICK).run.weights == post.run.weights


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "too few": ({"sample_weight": [1.0, 2.0]}, r"shape \[4\], one for each row, got \[2\]"),
    "negative": ({"sample_weight": [1, 1, -1, 1]}, r"numbers >= 0, got -1 at \[2\]"),
    "nan": ({"sample_weight": [1, 1, np.nan, 1]}, "sample_weight must be finite"),
    "none": ({"sample_weight": np.zeros(4)}, "above 0 for one example or more"),
    "text": ({"sample_weight": "balanced"}, "sample_weight must hold real numbers"),
    "unknown word": ({"class_weight": "equal"}, "'balanced' or numbers, got 'equal'"),
    "unknown class": ({"class_weight": {2: 1.0}}, r"by class in 0…1, got 2"),
    "of text": ({"class_weight": {"a": 1.0}}, r"by class in 0…1, got 'a'"),
    "wrong number": ({"class_weight": [1.0, 2.0, 3.0]}, r"shape \[2\], one for each class"),
    "another index": (
        {"sample_weight": pd.Series(np.ones(4), index=[3, 2, 1, 0])},
        "x and sample_weight must have the same index",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_weights_are_named(case: str) -> None:
    options, message = WRONG[case]
    net = bn.models.GaussianNet(bn.nn.mlp([2, 2]))
    with pytest.raises((TypeError, ValueError), match=message):
        bn.fit(net, (pd.DataFrame(np.ones((4, 2))), [0, 1, 1, 0]), **options, **QUICK)


def test_who_can_not_weigh_says_so(rows: Any) -> None:
    x, y, weights = rows
    pair = bn.models.PyroPair(lambda x, y=None: None, lambda x, y=None: None)
    with pytest.raises(TypeError, match=r"pyro.poutine.scale\(scale=weights\)"):
        bn.fit(pair, (x, y), sample_weight=weights, **QUICK)
    with pytest.raises(ValueError, match="class_weight is for a classification"):
        bn.fit(MODELS["regression"](), (x, y), class_weight="balanced", **QUICK)
