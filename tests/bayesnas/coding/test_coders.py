"""Symbols, places and tensors as bytes and back, and how many bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from bayesnas.coding.codebooks import shared_weights
from bayesnas.coding.huffman import huffman_decode, huffman_encode
from bayesnas.coding.sparse_indices import places_of, steps_of
from bayesnas.coding.tensors import decode_tensor, encode_tensor
from bayesnas.pruning.bit_widths import huffman_bits

_BLOCK = 2**15 - 1  # symbols that have a code of their own
_HEADER = 8 * 160  # bits of its lengths: at most 286 of them, in a code themselves


@given(st.lists(st.integers(0, 255), max_size=300))
def test_symbols_come_back_bit_for_bit(values):
    symbols = np.array(values, dtype=np.uint8)
    assert huffman_decode(huffman_encode(symbols), len(symbols)).tolist() == values


@pytest.mark.parametrize("shape", [0.02, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("alphabet", [2, 32, 256])
@pytest.mark.parametrize("count", [5_000, 100_000])
def test_a_symbol_takes_less_than_a_bit_above_its_entropy(shape, alphabet, count):
    random = np.random.default_rng(1)
    weights = random.dirichlet(np.full(alphabet, shape))
    symbols = random.choice(alphabet, size=count, p=weights).astype(np.uint8)
    content = huffman_encode(symbols)
    bits = sum(
        entropy(np.bincount(block), base=2) * len(block)
        for block in np.array_split(symbols, -(-count // _BLOCK))
    )
    blocks = -(-count // _BLOCK)
    assert 8 * len(content) < bits + count + blocks * _HEADER
    assert np.array_equal(huffman_decode(content, count), symbols)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_as_long_as_the_tree_says(seed):
    """By the merged weights of a Huffman tree, with one symbol for the end."""
    random = np.random.default_rng(seed)
    symbols = random.choice(20, size=8000, p=random.dirichlet(np.ones(20))).astype(np.uint8)
    tree = huffman_bits(torch.tensor([*symbols.tolist(), 256]), value_bits=0)
    assert tree < 8 * len(huffman_encode(symbols)) < tree + 8 * 60


@pytest.mark.parametrize("count", [5, 7])
def test_another_number_of_symbols_is_named(count):
    content = huffman_encode(np.arange(6, dtype=np.uint8))
    with pytest.raises(ValueError, match=f"content must hold {count} symbols, got [567]"):
        huffman_decode(content, count)


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"nothing of the kind"])
def test_what_is_no_stream_is_named(content):
    with pytest.raises(ValueError, match="content"):
        huffman_decode(content, 4)


@given(st.sets(st.integers(0, 3000)))
def test_places_come_back(places):
    rising = np.array(sorted(places), dtype=np.int64)
    assert places_of(steps_of(rising)).tolist() == rising.tolist()


@pytest.mark.parametrize("gap", [254, 255, 256, 509, 510, 511, 100_000])
def test_long_gaps_are_filled(gap):
    places = np.array([0, gap, gap + 1])
    assert places_of(steps_of(places)).tolist() == places.tolist()


def a_sparse(values=5):
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(30, 40, generator=generator) < 0.1
    return kept * (1 + torch.randint(0, values, (30, 40), generator=generator))


TENSORS = {
    "random": (torch.linspace(0, 1, 700), "raw"),
    "few numbers": (torch.arange(6000).remainder(7) + 0.5, "dense"),
    "few and zeros": (a_sparse().float(), "sparse"),
    "double": (a_sparse().double() / 3, "sparse"),
    "half": (a_sparse().half(), "sparse"),
    "bfloat16": (a_sparse().bfloat16(), "sparse"),
    "many and zeros": (a_sparse() * torch.linspace(1, 2, 1200).reshape(30, 40), "sparse-raw"),
    "zeros": (torch.zeros(100, 100), "sparse-raw"),
    "all the same": (torch.full((100, 100), 0.3), "dense"),
    "whole": (a_sparse(), "sparse"),
    "bool": (a_sparse() > 0, "sparse"),
    "one number": (torch.tensor(3), "raw"),
    "nothing": (torch.zeros(0, 3), "raw"),
    "not finite": (torch.tensor([0.0, torch.nan, torch.inf] * 500), "raw"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_come_back_and_the_shortest_way_is_taken(name):
    value, coding = TENSORS[name]
    note, parts = encode_tensor(value)
    decoded = decode_tensor(note, parts)
    assert decoded.dtype == value.dtype
    torch.testing.assert_close(decoded, value, rtol=0, atol=0, equal_nan=True)
    assert sum(map(len, parts)) <= value.numel() * value.element_size()
    assert note["coding"] == coding or name == "bool"


def test_a_tensor_of_another_type_is_named():
    with pytest.raises(TypeError, match="module must have tensors of .*, got one of complex64"):
        encode_tensor(torch.zeros(2, dtype=torch.complex64))


# Shared weights ---------------------------------------------------------------------------------


def test_clusters_are_those_of_lloyds_algorithm_from_even_centroids():
    weights = torch.randn(200, generator=torch.Generator().manual_seed(1)).double()
    weights[::3] = 0.0
    shared = shared_weights(weights, bits=2)
    entries = weights[weights != 0].numpy()
    book = np.linspace(entries.min(), entries.max(), 4)
    for _ in range(100):
        nearest = np.abs(entries[:, None] - book).argmin(1)
        book = np.array([entries[nearest == index].mean() for index in range(4)])
    np.testing.assert_allclose(shared.book.sort().values, np.sort(book), atol=1e-3)
    assert torch.equal(shared.index == 0, weights == 0)
    filled = shared.filled(shared.book)
    np.testing.assert_allclose(filled[weights != 0], book[nearest], atol=1e-3)


def test_the_gradient_of_a_number_is_the_sum_over_its_weights():
    shared = shared_weights(torch.tensor([0.0, 1.0, 1.0, -2.0, 1.0]), bits=4)
    book = shared.book.clone().requires_grad_()
    (shared.filled(book) * torch.tensor([100.0, 1.0, 2.0, 5.0, 4.0])).sum().backward()
    assert dict(zip(shared.book.tolist(), book.grad.tolist(), strict=True)) == {1.0: 7.0, -2.0: 5.0}


def test_fewer_numbers_than_clusters_and_none_at_all():
    assert sorted(shared_weights(torch.tensor([3.0, 1.0, 3.0]), bits=8).book.tolist()) == [1.0, 3.0]
    nothing = shared_weights(torch.zeros(2, 3), bits=5)
    assert len(nothing.book) == 0
    assert torch.equal(nothing.filled(nothing.book), torch.zeros(2, 3))
