"""Fits at a list of KL weights: a posterior at each, measured and saved together."""

from __future__ import annotations

import pytest
import torch

import bayesnas as bn

LAMBDAS = [10, 0.1]


@pytest.fixture
def posts(net, xy):
    return bn.fit(net, xy, kl_weight=LAMBDAS, steps=6, restarts=2, lr=0.02, seed=4)


def test_each_is_the_fit_at_its_kl_weight_alone(net, xy, posts, numbers):
    assert len(posts) == 2
    for kl_weight, post in zip(LAMBDAS, posts, strict=True):
        alone = bn.fit(net, xy, kl_weight=kl_weight, steps=6, restarts=2, lr=0.02, seed=4)
        assert numbers(post) == numbers(alone)
        assert post.settings == alone.settings
        assert numbers(posts.at(kl_weight)) == numbers(post)
        assert post.best == alone.best


def test_a_restart_at_every_kl_weight(posts, numbers):
    second = posts.chain(1)
    assert second.chains == 2
    for kl_weight in LAMBDAS:
        assert numbers(second.at(kl_weight)) == numbers(posts.at(kl_weight).chain(1))


def test_saved_and_loaded(posts, xy, numbers, tmp_path):
    posts.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert isinstance(loaded, bn.inference.Posteriors)
    assert loaded.settings == posts.settings
    assert numbers(loaded) == numbers(posts)
    assert loaded.at(0.1).evaluate(xy) == posts.at(0.1).evaluate(xy)
    assert repr(loaded) == ("Posteriors(GaussianNet 4–6–3 on arrays, kl_weight=10, 0.1, 4 chains)")


def test_resumed_only_with_the_same_kl_weights(net, xy, tmp_path):
    options = {"steps": 6, "out": tmp_path / "run"}
    bn.fit(net, xy, kl_weight=LAMBDAS, **options)
    assert len(bn.fit(net, xy, kl_weight=LAMBDAS, resume=True, **options)) == 2
    with pytest.raises(ValueError, match=r"settings kl_weights=\[10.0, 0.1\], got .*\[0.1, 10.0\]"):
        bn.fit(net, xy, kl_weight=[0.1, 10], resume=True, **options)
    with pytest.raises(ValueError, match=r"settings kl_weight"):
        bn.fit(net, xy, kl_weight=10, resume=True, **options)


def test_frontier_and_export(posts, xy):
    frontier = posts.frontier(posts.kl_weights, xy, draws=4)
    assert frontier.kl_weight.values.tolist() == LAMBDAS
    assert float(frontier.kl.sel(kl_weight=10)) == posts.at(10).evaluate(xy, draws=4)["kl"]
    tree = posts.to_arviz(posts.kl_weights, draws=3)
    assert tree["posterior"].sizes["kl_weight"] == 2
    assert tree["posterior"].sizes["chain"] == 2


def test_what_was_not_fitted_is_refused(posts, xy):
    with pytest.raises(ValueError, match=r"one of those fitted, 10, 0\.1, got 1\.0"):
        posts.at(1.0)
    with pytest.raises(ValueError, match=r"one of those fitted"):
        posts.frontier([10, 1], xy)
    with pytest.raises(AttributeError, match=r"has no 'evaluate' of its own: choose a KL weight"):
        posts.evaluate(xy)


def test_a_model_stays_as_it_is(net, xy):
    before = [value.clone() for value in net.parameters()]
    bn.fit(net, xy, kl_weight=LAMBDAS, steps=2, batched=True)
    assert all(map(torch.equal, net.parameters(), before))


@pytest.mark.parametrize(
    ("kl_weight", "message"),
    [
        ([], r"kl_weight must hold one or more different KL weights, got \[\]"),
        ([1, 1.0], r"one or more different KL weights, got \[1, 1\.0\]"),
        ([1, -2], r"kl_weight\[1\] must be a finite number >= 0, got -2"),
        ((1, "2"), r"kl_weight\[1\] must be a finite number >= 0, got '2'"),
    ],
)
def test_bad_lists(refused, kl_weight, message):
    refused(ValueError, message, kl_weight=kl_weight)
