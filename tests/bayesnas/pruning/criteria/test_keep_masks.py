import math

import pytest
import torch

from bayesnas.pruning.criteria.keep_masks import keep_masks
from bayesnas.pruning.criteria.registry import RULES
from bayesnas.pruning.criteria.relative_density import relative_density
from bayesnas.pruning.criteria.subject import Subject


def removal_scores(locs, scales, by="density", seed=0):
    everything = {site: torch.ones_like(loc, dtype=torch.bool) for site, loc in locs.items()}
    return RULES[by].scores(Subject(locs, everything, scales, seed=seed))


def gaussians(seed, sizes=((7, 5), (7,), (3, 7), (3,))):
    generator = torch.Generator().manual_seed(seed)
    locs = {f"site{i}": torch.randn(s, generator=generator) for i, s in enumerate(sizes)}
    scales = {k: 0.1 + torch.rand(v.shape, generator=generator) for k, v in locs.items()}
    return locs, scales


def removed(masks):
    return sum(int((~mask).sum()) for mask in masks.values())


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def test_the_log_ranks_weights_whose_density_underflows():
    loc, scale = torch.tensor([40.0, 30.0, 1e25, 1e24]), torch.ones(4)

    assert relative_density(loc, scale).tolist() == [0.0] * 4
    masks = keep_masks(removal_scores({"w": loc}, {"w": scale}), fraction=0.25)
    assert masks["w"].tolist() == [True, False, True, True]
    masks = keep_masks(removal_scores({"w": loc}, {"w": scale}), fraction=0.75)
    assert masks["w"].tolist() == [False, False, True, False]


def test_density_goes_by_signal_to_noise_and_magnitude_by_the_mean_alone():
    locs = {"w": torch.tensor([0.5, -2.0, 1.0])}
    scales = {"w": torch.tensor([0.01, 4.0, 1.0])}

    by_density = removal_scores(locs, scales, by="density")["w"]
    by_magnitude = removal_scores(locs, scales, by="magnitude")["w"]
    assert by_density.argsort(descending=True).tolist() == [1, 2, 0]
    assert by_magnitude.argsort(descending=True).tolist() == [0, 2, 1]


def test_random_scores_are_an_order_that_depends_on_the_seed_alone():
    locs, scales = gaussians(0)
    backwards = dict(reversed(locs.items()))
    state = torch.random.get_rng_state()

    scores = removal_scores(locs, scales, by="random", seed=5)
    again = removal_scores(backwards, scales, by="random", seed=5)
    other = removal_scores(locs, scales, by="random", seed=6)

    assert sorted(flat(scores).tolist()) == list(range(66))
    assert all(torch.equal(scores[site], again[site]) for site in locs)
    assert list(again) == list(backwards)
    assert not torch.equal(flat(scores), flat(other))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("by", ["density", "magnitude", "random"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.29, 0.5, 0.905, 0.999, 1.0])
def test_exactly_the_fraction_goes_and_what_goes_scores_highest(by, fraction):
    scores = removal_scores(*gaussians(1), by=by, seed=2)

    masks = keep_masks(scores, fraction=fraction)

    assert removed(masks) == round(fraction * 66)
    assert {site: mask.shape for site, mask in masks.items()} == {
        site: score.shape for site, score in scores.items()
    }
    kept, gone = flat(scores)[flat(masks)], flat(scores)[~flat(masks)]
    assert len(kept) == 0 or len(gone) == 0 or kept.max() < gone.min()


def test_ranking_is_over_all_sites_together():
    scores = {"a": torch.tensor([-1.0, -2.0]), "b": torch.tensor([[-3.0, -4.0]])}

    masks = keep_masks(scores, fraction=0.5)
    assert (masks["a"].tolist(), masks["b"].tolist()) == ([False, False], [[True, True]])


def test_ties_go_in_order():
    scores = {"a": torch.zeros(3), "b": torch.zeros(2, 2)}

    masks = keep_masks(scores, fraction=5 / 7)
    assert masks["a"].tolist() == [False, False, False]
    assert masks["b"].tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("seed", range(10))
def test_pruning_again_brings_nothing_back(seed):
    first = keep_masks(removal_scores(*gaussians(seed), by="random", seed=seed), fraction=0.4)
    scores = removal_scores(*gaussians(seed))

    second = keep_masks(scores, fraction=0.6, already=first)
    less = keep_masks(scores, fraction=0.2, already=first)
    by_value = keep_masks(scores, threshold=0.9, already=first)

    assert removed(second) == round(0.6 * 66)
    assert not (flat(second) & ~flat(first)).any()
    fresh = flat(first) & ~flat(second)
    assert flat(scores)[fresh].min() > flat(scores)[flat(second)].max()
    assert torch.equal(flat(less), flat(first))
    assert torch.equal(flat(by_value), flat(first) & (flat(scores) < math.log(0.9)))


