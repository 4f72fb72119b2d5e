"""Numbers of a model that one fit may be over: buffers, in a traced step as at construction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.steps.step import Step
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

GAUSSIAN = {"likelihood": "gaussian", "noise_scale": 0.5}
CPU = torch.device("cpu")


MODELS = {
    "gaussian": lambda: bn.models.GaussianNet(bn.nn.mlp([3, 4, 1]), **GAUSSIAN),
    "ard": lambda: bn.models.ArdRegression(3, noise_scale=0.5),
    "spike-and-slab": lambda: bn.models.SpikeAndSlabRegression(3, noise_scale=0.5),
    "gates": lambda: bn.models.SpikeAndSlabNet(bn.nn.mlp([3, 4, 1]), **GAUSSIAN),
    "compression": lambda: bn.models.BayesianCompressionNet(bn.nn.mlp([3, 4, 1]), **GAUSSIAN),
}
NAMES = {
    "gaussian": ("prior_scale", "noise_scale"),
    "ard": ("noise_scale",),
    "spike-and-slab": ("slab_scale", "noise_scale"),
    "gates": ("slab_scale", "noise_scale"),
    "compression": ("noise_scale",),
}


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    return x, x[:, 0] - 0.5 * x[:, 2]


def bound(model: BayesianModel, x: Tensor, y: Tensor) -> float:
    with torch.no_grad(), pyro_session(RandomStream(3, CPU)):
        return float(bound_terms(model, x, y).bound(2.0))


@pytest.mark.parametrize("kind", MODELS)
def test_a_changed_model_is_one_built_with_the_value(kind, data) -> None:
    """Buffers, configuration and bound; and the bound is another than before."""
    model = MODELS[kind]()
    assert model.metaparameters() == NAMES[kind]
    with pyro_session(RandomStream(0, CPU)):
        model.prepare(*data)
        model.reset()
    for name in NAMES[kind]:
        before = bound(model, *data)
        model.set_metaparameter(name, 0.3)
        assert model.config()[name] == 0.3
        assert abs(bound(model, *data) - before) > 0.1
    anew = type(model).from_config(model.config())
    buffers = dict(model.named_buffers())
    for name, value in dict(anew.named_buffers()).items():
        if name.endswith("scale") and "log" in name:
            assert torch.allclose(value, buffers[name]), name
    with pyro_session(RandomStream(0, CPU)):
        anew.prepare(*data)
    anew.load_state_dict(
        {**model.state_dict(), **{n: v for n, v in anew.named_buffers() if "log" in n}}
    )
    assert bound(anew, *data) == pytest.approx(bound(model, *data), rel=1e-5)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), "1"])
def test_a_value_that_the_constructor_refuses_is_refused(kind, wrong) -> None:
    model = MODELS[kind]()
    for name in NAMES[kind]:
        with pytest.raises(ValueError, match=f"{name} must be"):
            model.set_metaparameter(name, wrong)
    with pytest.raises(ValueError, match="has no metaparameter 'width'"):
        model.set_metaparameter("width", 1.0)


@pytest.mark.slow_except("gaussian", "ard")
@pytest.mark.parametrize("kind", MODELS)
def test_a_traced_step_holds_at_values_it_was_not_recorded_at(kind, data) -> None:
    model = MODELS[kind]()
    ranges = {name: bn.LogUniform(0.2, 0.9) for name in NAMES[kind]}
    with pyro_session(RandomStream(0, CPU)):
        model.prepare(*data)
        model.reset()
    settings = make_settings(
        examples=20, kl_weight=bn.LogUniform(0.1, 100.0), kl_warmup=0.0, amortize="linear",
        epochs=None, steps=100, batch_size=20, lr=1e-3, schedule="constant", clip=None,
        restarts=1, patience=None, seed=0, compile="trace", metaparameters=ranges,
        known=model.metaparameters(),
    )  # fmt: skip
    stream = RandomStream(0, CPU)
    with pyro_session(stream):
        step = Step(model, torch.optim.Adam, settings, 20, stream, str)
        for place in (0.25, 0.85):
            at = dict.fromkeys(NAMES[kind], place)
            assert step.traced.difference(*data, 3.0, at) < 1e-6
