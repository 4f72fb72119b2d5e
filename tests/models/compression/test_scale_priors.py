"""Scales of groups: what their guides say of the horseshoe's shrinkage."""

from __future__ import annotations

import itertools
import math

import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, special, stats

from bayesnas.models.compression.scale_priors import HorseshoeScales


@pytest.mark.parametrize("loc", [-4.0, -1.0, 0.5, 2.0])
@pytest.mark.parametrize("scale", [1e-6, 0.1, 1.0, 4.0, 10.0, 30.0, 1e6])
def test_inclusion_of_a_horseshoe_by_quadrature(loc: float, scale: float) -> None:
    """E κ, also of wide guides, where 32 nodes of Gauss and Hermite were off by 0.07."""
    guides = {
        v: dist.LogNormal(torch.tensor([loc]), torch.tensor([scale])) for v in ("alpha", "beta")
    }
    mean, width = 2 * loc, math.sqrt(2) * scale  # of ln αβ
    bend = -mean / width
    ends = sorted({-9.0, 9.0, *(min(max(bend + k / width, -9), 9) for k in (-30, -3, 0, 3, 30))})
    expected = sum(
        integrate.quad(lambda x: stats.norm.pdf(x) * special.expit(mean + width * x), a, b)[0]
        for a, b in itertools.pairwise(ends)
    )
    assert HorseshoeScales().inclusion(guides).item() == pytest.approx(expected, rel=1e-5)
