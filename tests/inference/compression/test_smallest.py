"""The smallest network along the KL weight of one fit, by the rule said again in this file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas.inference.compression.compressed import weight_count


@pytest.fixture(scope="module")
def data():
    """Two of twelve features say everything."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 12, generator=generator)
    y = (x[:, 0] + x[:, 1] > 0).long()
    return bn.data.from_arrays(x, y, validation=0.2)


@pytest.fixture(scope="module")
def post(data):
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([12, 8, 2]), "horseshoe")
    return bn.fit(
        model, data.train, kl_weight=bn.LogUniform(0.1, 10), steps=150, lr=0.05, compile=False
    )


@pytest.fixture(scope="module")
def small(post, data):
    return bn.inference.smallest(post, data.validation, kl_weights=[0.1, 1, 10])


def errors(net, part):
    with torch.no_grad():
        return (net(part.x).argmax(-1) != part.y).double()


def test_the_one_that_is_taken_is_the_smallest_within_the_limit(post, data, small):
    whole = [errors(post.at(k).model.plain_module().eval(), data.validation) for k in (0.1, 1, 10)]
    best = min(whole, key=lambda e: (e.mean(), e.std()))
    limit = float(best.mean() + best.std() / len(best) ** 0.5)
    assert small.limit == pytest.approx(limit)
    torch.testing.assert_close(errors(small.whole, data.validation), best)
    path = small.path
    within = path["loss"].values <= limit + 1e-9
    assert bool(within[path["chosen"].values].all())
    assert path["chosen"].values.sum() == 1
    assert small.weights == path["weights"].values[within].min()
    assert float(errors(small.module, data.validation).mean()) <= limit + 1e-9


def test_what_is_told_of_it_is_so(data, small):
    stage = small.path.isel(stage=int(small.path["chosen"].argmax("stage")))
    assert float(stage["loss"]) == pytest.approx(
        float(errors(small.module, data.validation).mean())
    )
    assert small.weights == weight_count(small.module) == int(stage["weights"])
    masks = small.posterior.model.keep_masks().values()
    assert int(stage["nonzero"]) == sum(int(mask.sum()) for mask in masks)
    assert small.weights_before == 12 * 8 + 8 * 2
    assert small.posterior.kl_weight == float(stage["kl_weight"])


def test_the_features_that_say_nothing_go(small):
    """Noise features outweigh the two by chance with a probability far below 1e-6."""
    first = next(m for m in small.module.modules() if isinstance(m, torch.nn.Linear))
    strength = first.weight.detach().norm(dim=0)
    assert strength[:2].min() > strength[2:].max()


@pytest.mark.slow
def test_a_wider_tolerance_gives_no_larger_network(post, data, small):
    wide = bn.inference.smallest(post, data.validation, kl_weights=[0.1, 1, 10], tolerance=4)
    assert wide.weights <= small.weights


def test_a_fit_at_one_kl_weight_and_a_model_without_groups(data):
    model = bn.models.GaussianNet(bn.nn.mlp([12, 4, 2]))
    post = bn.fit(model, data.train, steps=60, lr=0.05, progress=False)
    compressed = bn.inference.smallest(post, data.validation)
    assert compressed.path.sizes["stage"] == 1
    assert compressed.weights <= 56
    several = bn.fit(model, data.train, kl_weight=[0.1, 1], steps=20, lr=0.05, progress=False)
    compressed = bn.inference.smallest(several, data.validation)
    np.testing.assert_array_equal(compressed.path["kl_weight"], [0.1, 1])


def test_bad_arguments_are_named(post, data, xy):
    validation = data.validation
    with pytest.raises(ValueError, match="kl_weights must hold at least one"):
        bn.inference.smallest(post, validation, kl_weights=[])
    with pytest.raises(ValueError, match="kl_weights goes with a fit of many, got one at 1"):
        bn.inference.smallest(post.at(1.0), validation, kl_weights=[1.0])
    with pytest.raises(ValueError, match="tolerance must be"):
        bn.inference.smallest(post, validation, tolerance=-1)
    ridge = bn.fit(bn.models.ArdRegression(4), (xy[0], xy[0][:, 0]), steps=2, progress=False)
    with pytest.raises(TypeError, match="ArdRegression"):
        bn.inference.smallest(ridge, (xy[0], xy[0][:, 0]))