def test_threshold_of_density_and_of_magnitude():
    locs, scales = gaussians(4)

    density = keep_masks(removal_scores(locs, scales), threshold=0.8)
    magnitude = keep_masks(removal_scores(locs, scales, "magnitude"), threshold=0.3, by="magnitude")

    assert 0 < removed(density) < 66
    for site, loc in locs.items():
        assert torch.equal(density[site], relative_density(loc, scales[site]) < 0.8)
        assert torch.equal(magnitude[site], loc.abs() > torch.tensor(0.3, dtype=torch.float64))


def test_thresholds_at_the_ends():
    scores = removal_scores({"w": torch.tensor([0.0, 1.0])}, {"w": torch.tensor([1.0, 0.0])})

    assert keep_masks(scores, threshold=1.0)["w"].tolist() == [False, True]
    assert keep_masks(scores, threshold=0.0)["w"].tolist() == [False, False]
    magnitude = removal_scores({"w": torch.tensor([0.0, -2.0])}, {"w": torch.ones(2)}, "magnitude")
    assert keep_masks(magnitude, threshold=0, by="magnitude")["w"].tolist() == [False, True]
    assert keep_masks(magnitude, threshold=2, by="magnitude")["w"].tolist() == [False, False]


def test_no_sites_and_empty_sites():
    assert keep_masks({}, fraction=0.5) == {}
    assert keep_masks({"w": torch.zeros(0)}, fraction=0.5)["w"].shape == (0,)


SCORES = {"w": torch.tensor([-1.0, -2.0])}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "fraction or threshold must be given, and not both, got fraction=None"),
        ({"fraction": 0.5, "threshold": 0.5}, "not both, got fraction=0.5, threshold=0.5"),
        ({"fraction": -0.1}, r"fraction must be in \[0, 1\], got -0.1"),
        ({"fraction": 1.1}, r"fraction must be in \[0, 1\], got 1.1"),
        ({"fraction": math.nan}, r"fraction must be in \[0, 1\], got nan"),
        ({"threshold": 1.5}, r"threshold must be in \[0, 1\]"),
        ({"threshold": math.nan}, r"threshold must be in \[0, 1\]"),
        ({"threshold": -1.0, "by": "magnitude"}, "threshold must be a number >= 0"),
        ({"threshold": math.nan, "by": "magnitude"}, "threshold must be a number >= 0"),
        ({"threshold": 0.5, "by": "random"}, "no meaning for by='random'"),
        ({"threshold": 0.5, "by": "obs"}, "no meaning for by='obs'"),
        ({"threshold": -1.0, "by": "obd"}, "threshold must be a number >= 0"),
        ({"threshold": math.inf, "by": "evidence"}, "threshold must be a finite number"),
        ({"threshold": 0.5, "by": "obq"}, "got 'obq'; did you mean 'ob[sd]' or 'ob[sd]'"),
        ({"fraction": 0.5, "already": {}}, r"already must have the sites of scores, \['w'\]"),
        ({"fraction": 0.5, "already": {"w": torch.ones(2)}}, "already must hold bool masks"),
        ({"fraction": 0.5, "already": {"w": torch.ones(3).bool()}}, r"got torch.bool \(3,\)"),
    ],
)
def test_bad_masks_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        keep_masks(SCORES, **kwargs)


def test_nan_scores_are_named():
    with pytest.raises(ValueError, match="NaN in site 'bad'"):
        keep_masks({"good": torch.zeros(1), "bad": torch.tensor([0.0, math.nan])}, fraction=0.5)


@pytest.mark.parametrize(
    ("loc", "scale", "message"),
    [
        ([math.nan], [1.0], "loc of site 'w' must be finite"),
        ([math.inf], [1.0], "loc of site 'w' must be finite"),
        ([0.0], [-1.0], "scale of site 'w' must be >= 0"),
        ([0.0], [math.nan], "scale of site 'w' must be >= 0"),
        ([0.0], [1.0, 1.0], r"scale of site 'w' must have the shape of loc, \(1,\), got \(2,\)"),
    ],
)
@pytest.mark.parametrize("by", ["density", "magnitude", "random"])
def test_bad_gaussians_are_named(loc, scale, message, by):
    with pytest.raises(ValueError, match=message):
        removal_scores({"w": torch.tensor(loc)}, {"w": torch.tensor(scale)}, by=by)
