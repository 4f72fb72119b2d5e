"""How much is removed, chosen on held-out data by the one-standard-error rule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.models import knee
from bayesnas.pruning.criteria.evidence import evidence_gain
from bayesnas.pruning.criteria.registry import RULES

DIGITS = bn.data.load("digits", validation=0.3)


def errors_of(post, data):
    """Which rows of the data the posterior means get wrong."""
    return (post.compact()(data.x).argmax(-1) != data.y).double()


@pytest.fixture(scope="module")
def dense():
    model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]), prior_scale=0.3)
    return bn.fit(model, DIGITS.train, epochs=20, lr=1e-2, progress=False)


@pytest.fixture(scope="module")
def grouped():
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 20, 10]), initial_scale=0.1)
    return bn.fit(
        model, DIGITS.train, kl_weight=0.3, epochs=20, lr=3e-2, batch_size=128, progress=False
    )


def test_groups_go_up_to_the_knee(grouped):
    x, y = DIGITS.validation
    by_hand = grouped.prune(by="group", threshold=knee(grouped.model.group_sweep(x, y)))
    pruned = grouped.prune(by="group", validation=DIGITS.validation)
    masks = [each.model.keep_masks().values() for each in (pruned, by_hand)]
    assert all(torch.equal(one, other) for one, other in zip(*masks, strict=True))
    assert pruned.complexity()["parameters_kept"] < grouped.complexity()["parameters_kept"]


@pytest.mark.parametrize("by", ["density", "magnitude"])
def test_no_larger_share_of_single_weights_is_within_one_standard_error(dense, by):
    pruned = dense.prune(by=by, validation=DIGITS.validation)
    kept = pruned.complexity()["parameters_kept"]
    share = 1 - kept / pruned.complexity()["parameters"]
    errors = {
        fraction: errors_of(dense.prune(fraction=fraction, by=by), DIGITS.validation)
        for fraction in [index / 40 for index in range(40)] + [0.98, 0.985, 0.99, 0.995]
    }
    best = min(errors.values(), key=lambda each: float(each.mean()))
    limit = float(best.mean() + best.std() / len(best) ** 0.5)
    largest = max(fraction for fraction, each in errors.items() if float(each.mean()) <= limit)
    assert share == pytest.approx(largest, abs=1 / 1500)  # whole weights go
    assert share > 0.3


def test_what_can_not_be_chosen_is_refused(dense):
    with pytest.raises(ValueError, match=r"one of fraction, threshold and validation"):
        dense.prune(fraction=0.5, validation=DIGITS.validation)
    with pytest.raises(TypeError, match="by='group' needs a model with a scale"):
        dense.prune(by="group", validation=DIGITS.validation)
    regression = bn.models.ArdRegression(3)
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    post = bn.fit(regression, (x, x[:, 0]), steps=1, progress=False)
    with pytest.raises(TypeError, match="ArdRegression has no weights to prune"):
        post.prune(validation=(x, x[:, 0]))


# Criteria ---------------------------------------------------------------------------------------


@pytest.mark.slow_except("density", "evidence", "magnitude", "obd", "fisher", "random")
@pytest.mark.parametrize("by", RULES)
def test_every_criterion_removes_the_share_of_a_net(dense, by):
    pruned = dense.prune(fraction=0.7, by=by, training=DIGITS.train)
    masks = pruned.model.keep_masks()
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.7 * 1510)
    means = dict(pruned.model.plain_module().named_parameters())
    before = dict(dense.model.plain_module().named_parameters())
    assert all(bool((means[site][~mask] == 0).all()) for site, mask in masks.items())
    as_before = [torch.equal(means[site], before[site] * mask) for site, mask in masks.items()]
    assert all(as_before) == (by not in {"obs", "reduction", "relevance"})
    assert dense.complexity()["parameters_kept"] == 1510


def test_the_evidence_chooses_by_itself(dense):
    pruned = dense.prune(by="evidence")
    assert torch.equal(
        pruned.model.keep_masks()["layer1.weight"],
        evidence_gain(*dense.model.weight_posteriors()["layer1.weight"], torch.tensor(0.3)) < 0,
    )


def test_the_damage_is_that_of_the_penalised_loss(dense):
    """By the prior's precision over N, and the network of the means."""
    net = dense.model.plain_module().requires_grad_(False)
    output = net(DIGITS.train.x)
    p = output.softmax(-1).double()
    hidden = net[:3](DIGITS.train.x).double()
    h = (p * (1 - p)).T @ hidden.square() / len(p) + 1 / (len(p) * 0.3**2)
    saliency = 0.5 * h * net.layer2.weight.double().square()
    threshold = float(saliency.median()) * (1 + 1e-6)
    pruned = dense.prune(by="obd", threshold=threshold, training=DIGITS.train)
    assert torch.equal(pruned.model.keep_masks()["layer2.weight"], saliency > threshold)


