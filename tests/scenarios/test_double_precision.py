"""A net of double precision stays one: parameters, steps, posterior, files, smaller nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms

DOUBLE = torch.float64
QUICK: dict[str, Any] = {"steps": 4, "lr": 0.01, "batch_size": 16, "progress": False}


def graph() -> bn.nn.Graph:
    first = [nn.Linear(3, 4).double(), nn.Linear(3, 4).double()]
    edges = {("x", "h"): first, ("h", "y"): nn.Linear(4, 2).double()}
    return bn.nn.Graph(edges, example=torch.zeros(2, 3, dtype=DOUBLE))


def net() -> nn.Module:
    return bn.nn.mlp([3, 4, 2]).double()


MODELS: dict[str, Any] = {
    "gaussian": lambda: bn.models.GaussianNet(net(), prior_scale=0.3),
    "learned": lambda: bn.models.GaussianNet(net(), prior_scale="learned"),
    "ordinal": lambda: bn.models.GaussianNet(bn.nn.mlp([3, 1]).double(), likelihood="ordinal"),
    "gates": lambda: bn.models.SpikeAndSlabNet(net()),
    "neurons": lambda: bn.models.SpikeAndSlabNet(
        net(), gates="neurons", relaxation="binary-concrete", slab_scale=0.3
    ),
    "compression": lambda: bn.models.BayesianCompressionNet(net()),
    "horseshoe": lambda: bn.models.BayesianCompressionNet(net(), prior="horseshoe"),
    "structure": lambda: bn.models.LatentStructureNet(graph(), cost="parameters"),
    "regression": lambda: bn.models.SpikeAndSlabRegression(3, likelihood="bernoulli").double(),
}


def others(module: nn.Module) -> list[str]:
    """Names of floating-point tensors that are not in double precision."""
    state = module.state_dict().items()
    return [name for name, v in state if v.is_floating_point() and v.dtype != DOUBLE]


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    return x, (x[:, 0] > 0).long()


@pytest.mark.slow_except("gaussian", "compression", "regression")
@pytest.mark.parametrize("name", MODELS)
def test_every_number_is_double_to_the_end(
    name: str, data: tuple[Tensor, Tensor], tmp_path: Any
) -> None:
    model = MODELS[name]()
    assert others(model) == []
    eager, post = (bn.fit(model, data, compile=c, **QUICK) for c in (False, "trace"))
    assert others(post.model) == []
    losses = [each.history()["loss"].values for each in (eager, post)]
    assert losses[0].dtype == np.float64
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)  # a λ or a step size of float32: 1e-8
    assert post.predict(data[0], draws=2).dtype == DOUBLE
    assert post.predict(data[0].numpy(), draws=2).equal(post.predict(data[0], draws=2))

    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert others(loaded.model) == []
    assert loaded.predict(data[0], draws=2).equal(post.predict(data[0], draws=2))
    assert loaded.evaluate(data) == post.evaluate(data)
    if post.model.weight_posteriors() and name != "structure":
        smaller = post.prune(fraction=0.3)
        assert others(smaller.compact()) == []
        means = smaller.model.plain_module()(data[0])
        assert torch.allclose(smaller.compact()(data[0]), means, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_batched_chains_are_those_alone(data: tuple[Tensor, Tensor]) -> None:
    model = MODELS["gaussian"]()
    options: dict[str, Any] = {**QUICK, "kl_weight": [0.1, 0.7], "compile": "trace"}
    alone, together = (bn.fit(model, data, batched=b, **options) for b in (False, True))
    assert together.history()["loss"].values == pytest.approx(
        alone.history()["loss"].values, rel=1e-12
    )


def test_kl_and_log_likelihood_are_exact_to_double_precision(data: tuple[Tensor, Tensor]) -> None:
    x, _ = data
    y = x @ torch.tensor([1.0, -0.5, 0.0], dtype=DOUBLE)
    model = bn.models.GaussianNet(
        bn.nn.mlp([3, 4, 1]).double(), prior_scale=0.3, likelihood="gaussian", noise_scale=0.7,
        initial_scale=0.02,
    )  # fmt: skip
    torch.manual_seed(0)
    model.reset()
    kl = 0.0
    for loc, _ in model.weight_posteriors().values():
        mean, sd, prior = loc.numpy().astype(np.longdouble), np.longdouble(0.02), np.longdouble(0.3)
        kl += (np.log(prior / sd) + (sd**2 + mean**2) / (2 * prior**2) - 0.5).sum()
    with torch.no_grad():
        divergence = float(bound_terms(model, x, y).kl_divergence())
    assert divergence == pytest.approx(float(kl), rel=1e-13)  # 1e-7 where a scale was of float32

    points = bn.models.GaussianNet(
        bn.nn.mlp([3, 4, 1]).double(), likelihood="gaussian", noise_scale=0.7, stochastic="none"
    )
    with torch.no_grad():
        log_lik = float(bound_terms(points, x, y).expected_log_lik())
        means = points.plain_module()(x)[:, 0].numpy()
    assert log_lik == pytest.approx(stats.norm.logpdf(y.numpy(), means, 0.7).sum(), rel=1e-13)


@pytest.mark.slow
def test_least_squares_to_double_precision_and_to_single() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 2))
    y = x @ np.array([2.0, -1.0]) + 0.5 + 0.1 * generator.normal(size=60)
    design = np.column_stack([x, np.ones(60)])
    exact = np.linalg.lstsq(design, y, rcond=None)[0]
    errors = {}
    for dtype in (torch.float32, DOUBLE):
        model = bn.models.GaussianNet(
            nn.Linear(2, 1).to(dtype), likelihood="gaussian", noise_scale=1.0, stochastic="none"
        )
        post = bn.fit(
            model, (x, y), kl_weight=0.0, steps=3000, lr=0.05, batch_size=60, compile="trace",
            progress=False,
        )  # fmt: skip
        layer = post.model.plain_module()
        weights = [*layer.weight[0].tolist(), layer.bias.item()]
        errors[dtype] = float(np.abs(np.array(weights) - exact).max())
    assert errors[DOUBLE] < 1e-9
    assert errors[torch.float32] < 1e-4


def test_a_run_of_double_precision_is_not_loaded_into_single(
    data: tuple[Tensor, Tensor], tmp_path: Any
) -> None:
    bn.fit(bn.models.ArdRegression(3).double(), (data[0], data[0][:, 0]), **QUICK).save(
        tmp_path / "run"
    )
    assert others(bn.load(tmp_path / "run").model) == []
    with pytest.raises(ValueError, match="parameters of float64, got one of float32"):
        bn.load(tmp_path / "run", model=bn.models.ArdRegression(3))


def test_data_of_single_precision_are_exact_in_a_double_net(data: tuple[Tensor, Tensor]) -> None:
    x, y = data
    post = bn.fit(MODELS["gaussian"](), (x.float(), y), **QUICK)
    assert post.example[0].dtype == DOUBLE
    assert post.predict(x.float(), draws=2).equal(post.predict(x.float().double(), draws=2))
