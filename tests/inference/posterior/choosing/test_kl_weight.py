"""A KL weight chosen on held-out rows: which it is, and what a fit that chooses it returns."""

from __future__ import annotations

import logging

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.posterior.choosing.kl_weight import nearest_to_one

SHORT = {"steps": 6, "lr": 0.02, "seed": 4}


@pytest.fixture
def held_out(xy):
    return xy[0][:12], xy[1][:12]


@pytest.mark.parametrize(
    ("kl_weights", "losses", "chosen"),
    [
        # The lowest mean wins where every row says so.
        ([1.0, 0.1], [[2.0, 2.0, 2.1], [1.0, 1.0, 1.2]], 0.1),
        # The difference is [3, -2, -0.4]: mean 0.2, its error 1.47.
        ([1.0, 0.1], [[4.0, 1.0, 1.0], [1.0, 3.0, 1.4]], 1.0),
        # Losses that vary much from row to row, and a difference that does not: [0.1, 0.1, 0.12].
        ([1.0, 0.1], [[9.1, 0.1, 4.12], [9.0, 0.0, 4.0]], 0.1),
        # Equal losses: the nearest to 1, from either side.
        ([0.1, 3.0, 30.0], [[1.0, 2.0]] * 3, 3.0),
        ([0.0, 0.01], [[1.0, 2.0]] * 2, 0.01),
        # What is infinite is never as good, nor is what is not a number.
        ([1.0, 0.1], [[torch.inf, 0.0], [1.0, 1.0]], 0.1),
        ([1.0, 0.1], [[torch.nan, 0.0], [1.0, 1.0]], 0.1),
        # One row has no standard error.
        ([1.0, 0.1], [[1.1], [1.0]], 0.1),
    ],
)
def test_the_nearest_to_one_that_is_as_good_but_for_chance(kl_weights, losses, chosen):
    index = nearest_to_one(kl_weights, torch.tensor(losses, dtype=torch.float64), 1.0)
    assert kl_weights[index] == chosen


def test_a_tolerance_moves_it():
    losses = torch.tensor([[2.0, 2.0, 5.0], [1.0, 1.0, 1.0]])  # difference 2, its error 1
    assert [nearest_to_one([1.0, 0.1], losses, by) for by in (0.0, 1.9, 2.1)] == [1, 1, 0]


def test_without_tolerance_it_is_the_lowest_log_loss_of_the_frontier(net, xy, held_out):
    kl_weights = [100.0, 1.0, 0.01]
    posts = bn.fit(net, xy, kl_weight=kl_weights, steps=60, lr=0.05, seed=4)
    chosen = bn.inference.choose_kl_weight(posts, held_out, tolerance=0.0, draws=16, seed=3)
    nll = posts.frontier(kl_weights, held_out, draws=16, seed=3)["nll"]
    assert chosen.kl_weight == float(nll.idxmin())
    other = bn.inference.choose_kl_weight(posts, held_out, kl_weights=[100.0])
    assert other.kl_weight == 100.0
    with pytest.raises(ValueError, match="one of those fitted"):
        bn.inference.choose_kl_weight(posts, held_out, kl_weights=[2.0])
    with pytest.raises(ValueError, match="at least one"):
        bn.inference.choose_kl_weight(posts, held_out, kl_weights=[])


def test_a_fit_that_chooses_is_that_over_the_range(net, xy, held_out, numbers, caplog):
    caplog.set_level(logging.INFO, logger="bayesnas")
    post = bn.fit(net, xy, kl_weight="validation", validation=held_out, **SHORT)
    assert isinstance(post, bn.Posterior)
    assert 0.03 <= post.kl_weight <= 1
    assert f"λ = {post.kl_weight:.3g} by 12 held-out rows" in caplog.text
    along = bn.fit(net, xy, kl_weight=bn.LogUniform(0.03, 1), **SHORT)
    assert numbers(post) == numbers(along.at(post.kl_weight))


def test_it_is_saved_at_its_kl_weight_with_the_range_below(net, xy, held_out, numbers, tmp_path):
    options = {"kl_weight": "validation", "validation": held_out, "out": tmp_path / "run", **SHORT}
    post = bn.fit(net, xy, **options)
    loaded = bn.load(tmp_path / "run")
    assert isinstance(loaded, bn.Posterior)
    assert loaded.kl_weight == post.kl_weight
    assert numbers(loaded) == numbers(post)
    along = bn.load(tmp_path / "run" / "range")
    assert numbers(along.at(post.kl_weight)) == numbers(post)
    with pytest.raises(FileExistsError, match="already holds a run"):
        bn.fit(net, xy, **options)
    assert numbers(bn.fit(net, xy, resume=True, **options)) == numbers(post)
    with pytest.raises(ValueError, match="settings seed"):
        bn.fit(net, xy, resume=True, **{**options, "seed": 5})


def test_a_folder_of_another_run_is_left_alone(net, xy, held_out, tmp_path):
    bn.fit(net, xy, out=tmp_path, **SHORT)
    with pytest.raises(FileExistsError, match="already holds a run"):
        bn.fit(net, xy, kl_weight="validation", validation=held_out, out=tmp_path, **SHORT)
    assert not (tmp_path / "range").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": None}, "needs validation="),
        ({"metaparameters": {"prior_scale": bn.LogUniform(0.1, 1)}}, "metaparameters can't come"),
        ({"objective": bn.inference.GeneralisedObjective()}, "objective can't come"),
    ],
)
def test_what_does_not_go_with_it(net, xy, held_out, options, message):
    options = {"validation": held_out, **SHORT, **options}
    with pytest.raises(ValueError, match=message):
        bn.fit(net, xy, kl_weight="validation", **options)
