"""Samples of a posterior as numbers of candidates: which are chosen, how near they are to it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from bayesnas.coding.relative_entropy import chosen_candidate
from bayesnas.coding.shared_gaussians import gaussian_candidates, quantile_table, shared_order
from bayesnas.coding.weight_code import Layout, WeightCode, block_values


def test_the_table_holds_the_quantiles_and_no_machine_rounds_one_to_another():
    exact = norm.ppf((np.arange(65536) + 0.5) / 65536)
    table = quantile_table().astype(np.float64)
    assert abs(table - exact).max() <= 2**-13 + 1e-12
    steps = np.abs(exact * 4096)
    assert abs(steps % 1 - 0.5).min() > 1e-9 * 4096


def test_the_format_of_files_stays():
    """Another machine or version that gives other numbers could not read what is there."""
    numbers = gaussian_candidates(seed=7, block=3, first=5, count=4, size=50)
    hashes = [
        hashlib.sha256(value.astype(form).tobytes()).hexdigest()[:16]
        for value, form in (
            (quantile_table(), "<f4"),
            (numbers, "<f4"),
            (shared_order(7, 1000), "<i8"),
        )
    ]
    assert hashes == ["55d9ba3bb184877f", "8e7bbac6887ac96f", "ac2fb4e521d3a28b"]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 178])
def test_a_candidate_alone_is_that_of_many(size):
    many = gaussian_candidates(seed=3, block=2, first=0, count=40, size=size)
    for index in (0, 1, 39):
        assert (gaussian_candidates(3, 2, index, 1, size)[0] == many[index]).all()
    others = [gaussian_candidates(4, 2, 0, 1, size), gaussian_candidates(3, 1, 0, 1, size)]
    assert all((other[0] != many[0]).any() for other in others)


def test_candidates_are_standard_normal():
    numbers = gaussian_candidates(seed=0, block=0, first=0, count=300, size=100)
    assert kstest(numbers.ravel(), norm.cdf).pvalue > 1e-6
    correlations = np.corrcoef(numbers.T) - np.eye(100)
    assert abs(correlations).max() < 5.5 / np.sqrt(300)


def test_an_index_is_taken_as_often_as_its_importance_weight_says():
    loc, scale, prior = np.array([0.4, -0.1, 1.0]), np.array([0.5, 0.2, 0.7]), np.full(3, 0.8)
    w = 0.8 * gaussian_candidates(seed=1, block=6, first=0, count=8, size=3).astype(np.float64)
    weights = np.exp((norm.logpdf(w, loc, scale) - norm.logpdf(w, 0, prior)).sum(1))
    draws = (np.arange(4000) + 0.5) / 4000
    indices = [
        chosen_candidate(loc, scale, prior, seed=1, block=6, bits=3, draw=draw) for draw in draws
    ]
    shares = np.bincount(indices, minlength=8) / 4000
    assert shares == pytest.approx(weights / weights.sum(), abs=1e-3)


def test_without_a_draw_it_is_the_candidate_that_adds_least_to_the_loss():
    """The loss is quadratic, and q its optimum at λ: of each candidate it is computed."""
    generator = np.random.default_rng(0)
    prior, curvature, kl_weight = np.full(4, 0.5), generator.uniform(1, 9, 4), 0.3
    precision = curvature / kl_weight + 1 / prior**2
    centre = generator.normal(size=4)  # of the loss; the prior draws the mean of q to 0
    loc, scale = curvature / kl_weight * centre / precision, precision**-0.5
    for block in range(20):
        w = 0.5 * gaussian_candidates(3, block, 0, 64, 4).astype(np.float64)
        losses = (curvature * (w - centre) ** 2 / 2).sum(1)
        index = chosen_candidate(loc, scale, prior, seed=3, block=block, bits=6, draw=None)
        assert index == losses.argmin()


def _samples(bits, count, loc, scale):
    uniform = np.random.default_rng(0).random(count)
    one = np.array([loc]), np.array([scale]), np.ones(1)
    samples = []
    for block in range(count):
        index = chosen_candidate(*one, seed=5, block=block, bits=bits, draw=uniform[block])
        samples.append(float(block_values(5, block, index, 1)[0]))
    return np.array(samples)


def test_with_enough_bits_the_sample_has_the_distribution_of_the_posterior():
    """KL is 1.4 bits here, the index has 10: e^{KL + t} candidates with t = 6."""
    samples = _samples(10, 600, 1.2, 0.5)
    assert kstest(samples, norm(1.2, 0.5).cdf).pvalue > 1e-6


def test_with_fewer_bits_than_the_kl_it_is_nearer_to_the_prior():
    """KL is 8.2 bits. With b bits the mean is that of self-normalised importance sampling."""
    means = [_samples(bits, 300, 2.8, 0.2).mean() for bits in (1, 4, 7)]
    assert means == sorted(means)
    assert means[0] < 1.5
    assert 2.0 < means[2] < 2.8


def a_code(bits=5, blocks=7, full=True):
    masks = {"a": torch.ones(4, 3).bool(), "b": torch.ones(5).bool()}
    if not full:
        masks["a"][1:3] = False
    layout = Layout(masks, 11, blocks)
    indices = tuple(np.random.default_rng(2).integers(0, 2**bits, blocks).tolist())
    return WeightCode(layout, {"a": 0.5, "b": 0.0625}, bits, indices)


@pytest.mark.parametrize("bits", [1, 5, 8, 13, 20])
@pytest.mark.parametrize("full", [True, False])
def test_a_code_comes_back_and_takes_its_bits(bits, full):
    code = a_code(bits, full=full)
    content = code.to_bytes()
    assert len(content) == 13 + 2 * 2 + -(-7 * bits // 8)
    read = WeightCode.from_bytes(content, code.layout.masks)
    assert (read.indices, read.scales, read.bits) == (code.indices, code.scales, bits)
    weights, again = code.weights(), read.weights()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    mask = code.layout.masks["a"]
    assert not weights["a"][~mask].any()
    assert weights["a"][mask].any()


def test_weights_are_the_numbers_of_their_blocks_times_the_prior_scale():
    code = a_code()
    flat = code.layout.flat(code.weights())
    members = code.layout.members()
    assert sorted(np.concatenate(members).tolist()) == list(range(17))
    assert {len(places) for places in members} == {2, 3}
    scale = torch.tensor([0.5] * 12 + [0.0625] * 5)
    for block, places in enumerate(members):
        z = gaussian_candidates(11, block, code.indices[block], 1, len(places))[0]
        assert torch.equal(flat[places], torch.from_numpy(z) * scale[places])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[:5], "must have a head"),
        (lambda c: c[:-1], "can't be in"),
        (lambda c: c + b"0", "can't be in"),
        (lambda c: c[:8] + b"\x00" + c[9:], "blocks of 0 bits"),
        (lambda c: c[:8] + b"\x15" + c[9:], "blocks of 21 bits"),
        (lambda c: c[:9] + b"\x12\x00\x00\x00" + c[13:], "17 weights can't have 18 blocks"),
    ],
)
def test_a_code_that_is_none_is_named(change, message):
    code = a_code()
    with pytest.raises(ValueError, match=message):
        WeightCode.from_bytes(change(code.to_bytes()), code.layout.masks)
