"""Which weights to remove: relative density, ranking over all sites, and keep masks.

A site is a tensor of weights under its parameter name. A mask is `True` where a weight stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from bayesnas.checks import is_number, seed_number

Criterion = Literal["density", "magnitude", "random"]
Removal = Criterion | Literal["group"]
"""Single weights by a criterion, or whole groups of them."""
_CRITERIA = ("density", "magnitude", "random")


def log_relative_density(loc: Tensor, scale: Tensor) -> Tensor:
    """Log ρ = −μ² / (2σ²), the log of :func:`relative_density`, in double precision.

    In single precision ρ itself is 0 wherever |μ| > 14σ, which leaves the strongest weights
    unranked; its log tells them apart.

    Args:
        loc: means μ, any shape.
        scale: standard deviations σ >= 0, of the same shape. Where σ = 0 the result is 0 for
            μ = 0 and −inf otherwise.

    Returns:
        Values in [−inf, 0], the shape of ``loc``, float64.

    Raises:
        ValueError: the shapes differ, or there is a NaN, an infinite mean or a negative scale.

    >>> log_relative_density(torch.tensor([0.0, 30.0]), torch.tensor([1.0, 1.0])).abs()
    tensor([  0., 450.], dtype=torch.float64)
    """
    _check_gaussian("", loc, scale)
    mean, deviation = loc.detach().double(), scale.detach().double()
    certain = deviation == 0
    ratio = mean / torch.where(certain, torch.ones_like(deviation), deviation)
    limit = torch.where(mean == 0, 0.0, -math.inf).to(mean)
    return torch.where(certain, limit, -0.5 * ratio.square())


def relative_density(loc: Tensor, scale: Tensor) -> Tensor:
    """ρ = exp(−μ² / (2σ²)): the density of N(μ, σ²) at 0 relative to the density at its mode.

    A weight whose ρ is near 1 is one that the posterior takes no stand on: setting it to zero
    costs least (Graves, Practical variational inference for neural networks, 2011).

    Args:
        loc: means μ, any shape.
        scale: standard deviations σ >= 0, of the same shape. Where σ = 0, ρ is 1 for μ = 0 and 0
            otherwise.

    Returns:
        Values in [0, 1] of the shape and type of ``loc``.

    Raises:
        ValueError: the shapes differ, or there is a NaN, an infinite mean or a negative scale.

    >>> relative_density(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([1.0000, 0.1353])
    """
    return log_relative_density(loc, scale).exp().to(loc.dtype)


def removal_scores(
    locs: Mapping[str, Tensor],
    scales: Mapping[str, Tensor],
    by: Criterion = "density",
    seed: int = 0,
) -> dict[str, Tensor]:
    """A score for every weight; the larger it is, the earlier the weight is removed.

    Args:
        locs: means μ of each site.
        scales: standard deviations σ of each site.
        by: ``"density"``: log ρ = −μ²/(2σ²); ``"magnitude"``: −|μ|; ``"random"``: a uniformly
            drawn order, the same for the same seed, site names and shapes.
        seed: seed of the random order. The global random state is neither read nor changed.

    Returns:
        One float64 tensor a site, of the site's shape.

    Raises:
        ValueError: ``by`` is unknown, the sites of ``locs`` and ``scales`` differ, or a site holds
            a NaN, an infinite mean or a negative scale.

    >>> scores = removal_scores({"w": torch.tensor([0.1, -3.0])}, {"w": torch.ones(2)})
    >>> scores["w"].argmax().item()
    0
    """
    _check_criterion(by)
    seed = seed_number("seed", seed)
    if set(locs) != set(scales):
        raise ValueError(
            f"scales must have the sites of locs, {sorted(locs)}, got {sorted(scales)}"
        )
    for site, loc in locs.items():
        _check_gaussian(f" of site {site!r}", loc, scales[site])
    if by == "density":
        return {site: log_relative_density(loc, scales[site]) for site, loc in locs.items()}
    if by == "magnitude":
        return {site: -loc.detach().double().abs() for site, loc in locs.items()}
    return _random_order(locs, seed)


def keep_masks(
    scores: Mapping[str, Tensor],
    fraction: float | None = None,
    threshold: float | None = None,
    already: Mapping[str, Tensor] | None = None,
    by: Criterion = "density",
) -> dict[str, Tensor]:
    """Masks of the weights that stay, from scores ranked over all sites together.

    Args:
        scores: what :func:`removal_scores` returns: larger is removed first.
        fraction: remove ``round(fraction * total)`` weights, exactly, ``total`` being all weights
            of all sites. Among equal scores the earlier site goes first, then the earlier entry.
        threshold: remove by value instead: where ρ >= threshold for ``by="density"``, where
            |μ| <= threshold for ``by="magnitude"``.
        already: masks of an earlier pruning. What it removed stays removed and counts towards
            ``fraction``; if it removed more than ``fraction`` asks for, nothing more goes.
        by: what the scores are made of; it only gives ``threshold`` its meaning.

    Returns:
        One bool tensor a site, `True` where the weight stays.

    Raises:
        ValueError: both or neither of ``fraction`` and ``threshold`` are given, one is out of
            range, a score is NaN, or ``already`` does not match the scores.

    >>> keep_masks({"w": torch.tensor([-4.0, -1.0, -2.0, -3.0])}, fraction=0.5)
    {'w': tensor([ True, False, False,  True])}
    """
    check_amount(fraction, threshold)
    for site, score in scores.items():
        if score.isnan().any():
            raise ValueError(f"scores must not be NaN, got NaN in site {site!r}")
    kept_before = _kept_before(scores, already)
    if fraction is not None:
        return _keep_by_fraction(scores, fraction, kept_before)
    assert threshold is not None
    limit = _score_at(threshold, by)
    return {site: kept_before[site] & (score < limit) for site, score in scores.items()}


def _keep_by_fraction(
    scores: Mapping[str, Tensor], fraction: float, kept_before: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    if not scores:
        return {}
    flat = torch.cat([score.double().flatten() for score in scores.values()])
    kept = torch.cat([kept_before[site].flatten() for site in scores])
    count = max(round(fraction * flat.numel()), int((~kept).sum()))
    # Two stable sorts: by score, then what is gone already to the front.
    order = torch.sort(flat, descending=True, stable=True).indices
    order = order[torch.sort(kept[order].to(torch.uint8), stable=True).indices]
    mask = torch.ones_like(kept)
    mask[order[:count]] = False
    pieces = torch.split(mask, [score.numel() for score in scores.values()])
    return {
        site: piece.reshape(score.shape)
        for (site, score), piece in zip(scores.items(), pieces, strict=True)
    }


def _kept_before(
    scores: Mapping[str, Tensor], already: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    if already is None:
        return {site: torch.ones_like(score, dtype=torch.bool) for site, score in scores.items()}
    if set(already) != set(scores):
        raise ValueError(
            f"already must have the sites of scores, {sorted(scores)}, got {sorted(already)}"
        )
    for site, mask in already.items():
        if mask.dtype != torch.bool or mask.shape != scores[site].shape:
            raise ValueError(
                f"already must hold bool masks of the scores' shapes, got {mask.dtype} "
                f"{tuple(mask.shape)} for site {site!r} of shape {tuple(scores[site].shape)}"
            )
    return {site: already[site].to(score.device) for site, score in scores.items()}


def _score_at(threshold: float, by: Criterion) -> float:
    """The score that a threshold in the criterion's own units stands for."""
    _check_criterion(by)
    if by == "random":
        raise ValueError("threshold has no meaning for by='random'; give fraction instead")
    if by == "magnitude":
        if not threshold >= 0:
            raise ValueError(f"threshold must be a number >= 0 (a |mean|), got {threshold}")
        return -float(threshold)
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1] (a relative density), got {threshold}")
    return math.log(threshold) if threshold > 0 else -math.inf


