"""The log of the beta function against exact products, and at the ends of single precision."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import special

from bayesnas.log_beta import log_beta


def by_product(p: int, q: float) -> float:
    """B(p, q) = (p − 1)! / ∏_{i<p} (q + i)."""
    return math.lgamma(p) - math.fsum(math.log(q + i) for i in range(p))


@pytest.mark.parametrize("q", [1e-30, 1e-3, 0.5, 9.9, 10.1, 300.0, 1e6, 1e9, 1e15, 1e30])
@pytest.mark.parametrize("p", [1, 2, 7, 11, 60])
def test_it_is_that_of_the_product(p: int, q: float) -> None:
    for dtype, rel in ((torch.float64, 1e-13), (torch.float32, 1e-7)):
        numbers = torch.tensor(float(p), dtype=dtype), torch.tensor(q, dtype=dtype)
        expected = by_product(p, float(numbers[1]))
        assert float(log_beta(*numbers)) == pytest.approx(expected, rel=rel, abs=1e-12)
        assert float(log_beta(*reversed(numbers))) == float(log_beta(*numbers))


@pytest.mark.parametrize(("p", "q"), [(1e-20, 1e-10), (0.3, 0.2), (0.01, 40.0), (5e3, 2e4)])
def test_it_is_scipys_where_that_is_accurate(p: float, q: float) -> None:
    ours = log_beta(torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64))
    assert float(ours) == pytest.approx(special.betaln(p, q), rel=1e-12)


@pytest.mark.parametrize(("p", "q"), [(0.3, 0.2), (3.0, 50.0), (40.0, 50.0), (1.0, 1e9)])
def test_its_gradient_is_a_difference_of_digammas(p: float, q: float) -> None:
    numbers = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (p, q)]
    log_beta(*numbers).backward()
    together = special.digamma(p + q)
    for number, value in zip(numbers, (p, q), strict=True):
        expected = special.digamma(value) - together
        assert float(number.grad) == pytest.approx(expected, rel=1e-9, abs=1e-15)
