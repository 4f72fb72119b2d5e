"""Shares of batches, over all small sizes."""

from __future__ import annotations

import pytest

from bayesnas.runtime.processes.share import WHOLE, Share


@pytest.mark.parametrize("size", range(1, 6))
@pytest.mark.parametrize("batch", range(1, 12))
def test_every_row_counts_once(batch, size):
    shares = [Share(rank, size) for rank in range(size)]
    rows = [list(range(batch))[share.rows(batch)] for share in shares]
    assert [share.count(batch) for share in shares] == [len(each) for each in rows]
    weights = [share.weight(batch) for share in shares]
    assert sum(weights) == pytest.approx(1.0)
    counted = [each for each, weight in zip(rows, weights, strict=True) if weight]
    assert [row for each in counted for row in each] == list(range(batch))
    # N/B of a share is N/b times b/B: a row weighs as much wherever it is.
    assert all(weight == pytest.approx(len(each) / batch) for each, weight in
               zip(rows, weights, strict=True) if weight)  # fmt: skip
    assert max(map(len, counted)) - min(map(len, counted)) <= 1
    assert all(len(each) == 1 for each, weight in zip(rows, weights, strict=True) if not weight)


def test_the_whole():
    assert (WHOLE.rows(7), WHOLE.weight(7)) == (slice(0, 7), 1.0)
