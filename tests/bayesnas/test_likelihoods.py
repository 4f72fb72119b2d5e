"""Likelihoods: densities, targets, and what they refuse."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from bayesnas import likelihoods
from bayesnas.likelihoods import make_likelihood


def test_densities_equal_torchs_losses() -> None:
    output = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 1, 0])
    categorical = make_likelihood("categorical")(output)
    loss = F.cross_entropy(output, labels, reduction="none")
    assert torch.allclose(categorical.log_prob(labels), -loss)

    bernoulli = make_likelihood("bernoulli")
    binary = bernoulli.target(labels.clamp_max(1))
    loss = F.binary_cross_entropy_with_logits(output[:, 0], binary, reduction="none")
    assert torch.allclose(bernoulli(output[:, :1]).log_prob(binary), -loss)

    gaussian = make_likelihood("gaussian", noise_scale=0.3)
    target = torch.linspace(-1, 1, 5)
    expected = Normal(output[:, 0], 0.3).log_prob(target)
    assert torch.allclose(gaussian(output[:, :1]).log_prob(target), expected)


def test_several_targets_of_an_example_are_one_event() -> None:
    output = torch.zeros(4, 3)
    for name in ("bernoulli", "gaussian"):
        distribution = make_likelihood(name)(output)
        assert distribution.batch_shape == (4,)
        assert distribution.event_shape == (3,)


@pytest.mark.parametrize(
    ("name", "shape", "y", "classes", "message"),
    [
        ("categorical", (2, 3), torch.tensor([0, 3]), None, r"labels in 0…2"),
        ("categorical", (2, 3), torch.tensor([0, -1]), None, r"labels from -1 to 0"),
        ("categorical", (2, 3), torch.tensor([0, 1]), 5, r"of 5 classes, got \['n', 3\]"),
        ("categorical", (2, 3), torch.tensor([0.0, 1.0]), None, "whole class labels"),
        ("bernoulli", (2, 1), torch.tensor([0, 2]), None, "zeros and ones"),
        ("bernoulli", (2, 2), torch.tensor([0, 1]), None, r"shape \['n', 2\]"),
        ("gaussian", (2, 1), torch.zeros(2, 2), None, r"must have shape \['n'\]"),
    ],
)
def test_targets_that_do_not_fit_are_named(
    name: str, shape: tuple[int, ...], y: Tensor, classes: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_likelihood(name).check(torch.Size(shape), y, classes)


def _outputs(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_counts_have_scipys_probabilities() -> None:
    f, y = _outputs(6), torch.tensor([0.0, 1.0, 2.0, 5.0, 17.0, 60.0], dtype=torch.float64)
    poisson = likelihoods.Poisson()(f).log_prob(y)
    assert np.allclose(poisson, stats.poisson.logpmf(y.numpy(), f.exp().numpy()), rtol=1e-12)

    alpha = 0.7
    distribution = likelihoods.NegativeBinomial(alpha).double()(f)
    r, mean = 1 / alpha, np.exp(f.numpy())
    expected = stats.nbinom.logpmf(y.numpy(), r, r / (r + mean))
    assert np.allclose(distribution.log_prob(y), expected, rtol=1e-12)
    assert np.allclose(distribution.mean, mean)
    assert np.allclose(distribution.variance, mean + alpha * mean**2)


def test_the_log_probability_of_a_count_is_finite_where_the_rate_rounds_to_zero() -> None:
    f = torch.tensor([-200.0, -200.0])
    log_probs = likelihoods.Poisson()(f).log_prob(torch.tensor([0.0, 3.0]))
    assert torch.allclose(log_probs, torch.tensor([0.0, -600.0 - math.log(6)]))


@pytest.mark.parametrize("y", [0, 3, 1_000, 100_000, 10_000_000])
def test_large_counts_keep_their_digits(y: int) -> None:
    """Their log-gammas cancel: added in single precision, 8 of 14 nats were left at y = 10⁷."""
    log_mean = torch.tensor([math.log(y + 1) + 0.001])
    log_prob = make_likelihood("poisson")(log_mean).log_prob(torch.tensor([float(y)]))
    expected = stats.poisson.logpmf(y, log_mean.double().exp().item())
    assert log_prob.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dispersion", [1e-30, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 100.0, 1e12])
@pytest.mark.parametrize("y", [0, 3, 1_000, 100_000])
def test_a_negative_binomial_is_exact_at_any_dispersion(dispersion: float, y: int) -> None:
    """By 60 digits; it becomes Poisson, as which it was -55 in place of -1.5 nats at y = 3."""
    log_mean = torch.tensor([math.log(y + 1) + 0.001])
    likelihood = make_likelihood({"name": "negative-binomial", "dispersion": dispersion})
    result = likelihood(log_mean).log_prob(torch.tensor([float(y)])).item()
    with mpmath.workdps(60):
        mean = mpmath.exp(log_mean.item())
        r = mpmath.exp(-mpmath.mpf(likelihood.log_dispersion.item()))
        ways = mpmath.loggamma(y + r) - mpmath.loggamma(r) - mpmath.loggamma(y + 1)
        expected = ways - r * mpmath.log1p(mean / r) + y * mpmath.log(mean / (r + mean))
    assert result == pytest.approx(float(expected), rel=1e-6, abs=1e-6)


def test_ordered_levels_by_hand() -> None:
    levels = likelihoods.Ordinal(4).double()
    with torch.no_grad():
        levels.first_cut.fill_(-1.0)
        levels.log_gaps.copy_(torch.tensor([0.5, 2.0], dtype=torch.float64).log())
    assert torch.allclose(levels.cuts, torch.tensor([-1.0, -0.5, 1.5], dtype=torch.float64))
    f = _outputs(7)
    below = [torch.zeros(7), *((c - f).sigmoid() for c in (-1.0, -0.5, 1.5)), torch.ones(7)]
    expected = torch.stack([b - a for a, b in itertools.pairwise(below)], -1)
    assert torch.allclose(levels(f[:, None]).probs, expected)
    far = levels(torch.tensor([80.0], dtype=torch.float64))  # where a difference of sigmoids is 0
    by_hand = math.log(math.exp(-80 - 0.5) - math.exp(-80 - 1.0))
    assert far.log_prob(torch.tensor([1])).item() == pytest.approx(by_hand, rel=1e-12)


def test_levels_start_alike_and_have_to_be_known() -> None:
    assert torch.allclose(likelihoods.Ordinal(5)(torch.zeros(2)).probs, torch.tensor(0.2))
    with pytest.raises(ValueError, match="levels, their number, is not known"):
        likelihoods.Ordinal()(torch.zeros(2))


def test_two_outputs_are_mean_and_log_scale() -> None:
    f, y = _outputs(5, 6), _outputs(5, 3)
    expected = stats.norm.logpdf(y.numpy(), f[:, :3].numpy(), f[:, 3:].exp().numpy()).sum(1)
    assert np.allclose(likelihoods.Heteroscedastic()(f).log_prob(y), expected)
    single = likelihoods.Heteroscedastic()(f[:, :2])
    assert single.batch_shape == (5,)
    assert np.allclose(single.mean, f[:, 0])


@pytest.mark.parametrize(
    ("name", "shape", "y", "message"),
    [
        ("poisson", (2, 1), torch.tensor([1.0, 0.5]), r"whole numbers >= 0.*got 0.5 at \[1\]"),
        ("negative-binomial", (2, 1), torch.tensor([-1.0, 0.0]), r"counts.*got -1 at \[0\]"),
        ("heteroscedastic", (2, 1), torch.zeros(2), r"two outputs for every target"),
        ("heteroscedastic", (2, 3), torch.zeros(2, 2), r"got outputs \['n', 3\]"),
        ("ordinal", (2, 3), torch.tensor([0, 1]), r"one output an example.*got \['n', 3\]"),
        ("ordinal", (2, 1), torch.tensor([0, -1]), r"levels from -1"),
        ("ordinal", (2, 1), torch.tensor([0.0, 1.0]), r"whole levels of shape \[n\]"),
        ("bernoulli", (2, 3), torch.zeros(2, 2), r"shape \['n', 3\]"),
    ],
)
def test_targets_of_other_likelihoods_that_do_not_fit_are_named(
    name: str, shape: tuple[int, ...], y: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_likelihood(name).check(torch.Size(shape), y)


@pytest.mark.parametrize("name", likelihoods.available())
def test_a_likelihood_is_rebuilt_from_its_description(name: str) -> None:
    made = make_likelihood(name)
    again = make_likelihood(**json.loads(json.dumps(made.config())))
    assert type(again) is type(made)
    assert again.config() == made.config()
    assert again.state_dict().keys() == made.state_dict().keys()


def test_options_stand_in_the_description() -> None:
    for made in (likelihoods.Ordinal(4), likelihoods.NegativeBinomial(0.3)):
        again = make_likelihood(**json.loads(json.dumps(made.config())))
        assert again.config() == made.config()
    gaussian = make_likelihood(likelihoods.Gaussian(0.3)).double()
    assert gaussian.get_buffer("log_noise_scale").item() == math.log(0.3)  # not that of float32


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        (3, "likelihood must be one of"),
        ("poison", "did you mean 'poisson'"),
        (object(), "or an object as bayesnas.likelihoods.LikelihoodContract"),
        (SimpleNamespace(task="regression"), r"an object with task and __call__"),
        (likelihoods.Poisson, "must be a name or an object"),
    ],
)
def test_what_is_no_likelihood_is_refused(likelihood: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make_likelihood(likelihood)
