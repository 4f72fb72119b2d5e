"""SpikeAndSlabNet: contract, gates of every kind, training on digits, removal."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.models.base import BayesianModel
from bayesnas.models.networks.spike_and_slab import SpikeAndSlabNet
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream
from bayesnas.testing import ModelContract

Data = tuple[Tensor, Tensor]


class TestWeights(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabNet(bn.nn.mlp([4, 6, 3]), slab_scale=0.5)

    def make_data(self) -> Data:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(20, 4, generator=generator), torch.arange(20) % 3


class TestNeurons(TestWeights):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabNet(
            bn.nn.mlp([4, 6, 3]), "neurons", inclusion="learned", slab_scale="learned",
            estimator="weight",
        )  # fmt: skip


def test_a_learned_inclusion_is_one_a_layer_and_starts_at_a_tenth():
    """Its optimum is where the prior is the guide: no gradient there, and no divergence."""
    model = bn.models.SpikeAndSlabNet(bn.nn.mlp([4, 6, 3]), "neurons", inclusion="learned")
    priors = model.structure_priors()
    assert {site: p.event_shape for site, p in priors.items()} == {
        "layer1.gate": (4,),
        "layer2.gate": (6,),
    }
    at_start = [model.gates.inclusion(model.gate_prior(g).logits) for g in model.groups]
    assert all(p.tolist() == pytest.approx([0.1] * len(p)) for p in at_start)
    for group, prior in zip(model.groups, model.gate_prior_logits.logits, strict=True):
        model.variational.assign(f"{group.site}.logits", prior.expand(group.shape))
    total = sum(
        kl_divergence(model.gate_posterior(g).to_event(1), model.structure_priors()[g.site])
        for g in model.groups
    )
    total.backward()
    assert total.item() == pytest.approx(0.0, abs=1e-6)
    assert model.gate_prior_logits.logits.grad.tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


@pytest.mark.slow
class TestBinaryConcrete(TestWeights):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabNet(
            bn.nn.mlp([4, 6, 3]), "neurons", relaxation="binary-concrete", temperature=0.4
        )


def small_convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(36, 1),
    )  # fmt: skip


class TestFilters(TestWeights):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabNet(
            small_convnet(), ["filters", "neurons"], likelihood="bernoulli"
        )

    def make_data(self) -> Data:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(20, 1, 4, 4, generator=generator), torch.arange(20) % 2


@pytest.mark.slow
class TestOneLayer(TestWeights):
    def make_model(self) -> BayesianModel:
        return bn.models.SpikeAndSlabNet(
            nn.Linear(4, 1), "neurons", likelihood="gaussian", noise_scale=0.5
        )

    def make_data(self) -> Data:
        x, _ = super().make_data()
        return x, x[:, 0]


@pytest.mark.parametrize(
    ("gates", "dims"),
    [
        ("weights", {"0": ("out", "in", "height", "width"), "5": ("out", "in")}),
        ("filters", {"0": ("out",), "2": ("out",)}),
        ("neurons", {"5": ("in",)}),
        (("filters", "neurons"), {"0": ("out",), "5": ("in",)}),
    ],
)
def test_structure_names_the_gates_of_every_layer(gates, dims) -> None:
    structure = SpikeAndSlabNet(small_convnet(), gates).structure()
    for layer, axes in dims.items():
        assert structure[f"{layer}.inclusion"].dims == tuple(f"{layer}.{axis}" for axis in axes)


def test_the_kl_is_that_of_a_spike_and_slab_in_expectation() -> None:
    """KL of the weights: Σ P(open) KL(N(μ, σ²) ‖ N(0, s²)), and its gradient in the gates."""
    model = SpikeAndSlabNet(bn.nn.mlp([64, 3], bias=False), "neurons", slab_scale=0.5)
    model.variational.assign("layer1.gate.logits", torch.tensor([-2.0, -0.5, 0.5, 2.0] * 16))
    logits = model.variational["layer1.gate.logits"]
    loc = model.variational["layer1.weight.loc"].detach()
    scale = model.variational["layer1.weight.log_scale"].detach().exp()
    per_neuron = kl_divergence(Normal(loc, scale), Normal(0.0, 0.5)).sum(0)
    expected = (model.gates.inclusion(logits) * per_neuron).sum()
    (wanted,) = torch.autograd.grad(expected, logits)
    values, gradients = [], []
    x, y = torch.randn(5, 64), torch.arange(5) % 3
    for _ in range(300):
        with pyro_session(RandomStream(len(values), x.device)):
            kl = bound_terms(model, x, y).kl["layer1.weight"]
        values.append(kl.detach())
        gradients.append(torch.autograd.grad(kl, logits)[0])
    kls = torch.stack(values)
    assert abs(kls.mean() - expected) < 5 * kls.std() / 300**0.5
    assert torch.allclose(torch.stack(gradients), wanted, rtol=1e-4)  # without noise


def test_shut_gates_shut_their_weights_in_every_draw() -> None:
    post = bn.fit(
        SpikeAndSlabNet(bn.nn.mlp([4, 6, 3]), "neurons", initial_inclusion=0.5),
        (torch.randn(20, 4), torch.arange(20) % 3),
        steps=3,
        progress=False,
    )
    draws = post.sample(draws=50)
    gates, weights = draws["layer2.gate"], draws["layer2.weight"]
    assert (gates == 0).any()
    assert (gates > 0).any()
    assert torch.equal((weights != 0).all(1), gates > 0)
    assert torch.equal((weights != 0).any(1), gates > 0)


@pytest.mark.slow
def test_unused_gates_come_to_rest_at_the_prior() -> None:
    """Inputs that are always zero say nothing of their gates."""
    x = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    x[:, 3:] = 0
    y = (x[:, 0] > 0).long()
    model = SpikeAndSlabNet(bn.nn.mlp([6, 2]), "neurons", inclusion=0.2)
    post = bn.fit(model, (x, y), steps=1500, lr=0.02, compile="trace", progress=False)
    inclusion = post.structure()["layer1.inclusion"].values
    assert np.allclose(inclusion[3:], 0.2, atol=0.02)
    assert inclusion[0] > 0.95


def fit_digits(gates: str, inclusion: float, kl_weight: float, lr: float) -> bn.Posterior:
    model = SpikeAndSlabNet(bn.nn.mlp([64, 50, 10]), gates, inclusion=inclusion, slab_scale=0.3)
    train = bn.data.load("digits").train
    return bn.fit(
        model, train, kl_weight=kl_weight, steps=1000, lr=lr, compile="trace", progress=False
    )


@pytest.mark.slow
def test_digits_with_gates_on_weights() -> None:
    post, data = fit_digits("weights", 0.1, 0.1, 0.02), bn.data.load("digits")
    assert post.evaluate(data.test)["accuracy"] > 0.95
    # Seeds 0 to 3: .48 ± .02 of the gates, .63 ± .03 of the parameters.
    assert float((post.structure()["layer1.inclusion"] < 0.5).mean()) > 0.37
    complexity = post.complexity()
    assert complexity["parameters_kept"] < 0.78 * complexity["parameters"]
    check_removal(post, data)


@pytest.mark.slow
def test_digits_with_gates_on_neurons() -> None:
    post, data = fit_digits("neurons", 0.05, 0.3, 0.03), bn.data.load("digits")
    assert post.evaluate(data.test)["accuracy"] > 0.95
    inclusion = post.structure()
    blank = (data.train.x.std(0) == 0).numpy()
    assert (inclusion["layer1.inclusion"].values[blank] < 0.3).all()
    off = sum(int((variable < 0.5).sum()) for variable in inclusion.data_vars.values())
    assert off > 0.2 * (64 + 50)
    check_removal(post, data)


def check_removal(post: bn.Posterior, data: bn.data.DataSet) -> None:
    """Posterior means, plain module, pruned posterior and compact module say the same."""
    assert isinstance(post.model, SpikeAndSlabNet)
    x = data.test.x
    plain, small = post.model.plain_module().eval(), post.compact().eval()
    with torch.no_grad():
        expected = plain(x)
        assert torch.allclose(small(x), expected, atol=1e-4)
        probabilities = expected.softmax(-1)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in plain.parameters())
    accuracy = (probabilities.argmax(-1) == data.test.y).float().mean().item()
    assert post.evaluate(data.test, draws=0)["accuracy"] == pytest.approx(accuracy)
    pruned = post.prune(fraction=0.0)  # what is shut at test time goes for good
    with torch.no_grad():
        assert torch.equal(pruned.model.plain_module()(x), expected)
    masks = pruned.model.keep_masks()
    for site, draw in pruned.sample(draws=2).items():
        if site in masks:
            assert torch.all(draw[:, ~masks[site]] == 0)
    assert pruned.complexity()["kl_nats"] < post.complexity()["kl_nats"]


def test_filters_are_removed_with_their_biases() -> None:
    model = SpikeAndSlabNet(small_convnet(), "filters", likelihood="bernoulli")
    model.variational.assign("0.gate.logits", torch.tensor([4.0, -4.0, 4.0]))
    plain = copy.deepcopy(model).plain_module()
    assert torch.all(plain[0].weight[1] == 0)  # type: ignore[index]
    assert plain[0].bias[1] == 0  # type: ignore[index]
    small = bn.pruning.compaction.compact(plain, torch.randn(2, 1, 4, 4))
    assert small[0].out_channels == 2  # type: ignore[index]


def test_removed_groups_leave_the_kl() -> None:
    model = SpikeAndSlabNet(bn.nn.mlp([4, 3]), "neurons")
    x, y = torch.randn(5, 4), torch.arange(5) % 3
    masks = model.keep_masks()
    masks["layer1.weight"][:, 1] = False
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)):
        before = bound_terms(model, x, y).kl["layer1.gate"]
        model.set_keep_masks(masks)
        after = bound_terms(model, x, y).kl["layer1.gate"]
        trace = poutine.trace(model.guide).get_trace(x)
    assert after == pytest.approx(0.75 * before.item(), rel=0.05)
    assert torch.all(trace.nodes["layer1.weight"]["value"].draw()[:, 1] == 0)
    assert model.structure()["layer1.inclusion"].values[1] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gates": "layers"}, "gates must be one of"),
        ({"gates": ()}, "gates must be one of"),
        ({"gates": ("weights", "neurons")}, "can't be combined"),
        ({"gates": "filters"}, "gates='filters' needs a net with a stochastic convolution"),
        ({"inclusion": 1.2}, r"inclusion must be a probability in \(0, 1\), got 1.2"),
        ({"initial_inclusion": 1.0}, "initial_inclusion must be a probability"),
        ({"slab_scale": -1.0}, "slab_scale must be a finite number > 0, got -1.0"),
        ({"initial_scale": 0.0}, "initial_scale must be a finite number > 0"),
        ({"temperature": 0.0}, "temperature must be a finite number > 0"),
        ({"relaxation": "concrete"}, "relaxation must be one of"),
        ({"estimator": "flipout"}, "estimator must be one of"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpikeAndSlabNet(bn.nn.mlp([4, 6, 3]), **options)  # type: ignore[arg-type]


def test_nets_without_the_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="by default a linear or convolution layer"):
        SpikeAndSlabNet(nn.Sequential(nn.Flatten()))
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    with pytest.raises(ValueError, match="gates='neurons' needs a net with a stochastic linear"):
        SpikeAndSlabNet(convolution, "neurons")