def _random_order(locs: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """A permutation over all sites, drawn in the order of their names."""
    total = sum(loc.numel() for loc in locs.values())
    ranks = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).double()
    names = sorted(locs)
    pieces = dict(zip(names, torch.split(ranks, [locs[n].numel() for n in names]), strict=True))
    return {site: pieces[site].reshape(loc.shape).to(loc.device) for site, loc in locs.items()}


def check_amount(fraction: float | None, threshold: float | None) -> None:
    """Raise ValueError unless one of the two is given, and a fraction lies in [0, 1]."""
    if (fraction is None) == (threshold is None):
        raise ValueError(
            f"fraction or threshold must be given, and not both, got fraction={fraction}, "
            f"threshold={threshold}"
        )
    if fraction is not None and not (is_number(fraction) and 0 <= fraction <= 1):
        raise ValueError(f"fraction must be in [0, 1], got {fraction}")
    if threshold is not None and not is_number(threshold):
        raise ValueError(f"threshold must be a number, got {threshold!r}")


def _check_criterion(by: str) -> None:
    if not isinstance(by, str) or by not in _CRITERIA:
        raise ValueError(f"by must be one of {', '.join(_CRITERIA)}, got {by!r}")


def _check_gaussian(where: str, loc: Tensor, scale: Tensor) -> None:
    if loc.shape != scale.shape:
        raise ValueError(
            f"scale{where} must have the shape of loc, {tuple(loc.shape)}, got {tuple(scale.shape)}"
        )
    if not loc.isfinite().all():
        raise ValueError(f"loc{where} must be finite, got NaN or infinity")
    if not (scale >= 0).all():
        raise ValueError(f"scale{where} must be >= 0, got a negative number or NaN")
