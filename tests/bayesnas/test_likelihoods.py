"""Likelihoods: densities, targets, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

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
        found = make_likelihood(name)(output)
        assert found.batch_shape == (4,)
        assert found.event_shape == (3,)


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
