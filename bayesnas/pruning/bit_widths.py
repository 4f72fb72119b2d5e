"""How many bits the weights of a net need, given how sure a posterior is of them."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_SIGNIFICAND = 23  # of single precision
_FULL = 32


@dataclass(frozen=True)
class BitWidth:
    """Bits of one weight of a layer.

    Attributes:
        significand: bits after the binary point.
        exponent: bits of the exponent.
    """

    significand: int
    exponent: int

    @property
    def total(self) -> int:
        """Sign, exponent and significand."""
        return 1 + self.exponent + self.significand


def bit_width(weights: Tensor, variances: Tensor) -> BitWidth:
    r"""Bits that a layer's weights need, given the posterior variance of each.

    A weight needs no digits below its uncertainty: its significand has

    .. math:: \#\{t = 1 \ldots 23 : 2\,\mathrm{Var}(w) < 2^{-t}\}

    bits, of which the layer takes the mean, rounded up. The exponent has
    :math:`\lceil \log_2(\log_2 \max|w| + 1) + 1 \rceil` bits, where ``max|w|`` counts as 1 if it is
    smaller (Louizos, Ullrich, Welling 2017, section 3.3).

    Args:
        weights: means of the layer's kept weights, any shape.
        variances: their posterior variances, of the same shape.

    Raises:
        ValueError: where there is no weight, the shapes differ or a variance is negative.

    >>> bit_width(torch.tensor([0.5, -3.0]), torch.tensor([2.0**-6, 2.0**-8]))
    BitWidth(significand=5, exponent=3)
    """
    if weights.shape != variances.shape or weights.numel() == 0:
        raise ValueError(
            "variances must have the shape of weights, which must not be empty, "
            f"got {list(variances.shape)} and {list(weights.shape)}"
        )
    if not bool((variances >= 0).all()):
        raise ValueError("variances must be >= 0, got a negative number or NaN")
    digits = torch.arange(1, _SIGNIFICAND + 1, dtype=torch.float64, device=variances.device)
    needed = (2 * variances.double().unsqueeze(-1) < torch.exp2(-digits)).sum(-1)
    significand = math.ceil(needed.double().mean().item())
    largest = max(weights.detach().abs().max().item(), 1.0)
    return BitWidth(significand, math.ceil(math.log2(math.log2(largest) + 1) + 1))


def rounded(weights: Tensor, width: BitWidth) -> Tensor:
    """Weights rounded to the digits that their width has: multiples of 2^−significand.

    >>> rounded(torch.tensor([0.3, -0.8]), BitWidth(significand=2, exponent=1))
    tensor([ 0.2500, -0.7500])
    """
    step = 2.0**-width.significand
    return (weights / step).round() * step


def huffman_bits(values: Tensor, value_bits: int) -> int:
    """Length in bits of the values in a Huffman code of their own, code book included.

    Args:
        values: any shape.
        value_bits: bits of each distinct value in the code book.

    >>> huffman_bits(torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0]), value_bits=8)  # 3·1 + 2·2 + 3·8
    31
    """
    counts = list(Counter(values.detach().flatten().tolist()).values())
    book = value_bits * len(counts)
    if len(counts) < 2:
        return values.numel() * len(counts) + book
    heapq.heapify(counts)
    length = 0
    while len(counts) > 1:
        merged = heapq.heappop(counts) + heapq.heappop(counts)
        length += merged  # every value below this node has one more digit
        heapq.heappush(counts, merged)
    return length + book


def compression(
    weights: Mapping[str, Tensor],
    variances: Mapping[str, Tensor],
    keep: Mapping[str, Tensor],
) -> dict[str, float]:
    """How many times smaller a net is than with all its weights in 32 bits.

    The three figures of Louizos, Ullrich and Welling (2017). A layer is stored as the dense
    matrix that is left of it once its empty rows and columns are gone.

    Args:
        weights: posterior means of each layer's weights, biases left out, by layer.
        variances: posterior variances, by layer.
        keep: boolean, true where a weight stays, by layer.

    Returns:
        ``weights`` and ``weights_kept``, their numbers; ``fraction`` kept; ``pruning``, all
        weights over the kept ones; ``fast_prediction``, the bits of all weights over those of
        the dense matrices at each layer's width; ``maximum``, the same with the rounded dense
        matrices in a Huffman code where that is shorter.

    >>> w = {"layer1": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}
    >>> keep = {"layer1": w["layer1"] != 0}
    >>> compression(w, {"layer1": torch.full((2, 2), 0.01)}, keep)["pruning"]
    4.0
    """
    total = sum(mask.numel() for mask in keep.values())
    kept = sum(int(mask.sum()) for mask in keep.values())
    fast = coded = 0
    for name, mask in keep.items():
        if not bool(mask.any()):
            continue
        width = bit_width(weights[name][mask], variances[name][mask])
        dense = _without_empty(torch.where(mask, weights[name], 0.0), mask)
        plain = dense.numel() * width.total
        fast += plain
        coded += min(plain, huffman_bits(rounded(dense, width), width.total))
    return {
        "weights": float(total),
        "weights_kept": float(kept),
        "fraction": kept / total,
        "pruning": total / max(kept, 1),
        "fast_prediction": _FULL * total / max(fast, 1),
        "maximum": _FULL * total / max(coded, 1),
    }


def _without_empty(weights: Tensor, mask: Tensor) -> Tensor:
    """The weights as ``out x in x ...`` without rows and columns that keep nothing."""
    rows = mask.flatten(1).any(1)
    columns = mask.transpose(0, 1).flatten(1).any(1)
    return weights[rows][:, columns]
