"""SupermaskNet: contract, the distribution of the masks, what is frozen, both selections."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.distributions import StraightThroughBernoulli
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.models.base import BayesianModel
from bayesnas.models.networks.supermask import SupermaskNet
from bayesnas.models.networks.supermask_gates import PointMask, kept_over_open, largest_scores
from bayesnas.testing import ModelContract

Data = tuple[Tensor, Tensor]


class TestBernoulli(ModelContract):
    def make_model(self) -> BayesianModel:
        return SupermaskNet(bn.nn.mlp([4, 6, 3]), inclusion=0.4)

    def make_data(self) -> Data:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(20, 4, generator=generator), torch.arange(20) % 3


class TestEdgePopup(TestBernoulli):
    def make_model(self) -> BayesianModel:
        return SupermaskNet(bn.nn.mlp([4, 6, 3]), selection="edge-popup", weights="drawn", kept=0.3)


@pytest.mark.slow
class TestConvolutions(TestBernoulli):
    def make_model(self) -> BayesianModel:
        net = nn.Sequential(
            nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)
        )
        return SupermaskNet(net, rescale=False)

    def make_data(self) -> Data:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(20, 1, 3, 3, generator=generator), torch.arange(20) % 3


def test_the_kl_is_that_of_bernoulli_variables():
    model = SupermaskNet(bn.nn.mlp([4, 3]), inclusion=0.3)
    logits = torch.randn(3, 4)
    model.variational.assign("layer1.gate.logits", logits)
    kl = bound_terms(model, torch.zeros(2, 4), torch.zeros(2, dtype=torch.long)).kl
    p = logits.double().sigmoid()
    expected = (p * (p / 0.3).log() + (1 - p) * ((1 - p) / 0.7).log()).sum()
    assert kl["layer1.gate"].item() == pytest.approx(float(expected), rel=1e-5)


def test_masks_have_the_gradient_of_the_base_class():
    """Given a draw it is a function of the logit alone, so draws of both are compared."""
    slopes = {}
    for distribution in (PointMask, StraightThroughBernoulli):
        logits = torch.tensor([-2.0, -0.3, 0.0, 1.5]).repeat(200, 1).requires_grad_()
        draw = distribution(logits=logits).rsample()
        draw.sum().backward()
        for value in (0.0, 1.0):
            there = (draw.detach() == value) & (draw.detach() == value).any(0)
            rows = there.int().argmax(0)
            slopes[distribution, value] = logits.grad[rows, range(4)]
    for value in (0.0, 1.0):
        expected = slopes[StraightThroughBernoulli, value]
        torch.testing.assert_close(slopes[PointMask, value], expected, rtol=1e-4, atol=1e-6)


def test_masks_are_drawn_with_their_probability():
    draws = PointMask(logits=torch.tensor([-1.0, 0.5])).sample((4000,))
    error = (draws.mean(0) - torch.tensor([-1.0, 0.5]).sigmoid()).abs()
    assert bool((error < 5.5 * 0.5 / math.sqrt(4000)).all())


def test_a_fit_moves_masks_and_no_weight():
    digits = bn.data.load("digits")
    net = bn.nn.mlp([64, 30, 10])
    model = SupermaskNet(net, initial_loc="net")
    post = bn.fit(model, digits.train, steps=250, kl_weight=0.1, progress=False)
    for index, inputs in ((1, 64), (2, 30)):
        frozen = post.model.frozen[f"layer{index}.weight"]
        weight = net.get_parameter(f"layer{index}.weight")
        assert torch.equal(frozen, weight.sign() * math.sqrt(2 / inputs))
        assert not post.model.frozen[f"layer{index}.bias"].any()
        plain = post.model.plain_module().get_parameter(f"layer{index}.weight").detach()
        assert len(plain.unique()) == 3  # −c r, 0, c r
    assert post.evaluate(digits.test, draws=0)["accuracy"] > 0.5  # of ten classes
    assert post.evaluate(digits.test)["accuracy"] > 0.5


def test_frozen_weights_as_they_were_drawn():
    net = bn.nn.mlp([5, 4, 2])
    model = SupermaskNet(net, weights="drawn", initial_loc="net")
    for name, value in net.named_parameters():
        assert torch.equal(model.frozen[name], value)
    post = bn.fit(SupermaskNet(net), (torch.randn(9, 5), torch.arange(9) % 2), steps=2, seed=1)
    assert not torch.equal(post.model.frozen["layer1.weight"].sign(), net.layer1.weight.sign())


def test_the_plain_network_has_the_likelier_masks_rescaled():
    model = SupermaskNet(bn.nn.mlp([4, 3]), weights="drawn", initial_loc="net")
    logits = torch.tensor([[1.0, -1.0, -2.0, 3.0]] * 3)
    model.variational.assign("layer1.gate.logits", logits)
    expected = model.frozen["layer1.weight"] * (logits > 0) * 2.0
    assert torch.equal(model.plain_module().layer1.weight, expected)
    post = bn.fit(model, (torch.randn(9, 4), torch.arange(9) % 3), steps=3, progress=False)
    x = torch.randn(5, 4)
    with torch.no_grad():
        outputs = post.compact()(x)
    metrics = post.evaluate((x, outputs.argmax(1)), draws=0)
    assert metrics["accuracy"] == 1.0


def test_edge_popup_keeps_the_largest_scores_and_passes_the_gradient():
    scores = torch.randn(7, 9, requires_grad=True)
    mask = largest_scores(scores, None, 0.4)
    order = scores.detach().abs().flatten().sort(descending=True).indices
    assert set(mask.detach().flatten().nonzero().flatten().tolist()) == set(order[:25].tolist())
    (mask * torch.arange(63.0).reshape(7, 9)).sum().backward()
    assert torch.equal(scores.grad, torch.arange(63.0).reshape(7, 9) * scores.detach().sign())
    kept = torch.zeros(7, 9, dtype=torch.bool)
    kept[0] = True
    few = largest_scores(scores.detach(), kept, 1.0)
    assert torch.equal(few > 0, kept)
    assert float(kept_over_open(few, kept)) == 1.0
    assert not largest_scores(scores.detach(), torch.zeros_like(kept), 0.5).any()


def test_edge_popup_keeps_its_share_where_scores_are_equal():
    mask = largest_scores(torch.tensor([[1.0, -1.0, 1.0], [0.5, 1.0, 0.0]]), None, 0.5)
    assert mask.shape == (2, 3)
    assert sorted(mask.flatten().tolist()) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert mask[1, 0] == mask[1, 2] == 0.0


def test_edge_popup_learns_and_its_kl_is_the_surprise_of_the_mask():
    digits = bn.data.load("digits")
    model = SupermaskNet(bn.nn.mlp([64, 30, 10]), selection="edge-popup", kept=0.3, inclusion=0.2)
    post = bn.fit(model, digits.train, steps=400, progress=False)
    metrics = post.evaluate(digits.test)
    assert metrics["kl"] == pytest.approx(-666 * math.log(0.2) - 1554 * math.log(0.8), rel=1e-5)
    assert metrics["accuracy"] > 0.5
    assert post.complexity()["parameters_kept"] == round(0.3 * 1920) + round(0.3 * 300)
    values = post.structure()["layer1.inclusion"].values
    assert set(values.ravel().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("selection", ["bernoulli", "edge-popup"])
def test_removed_weights_leave_the_network_and_the_kl(selection):
    data = torch.randn(30, 4), torch.arange(30) % 3
    model = SupermaskNet(bn.nn.mlp([4, 6, 3]), selection=selection, kept=1.0)
    post = bn.fit(model, data, steps=20, progress=False)
    masks = {"layer1.weight": torch.ones(6, 4).bool(), "layer2.weight": torch.ones(3, 6).bool()}
    masks["layer1.weight"][:, 2] = False
    post.model.set_keep_masks(masks)
    again = post.refine(data, steps=10, progress=False)
    assert not again.model.plain_module().layer1.weight[:, 2].any()
    assert not again.structure()["layer1.inclusion"].values[:, 2].any()
    if selection == "bernoulli":
        kl = bound_terms(again.model, *data).kl
        p = again.model.variational["layer1.gate.logits"].detach().double().sigmoid()
        terms = p * (2 * p).log() + (1 - p) * (2 * (1 - p)).log()
        expected = float(terms[:, [0, 1, 3]].sum())
        assert kl["layer1.gate"].item() == pytest.approx(expected, rel=1e-4)


def test_a_regression_comes_back_from_its_folder(tmp_path):
    x = torch.randn(60, 3)
    model = SupermaskNet(bn.nn.mlp([3, 20, 1]), likelihood="gaussian")
    post = bn.fit(model, (x, x.sum(1)), steps=30, kl_weight=0.1, progress=False)
    post.save(tmp_path / "run")
    again = bn.load(tmp_path / "run")
    assert torch.equal(again.compact()(x), post.compact()(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "constant"}, "weights must be"),
        ({"selection": "top"}, "selection must be"),
        ({"inclusion": 1.0}, "inclusion must be a probability"),
        ({"kept": 0.0}, r"kept must be a fraction in \(0, 1\]"),
        ({"initial_loc": "zero"}, "initial_loc must be"),
        ({"rescale": 2}, "rescale must be"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SupermaskNet(bn.nn.mlp([3, 2]), **options)
