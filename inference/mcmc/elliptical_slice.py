"""Elliptical slice sampling, many independent numbers at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayesnas.models.nonparametric.belief_network import Doubles


def elliptical_slice(
    value: Doubles,
    mean: Doubles,
    scale: float,
    log_likelihood: Callable[[Doubles], Doubles],
    rng: np.random.Generator,
) -> Doubles:
    """One step for each of n numbers with a Gaussian prior and a likelihood of its own.

    Args:
        value: where they are, ``[n]``.
        mean: of the prior, ``[n]``.
        scale: standard deviation of the prior.
        log_likelihood: of each number, ``[n]`` to ``[n]``.
        rng: random state.

    References:
        Murray, Adams, MacKay, *Elliptical slice sampling*, 2010.
    """
    start = value - mean
    other = scale * rng.standard_normal(len(value))
    height = log_likelihood(value) + np.log(rng.random(len(value)))
    angle = rng.uniform(0.0, 2 * np.pi, len(value))
    low, high = angle - 2 * np.pi, angle
    while True:
        proposal: Doubles = mean + start * np.cos(angle) + other * np.sin(angle)
        # At angle 0 it is where it was, above its slice but for rounding.
        outside = (log_likelihood(proposal) < height) & (high - low > 1e-12)
        if not outside.any():
            return proposal
        low = np.where(outside & (angle < 0), angle, low)
        high = np.where(outside & (angle >= 0), angle, high)
        angle = np.where(outside, rng.uniform(low, high), angle)
