"""Bit widths and compression figures, against counts by hand and the entropy."""

from __future__ import annotations

import math

import pytest
import torch

from bayesnas.pruning.bit_widths import BitWidth, bit_width, compression, huffman_bits, rounded


def test_the_significand_counts_the_digits_above_the_uncertainty() -> None:
    """2·2^−11 < 2^−t for t = 1…9: nine digits; the mean of 9 and 0 is rounded up."""
    one = torch.ones(1)
    assert bit_width(one, torch.tensor([2.0**-11])).significand == 9
    assert bit_width(one, torch.tensor([1.0])).significand == 0
    assert bit_width(one, torch.tensor([0.0])).significand == 23
    assert bit_width(torch.ones(2), torch.tensor([2.0**-11, 1.0])).significand == 5


def test_the_exponent_follows_the_largest_weight() -> None:
    variance = torch.tensor([0.01])
    for largest, bits in [(1e-3, 1), (1.0, 1), (1.5, 2), (4.0, 3), (1e38, 8)]:
        assert bit_width(torch.tensor([-largest]), variance).exponent == bits


def test_rounding_is_to_half_a_digit() -> None:
    weights = torch.linspace(-2, 2, 1001)
    coarse = rounded(weights, BitWidth(significand=4, exponent=2))
    assert (coarse - weights).abs().max() <= 2.0**-5 + 1e-6
    assert torch.equal(coarse * 16, (coarse * 16).round())


def test_a_huffman_code_is_within_a_bit_of_the_entropy() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = (3 * torch.randn(5000)).round()
    _, counts = values.unique(return_counts=True)
    share = counts.double() / len(values)
    entropy = float(-(share * share.log2()).sum()) * len(values)
    length = huffman_bits(values, 9) - 9 * len(counts)
    assert entropy <= length <= entropy + len(values)
    assert huffman_bits(torch.zeros(7), 9) == 7 + 9
    assert huffman_bits(torch.zeros(0), 9) == 0


def test_compression_by_hand() -> None:
    """A 4 x 5 layer of which a 2 x 2 block is left, one entry of it removed."""
    weights, keep = torch.zeros(4, 5), torch.zeros(4, 5, dtype=torch.bool)
    weights[:2, 1:3] = torch.tensor([[1.0, 0.5], [0.25, 9.0]])
    keep[:2, 1:3] = torch.tensor([[True, True], [True, False]])
    factors = compression({"a": weights}, {"a": torch.full((4, 5), 2.0**-6)}, {"a": keep})
    assert factors["weights"] == 20
    assert factors["weights_kept"] == 3
    assert factors["fraction"] == pytest.approx(0.15)
    assert factors["pruning"] == pytest.approx(20 / 3)
    width = 1 + 1 + 4  # sign, exponent, digits
    assert factors["fast_prediction"] == pytest.approx(32 * 20 / (4 * width))
    assert factors["maximum"] == factors["fast_prediction"]  # a code book would be longer


def test_a_code_is_taken_where_it_is_shorter() -> None:
    """A thousand weights of two values: a digit each, and the two in the code book."""
    weights = torch.tensor([1.0, -0.5]).repeat(10, 50)
    keep = torch.ones_like(weights, dtype=torch.bool)
    factors = compression({"a": weights}, {"a": torch.full_like(weights, 2.0**-6)}, {"a": keep})
    width = 1 + 1 + 4
    assert factors["fast_prediction"] == pytest.approx(32 / width)
    assert factors["maximum"] == pytest.approx(32 * 1000 / (1000 + 2 * width))


def test_a_convolution_keeps_its_kernels_whole() -> None:
    weights = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    keep = torch.zeros_like(weights, dtype=torch.bool)
    keep[1, 2] = True
    factors = compression({"a": weights}, {"a": torch.full_like(weights, 0.1)}, {"a": keep})
    assert factors["pruning"] == pytest.approx(12.0)
    assert factors["fast_prediction"] == pytest.approx(
        32 * 300 / (25 * (1 + _exponent(weights) + 2))
    )


def _exponent(weights: torch.Tensor) -> int:
    largest = max(1.0, float(weights[1, 2].abs().max()))
    return math.ceil(math.log2(math.log2(largest) + 1) + 1)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="variances must have the shape of weights"):
        bit_width(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="must not be empty"):
        bit_width(torch.ones(0), torch.ones(0))
    with pytest.raises(ValueError, match="variances must be >= 0"):
        bit_width(torch.ones(1), -torch.ones(1))
