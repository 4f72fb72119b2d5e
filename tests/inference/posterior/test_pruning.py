"""How much is removed, chosen on held-out data by the one-standard-error rule."""

from __future__ import annotations

import pytest
import torch

import bayesnas as bn
from bayesnas.models import knee

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
    found = grouped.prune(by="group", validation=DIGITS.validation)
    masks = zip(found.model.keep_masks().values(), by_hand.model.keep_masks().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in masks)
    assert found.complexity()["parameters_kept"] < grouped.complexity()["parameters_kept"]


@pytest.mark.parametrize("by", ["density", "magnitude"])
def test_no_larger_share_of_single_weights_is_within_one_standard_error(dense, by):
    found = dense.prune(by=by, validation=DIGITS.validation)
    kept = found.complexity()["parameters_kept"]
    share = 1 - kept / found.complexity()["parameters"]
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
    with pytest.raises(TypeError, match="validation= needs a model of a network"):
        post.prune(validation=(x, x[:, 0]))
