"""Which weights stay: masks from scores, ranked over all sites together.

A site is a tensor of weights under its parameter name. A mask is `True` where a weight stays.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bayesnas.pruning.criteria.registry import Criterion, rule_of
from bayesnas.scalars import is_number


def keep_masks(
    scores: Mapping[str, Tensor],
    fraction: float | None = None,
    threshold: float | None = None,
    already: Mapping[str, Tensor] | None = None,
    by: Criterion = "density",
) -> dict[str, Tensor]:
    """Masks of the weights that stay, from scores ranked over all sites together.

    Args:
        scores: of every weight, by site; larger is removed first.
        fraction: remove ``round(fraction * total)`` weights, exactly, ``total`` being all weights
            of all sites. Among equal scores the earlier site goes first, then the earlier entry.
        threshold: remove by value instead, in the units of ``by``.
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
    before = kept_before(scores, already)
    if fraction is not None:
        return _keep_by_fraction(scores, fraction, before)
    assert threshold is not None
    limit = score_at(threshold, by)
    return {site: before[site] & (score < limit) for site, score in scores.items()}


def _keep_by_fraction(
    scores: Mapping[str, Tensor], fraction: float, before: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    if not scores:
        return {}
    flat = torch.cat([score.double().flatten() for score in scores.values()])
    kept = torch.cat([before[site].flatten() for site in scores])
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


def kept_before(
    scores: Mapping[str, Tensor], already: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Masks of an earlier pruning, or of none, checked against the scores."""
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


def score_at(threshold: float, by: Criterion) -> float:
    """The score that a threshold in the criterion's own units stands for.

    Raises:
        ValueError: it is out of range, or the criterion gives an order alone.

    >>> score_at(0.5, "magnitude")
    -0.5
    """
    limit = rule_of(by).limit
    if limit is None:
        raise ValueError(f"threshold has no meaning for by={by!r}; give fraction instead")
    return limit(threshold)


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