def test_groups_by_a_criterion_leave_a_smaller_module(dense):
    pruned = dense.prune(by="density", fraction=0.5, groups=True, biases=False)
    small = pruned.compact()
    assert sum(p.numel() for p in small.parameters()) < 1510
    x = DIGITS.validation.x
    torch.testing.assert_close(small(x), pruned.model.plain_module()(x))


def test_refining_brings_nothing_back(dense):
    pruned = dense.prune(fraction=0.9, by="fisher", training=DIGITS.train)
    again = pruned.refine(DIGITS.train, steps=5, progress=False)
    masks = pruned.model.keep_masks()
    for site, mean in again.model.plain_module().named_parameters():
        assert bool((mean[~masks[site]] == 0).all())
        assert torch.equal(again.model.keep_masks()[site], masks[site])


def test_a_curve_by_the_loss(dense):
    curve = dense.pruning_curve(
        DIGITS.validation, (0.0, 0.9), by=("obd", "random"), training=DIGITS.train
    )
    accuracy = curve["accuracy"]
    assert float(accuracy.sel(by="obd", fraction=0.0)) == float(
        accuracy.sel(by="random", fraction=0.0)
    )
    assert float(accuracy.sel(by="obd", fraction=0.9)) > float(
        accuracy.sel(by="random", fraction=0.9)
    )


def test_what_a_model_has_not_is_named(dense, grouped):
    with pytest.raises(TypeError, match=r"by='evidence' needs Gaussian .* got a BayesianCompressi"):
        grouped.prune(by="evidence")
    with pytest.raises(TypeError, match="BayesianCompressionNet has no means of single weights"):
        grouped.prune(by="obs", fraction=0.5, training=DIGITS.train)
    assert grouped.prune(by="obd", fraction=0.5, training=DIGITS.train).complexity()
    with pytest.raises(ValueError, match="by='obd' looks at the loss on the training data"):
        dense.prune(by="obd", fraction=0.5)
    with pytest.raises(ValueError, match="groups and biases must be left out for by='group'"):
        grouped.prune(by="group", threshold=1.0, groups=True)
    with pytest.raises(ValueError, match=r"got 'evidense'; did you mean 'evidence'\?"):
        dense.prune(by="evidense", fraction=0.5)


def test_a_latent_structure_has_no_loss_of_its_weights():
    edges = {("x", "h"): nn.Linear(64, 4), ("h", "y"): [nn.Linear(4, 10), nn.Linear(4, 10)]}
    graph = bn.nn.Graph(edges, example=DIGITS.train.x[:2])
    model = bn.models.LatentStructureNet(graph)
    post = bn.fit(model, DIGITS.train, steps=1, progress=False)
    assert post.prune(by="density", fraction=0.5).complexity()
    with pytest.raises(TypeError, match="by='obd' needs weights that are parameters of one"):
        post.prune(by="obd", fraction=0.5, training=DIGITS.train)
    with pytest.raises(TypeError, match="LatentStructureNet has no means of single weights"):
        post.prune(by="obs", fraction=0.5, training=DIGITS.train)
    with pytest.raises(TypeError, match="by='evidence' needs Gaussian priors"):
        post.prune(by="evidence")
