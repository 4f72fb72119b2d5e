"""Metrics that papers report, compared with scikit-learn, torchmetrics and their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import brier_score_loss

import bayesnas as bn
from bayesnas.inference.evaluation.intervals import central_interval
from bayesnas.inference.evaluation.reported import brier_score, crps, risk_coverage_area

QUICK = {"steps": 100, "lr": 0.05, "progress": False}


@pytest.fixture(scope="module")
def classes():
    x = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    return bn.fit(bn.models.GaussianNet(bn.nn.mlp([2, 3])), (x, y), **QUICK), x, y


@pytest.fixture(scope="module")
def numbers():
    x = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    y = x[:, 0] + 0.3 * torch.randn(80, generator=torch.Generator().manual_seed(1))
    return bn.fit(bn.models.ArdRegression(2), (x, y), **QUICK), x, y


def random_probabilities(n, classes):
    return torch.randn(n, classes, dtype=torch.float64).softmax(-1)


def test_brier_score_is_that_of_scikit_learn():
    two, several = random_probabilities(50, 2), random_probabilities(50, 4)
    y = torch.arange(50) % 2
    expected = brier_score_loss(y, two[:, 1])
    assert brier_score(two, y) == pytest.approx(expected)
    assert brier_score(two[:, 1], y) == pytest.approx(expected)
    y = torch.arange(50) % 4
    of_each = [brier_score_loss(y == label, several[:, label]) for label in range(4)]
    assert brier_score(several, y) == pytest.approx(sum(of_each))


def test_risk_coverage_by_its_definition():
    probabilities, y = random_probabilities(60, 3), torch.arange(60) % 3
    order = (-probabilities.amax(1)).argsort()
    wrong = (probabilities.argmax(1) != y)[order].double()
    expected = np.mean([float(wrong[:k].mean()) for k in range(1, 61)])
    assert risk_coverage_area(probabilities, y) == pytest.approx(expected)
    shuffled = torch.randperm(60)
    assert risk_coverage_area(probabilities[shuffled], y[shuffled]) == pytest.approx(expected)


def test_equally_sure_rows_share_their_errors():
    probabilities = torch.full((10, 2), 0.5)
    assert risk_coverage_area(probabilities, torch.arange(10) % 2) == pytest.approx(0.5)


def test_crps_is_that_of_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics.functional.regression.crps")
    samples, y = torch.randn(30, 12, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    expected = torchmetrics.continuous_ranked_probability_score(samples.T, y)
    assert crps(samples, y) == pytest.approx(float(expected), rel=1e-6)


def test_crps_of_a_normal_distribution():
    quantiles = torch.from_numpy(norm.ppf((np.arange(20000) + 0.5) / 20000))
    y = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    z = y.numpy()
    expected = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi)
    assert crps(quantiles[:, None].expand(-1, 3), y) == pytest.approx(expected.mean(), abs=1e-4)


def test_metrics_of_classes_are_those_of_mean_probabilities(classes):
    post, x, y = classes
    mean = post.predict(x, 50, seed=3).double().mean(0)
    measured = post.metrics((x, y), draws=50, seed=3)
    assert measured["brier"] == pytest.approx(brier_score(mean, y), rel=1e-5)
    assert measured["aurc"] == pytest.approx(risk_coverage_area(mean, y), rel=1e-5)


def test_intervals_are_those_of_interval(numbers):
    post, x, y = numbers
    low, high = post.interval(x, 0.8, draws=100, seed=2)
    measured = post.metrics((x, y), level=0.8, draws=100, seed=2)
    assert measured["coverage"] == pytest.approx(((low <= y) & (y <= high)).double().mean().item())
    assert measured["width"] == pytest.approx((high - low).mean().item(), rel=1e-5)


@pytest.mark.parametrize(("draws", "level"), [(32, 0.9), (100, 0.5), (400, 0.95)])
def test_an_interval_holds_the_next_sample_as_often_as_it_says(draws, level):
    """Of uniform samples it holds its width; the mean of 20,000 is off by < 5e-4."""
    generator = torch.Generator().manual_seed(draws)
    low, high = central_interval(torch.rand(draws, 20_000, generator=generator), level)
    assert (high - low).mean().item() == pytest.approx(level, abs=5e-3)
    assert low.mean().item() == pytest.approx((1 - level) / 2, abs=5e-3)


def test_an_interval_of_too_few_samples_is_their_range():
    low, high = central_interval(torch.tensor([[3.0], [1.0], [2.0]]), 0.9)
    assert (low.item(), high.item()) == (1.0, 3.0)
    assert central_interval(torch.tensor([4.0]), 0.9) == (4.0, 4.0)


def test_metrics_come_in_parts(numbers):
    post, x, y = numbers
    streamed = bn.data.from_dataset(list(zip(x, y, strict=True)), task="regression")
    assert post.metrics(streamed, draws=20) == pytest.approx(post.metrics((x, y), draws=20))


def test_uncertainty_by_its_definitions(classes):
    post, x, _ = classes
    drawn = post.predict(x, 40).double()
    mean = drawn.mean(0)
    entropy = torch.special.entr(mean).sum(1)
    expected = {
        "entropy": entropy,
        "mutual-information": entropy - torch.special.entr(drawn).sum(-1).mean(0),
        "confidence": 1 - mean.amax(1),
    }
    for score, values in expected.items():
        assert torch.allclose(post.uncertainty(x, score, draws=40), values, atol=1e-6)


def test_a_bernoulli_likelihood_is_one_of_two_classes():
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    data = (x, (x[:, 0] > 0).long())
    model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="bernoulli")
    post = bn.fit(model, data, **QUICK)
    p = post.predict(x, 40).double().mean(0)
    entropy = torch.special.entr(p) + torch.special.entr(1 - p)
    assert torch.allclose(post.uncertainty(x, draws=40), entropy, atol=1e-6)
    assert torch.allclose(
        post.uncertainty(x, "confidence", draws=40), torch.minimum(p, 1 - p), atol=1e-6
    )
    assert post.metrics(data, draws=40)["brier"] == pytest.approx(
        (p - data[1]).square().mean().item(), rel=1e-5
    )


def test_auroc_counts_pairs(numbers):
    post, x, _ = numbers
    outside = 20 * x[:30]
    inner, outer = (post.uncertainty(rows, draws=200) for rows in (x, outside))
    pairs = (outer[:, None] > inner).double() + 0.5 * (outer[:, None] == inner).double()
    measured = post.out_of_distribution(x, outside, draws=200)
    assert measured == pytest.approx(pairs.mean().item())


def test_wrong_arguments_are_named(classes, numbers):
    post, x, y = classes
    with pytest.raises(ValueError, match="level"):
        post.metrics((x, y), level=1.0)
    with pytest.raises(ValueError, match="draws"):
        post.metrics((x, y), draws=1)
    with pytest.raises(ValueError, match="score must be one of .*: those of a classification"):
        post.uncertainty(x, "deviation")
    with pytest.raises(ValueError, match="score must be one of .*: those of a regression"):
        numbers[0].uncertainty(numbers[1], "entropy")
