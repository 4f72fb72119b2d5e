"""The rule against its definition, over all small cases."""

import itertools

import pytest

from bayesnas.inference.compression.one_standard_error import largest_good_loss, smallest_good


def test_no_smaller_network_is_within_the_limit():
    for losses in itertools.product((0.1, 0.2, 0.4), repeat=3):
        for weights in itertools.product((5, 9), repeat=3):
            limit = largest_good_loss([(loss, 0.1) for loss in losses], tolerance=1.0)
            chosen = smallest_good(losses, weights, limit)
            assert losses[chosen] <= limit == pytest.approx(min(losses) + 0.1)
            others = [k for k in range(3) if losses[k] <= limit]
            assert weights[chosen] == min(weights[k] for k in others)
            assert chosen == min(k for k in others if weights[k] == weights[chosen])


def test_a_limit_below_all_by_rounding_leaves_the_lowest():
    assert smallest_good([0.3, 0.2, 0.4], [9, 9, 1], limit=0.2 - 1e-12) == 1
