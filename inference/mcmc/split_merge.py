"""Splitting a latent feature in two, and merging two, by Metropolis–Hastings.

Two examples n ≠ m are drawn, then a feature of each. If it is one and the same, it is split: n
keeps the first part, m the second, and the other examples that have it, in random order, get one
part or both, in proportion to the density of x given all examples placed so far. Two different ones
are merged into their union. Pairs of examples and features are equally probable in both directions,
so what remains of the acceptance is the ratio of joint densities and the probability of the parts.

References:
    Meeds, Ghahramani, Neal, Roweis, *Modeling dyadic data with binary latent factors*, 2007; Fox,
    Hughes, Sudderth, Jordan, *Joint modeling of multiple time series via the beta process*, 2014.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from bayesnas.inference.mcmc.latent_feature_evidence import Doubles, Prediction, log_evidence

_PARTS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def split_or_merge(
    x: Doubles,
    z: Doubles,
    noise_scale: float,
    feature_scale: float,
    mass: float,
    concentration: float,
    rng: np.random.Generator,
) -> Doubles:
    """Return Z after one attempt; it leaves p(Z | X) as it is.

    Args:
        x: ``[N, D]``.
        z: ``[N, K]``.
        noise_scale: σ_x.
        feature_scale: σ_A.
        mass: α.
        concentration: β.
        rng: random state.
    """
    if len(z) < 2 or not z.shape[1]:
        return z
    n, m = rng.choice(len(z), 2, replace=False)
    if not z[n].any() or not z[m].any():
        return z
    first, second = rng.choice(np.flatnonzero(z[n])), rng.choice(np.flatnonzero(z[m]))
    scales = noise_scale, feature_scale
    rest = np.delete(z, [first, second], axis=1)
    if first == second:
        parts, log_parts = _parts(x, rest, z[:, first], n, m, scales, rng)
        proposed, gain = np.hstack([rest, parts]), -log_parts
    else:
        parts = z[:, [first, second]]
        if parts[n, 1] or parts[m, 0]:
            return z  # no split leads here
        union = parts.max(1)
        _, gain = _parts(x, rest, union, n, m, scales, rng, parts)
        proposed = np.column_stack([rest, union])
    gain += log_evidence(x, proposed, *scales) - log_evidence(x, z, *scales)
    gain += _log_prior(proposed, mass, concentration) - _log_prior(z, mass, concentration)
    return proposed if math.log(rng.random()) < gain else z


def _parts(
    x: Doubles,
    rest: Doubles,
    union: Doubles,
    n: int,
    m: int,
    scales: tuple[float, float],
    rng: np.random.Generator,
    given: Doubles | None = None,
) -> tuple[Doubles, float]:
    """Draw the two parts of a feature, or take those given; with their log probability."""
    members = np.setdiff1d(np.flatnonzero(union), [n, m])
    outside = union == 0
    placed = np.hstack([rest * outside[:, None], np.zeros((len(x), 2))])
    placed[[n, m], :-2] = rest[[n, m]]
    placed[[n, m], -2:] = _PARTS[:2]
    log_probability = 0.0
    for member in rng.permutation(members):
        view = Prediction(placed, x, member, *scales)
        logs = np.array([view.log_density(np.append(rest[member], part)) for part in _PARTS])
        logs -= special.logsumexp(logs)
        if given is None:
            choice = int(rng.choice(3, p=np.exp(logs)))
        else:
            choice = int(np.flatnonzero((given[member] == _PARTS).all(1))[0])
        log_probability += logs[choice]
        placed[member] = np.append(rest[member], _PARTS[choice])
    parts = placed[:, -2:]
    return parts, float(log_probability)


def _log_prior(z: Doubles, mass: float, concentration: float) -> float:
    """Ln P([Z]) ∏ K_h!, up to what does not depend on Z.

    The factorials go: a class with several equal features is that many times as easily reached.
    """
    counts = z.sum(0)
    each = special.betaln(counts, len(z) - counts + concentration)
    return float(z.shape[1] * math.log(mass * concentration) + each.sum())
