"""The draws of two processes are the rows of those of one."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch.nn import functional

from bayesnas.inference.compile.trace import trace_step
from bayesnas.inference.compile.whole_batch_noise import WholeBatchNoise
from bayesnas.runtime.processes.share import Share

BATCH = 7


def global_and_local(x):
    weights = torch.randn(3)
    noise = torch.rand_like(x) + torch.randn(len(x), 3)
    return functional.dropout(x, 0.3) + weights * noise


def positions(x):
    """Four rows of a layer for each row of the batch, drawn into a transposed tensor."""
    noise = torch.empty(3, 4 * len(x)).t().exponential_(2.0)
    return x + noise.view(len(x), 4, 3).sum(1) + torch.empty(len(x), 3).normal_(1.0, 0.5)


@pytest.mark.parametrize("function", [global_and_local, positions])
@pytest.mark.parametrize("size", [2, 3])
def test_rows_of_the_whole(function, size):
    x = torch.randn(BATCH, 3)
    torch.manual_seed(4)
    whole = function(x)
    after = torch.rand(1)
    parts = []
    for rank in range(size):
        share = Share(rank, size)
        rows = share.rows(BATCH)
        noise = WholeBatchNoise(share)
        noise.learn(share.count(BATCH), BATCH, lambda count: function(torch.zeros(count, 3)))
        assert noise.knows(share.count(BATCH), BATCH)
        torch.manual_seed(4)
        with noise.drawing(share.count(BATCH), BATCH):
            parts.append(function(x[rows]))
        assert torch.equal(torch.rand(1), after)  # the random states stay alike
    assert torch.equal(torch.cat(parts), whole)


class Rows(NamedTuple):
    x: torch.Tensor


def test_in_a_trace():
    share, x = Share(1, 2), torch.randn(BATCH, 3)
    noise = WholeBatchNoise(share)
    noise.learn(4, BATCH, lambda count: global_and_local(torch.zeros(count, 3)))

    def step(inputs):
        with noise.drawing(4, BATCH):
            return global_and_local(inputs.x)

    traced = trace_step(step, Rows(x[3:]))
    assert [draw.shape[0] for draw in traced.noise.draws] == [3, BATCH, BATCH, BATCH]
    torch.manual_seed(4)
    whole = global_and_local(x)
    torch.manual_seed(4)
    assert torch.equal(traced(Rows(x[3:])), whole[3:])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda n: torch.bernoulli(torch.full((n,), 0.5)), "for a row depends on values"),
        (lambda n: torch.randn(n, n), "it draws .* for 7 rows"),
        (lambda n: torch.randn(n + 1), "it draws .* for 7 rows"),
        (lambda n: [torch.randn(2) for _ in range(n)], "how often it draws depends"),
    ],
)
def test_what_can_not_be_told_apart_is_refused(function, why):
    with pytest.raises(
        ValueError, match=f"noise='shared' can't be had of this model, since .*{why}"
    ):
        WholeBatchNoise(Share(0, 2)).learn(3, BATCH, function)


def test_another_draw_at_a_later_step_is_refused():
    noise = WholeBatchNoise(Share(0, 2))
    noise.learn(3, BATCH, torch.randn)
    with pytest.raises(ValueError, match="not the same at every step"), noise.drawing(3, BATCH):
        torch.rand(3)
