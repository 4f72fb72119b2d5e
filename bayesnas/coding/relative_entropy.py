"""Weights of a Gaussian posterior as the number of a candidate drawn from the prior."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bayesnas.coding.shared_gaussians import gaussian_candidates

MOST_BITS = 20
"""Of an index: the writer of a file looks at 2^bits candidates a block."""

_AT_ONCE = 2**22  # numbers of candidates in memory

Floats = npt.NDArray[np.float64]


def chosen_candidate(
    loc: Floats,
    scale: Floats,
    prior_scale: Floats,
    *,
    seed: int,
    block: int,
    bits: int,
    draw: float | None,
) -> int:
    r"""Choose among 2^bits candidates of the prior one that stands for the posterior.

    Candidates :math:`w_k \sim p = N(0, s^2)` are drawn from a seed that writer and reader share,
    and have the weights :math:`r_k = q(w_k) / p(w_k)`. With a ``draw`` one is taken with the
    probability :math:`r_k / \sum_j r_j`, and is nearly a sample of q; with ``None`` the one of
    largest weight. Where q is at the optimum of a bound with the KL weight λ,
    :math:`1/\sigma^2 - 1/s^2` is the curvature of the loss over λ, so :math:`-\lambda \ln r_k` is
    what a candidate adds to the loss, to second order and up to a constant: the largest weight
    is the smallest loss.

    Of a draw: with :math:`2^{bits} = e^{KL(q \| p) + t}` candidates an expectation of f under it is
    off by more than :math:`2 \|f\|_q \varepsilon / (1 - \varepsilon)` with a probability of at most
    :math:`2 \varepsilon`, :math:`\varepsilon^2 = e^{-t/4} + 2 P_q(\ln (q/p) > KL + t/2)^{1/2}`
    (Chatterjee, Diaconis 2018). So a few bits above the KL are enough; with fewer the sample is
    nearer to the prior.

    Args:
        loc: means μ of q ``[n]``.
        scale: deviations σ of q ``[n]``, positive.
        prior_scale: deviations s of p ``[n]``.
        seed: shared with the reader.
        block: number of the block, which has candidates of its own.
        bits: of the index.
        draw: uniform on [0, 1), which decides; None for the largest weight.

    Returns:
        the index k, of ``bits`` bits.

    References:
        Havasi, Peharz, Hernández-Lobato, *Minimal random code learning: getting bits back from
        compressed model parameters*, ICLR 2019.

    >>> loc, scale, prior = np.array([0.7, -0.2]), np.array([0.3, 0.4]), np.ones(2)
    >>> index = chosen_candidate(loc, scale, prior, seed=0, block=0, bits=8, draw=None)
    >>> values = gaussian_candidates(0, 0, index, 1, 2)
    >>> bool((abs(values - loc) < 3 * scale).all())
    True
    """
    # ln r = Σ (w²/s² − (w − μ)²/σ²) / 2 + const with w = s z: quadratic in z.
    ratio = prior_scale / scale
    square, linear = 0.5 * (1 - ratio**2), ratio * loc / scale
    log_weights = _log_weights(square, linear, seed, block, bits)
    if draw is None:
        return int(log_weights.argmax())
    shares = np.cumsum(np.exp(log_weights - log_weights.max()))
    index = int(np.searchsorted(shares, draw * shares[-1], side="right"))
    return min(index, len(shares) - 1)


def _log_weights(square: Floats, linear: Floats, seed: int, block: int, bits: int) -> Floats:
    count, size = 2**bits, len(square)
    at_once = max(1, min(count, _AT_ONCE // max(size, 1)))
    of_squares, of_values = square.astype(np.float32), linear.astype(np.float32)
    logs = np.empty(count)
    for first in range(0, count, at_once):
        z = gaussian_candidates(seed, block, first, min(at_once, count - first), size)
        logs[first : first + len(z)] = z @ of_values + np.square(z) @ of_squares
    return logs
