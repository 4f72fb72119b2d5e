"""Which whole groups of weights stay: input units of linear layers and filters of convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.nn.modules.stochastic_layers import is_linear_or_convolution
from bayesnas.nn.modules.weight_groups import groups_of
from bayesnas.pruning.criteria.keep_masks import score_at
from bayesnas.pruning.criteria.registry import Criterion, Group, rule_of

Axes = dict[str, int]
"""By site the axis along which its groups lie."""


class EmptiedLayerError(ValueError):
    """A layer would lose all its groups."""


def group_axes(net: nn.Module) -> Axes:
    """The groups of a network's linear and ungrouped convolution layers, by weight.

    >>> group_axes(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2)))
    {'0.weight': 0, '2.weight': 1}
    """
    return {
        dotted(name, "weight"): groups_of(layer).weight_axis
        for name, layer in net.named_modules()
        if is_linear_or_convolution(name, layer) and getattr(layer, "groups", 1) == 1
    }


def group_masks(
    scores: Mapping[str, Tensor],
    axes: Axes,
    by: Criterion,
    already: Mapping[str, Tensor],
    fraction: float | None = None,
    threshold: float | None = None,
) -> dict[str, Tensor]:
    """Masks of whole groups that stay, ranked over all layers together.

    Args:
        scores: of single weights, by site; larger is removed first.
        axes: by site the axis along which its groups lie; sites without one stay as they are.
        by: what the scores are made of; it says how those of a group add up.
        already: masks of an earlier pruning: what is gone counts as removed, and not in a score.
        fraction: of all weights of ``scores``; as few groups go as remove at least so many.
        threshold: groups whose score is at or beyond it go, in the units of ``by``.

    Raises:
        ValueError: ``by`` gives groups no score.
        EmptiedLayerError: a layer would lose all its groups.

    >>> scores = {"w": torch.tensor([[-1.0, -3.0], [-1.0, -5.0]])}
    >>> keep = {"w": torch.ones(2, 2).bool()}
    >>> group_masks(scores, {"w": 1}, "obd", keep, fraction=0.5)
    {'w': tensor([[False,  True],
            [False,  True]])}
    """
    how = group_rule(by)
    grouped = {
        site: _group_scores(scores[site], already[site], axis, how) for site, axis in axes.items()
    }
    if threshold is not None:
        limit = score_at(threshold, by)
        stay = {site: score < limit for site, score in grouped.items()}
    else:
        assert fraction is not None
        stay = _by_fraction(grouped, axes, already, fraction)
    masks = dict(already)
    for site, axis in axes.items():
        shape = [1] * already[site].ndim
        shape[axis] = -1
        masks[site] = already[site] & stay[site].reshape(shape)
    check_groups_left(axes, already, masks)
    return masks


def check_groups_left(
    axes: Axes, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> None:
    """Raise EmptiedLayerError where a layer that had weights has none left."""
    for site in axes:
        if bool(before[site].any()) and not bool(after[site].any()):
            raise EmptiedLayerError(f"all groups of {site!r} would be removed; remove less")


def group_rule(by: Criterion) -> Group:
    """How the scores of a group's members make that of the group.

    Raises:
        ValueError: they make none.

    >>> group_rule("obd")
    'sum'
    """
    how = rule_of(by).group
    if how is None:
        raise ValueError(f"groups must be False for by={by!r}, which ranks single weights alone")
    return how


def _group_scores(scores: Tensor, keep: Tensor, axis: int, how: Group) -> Tensor:
    """Score of each group, +∞ where it is gone."""
    members = scores.double().transpose(0, axis).flatten(1)
    kept = keep.transpose(0, axis).flatten(1)
    if how == "first":
        by_group = members[:, 0]
    elif how == "norm":
        by_group = -members.masked_fill(~kept, 0.0).square().sum(1).sqrt()
    else:
        by_group = members.masked_fill(~kept, 0.0).sum(1)
    return by_group.masked_fill(~kept.any(1), torch.inf)


def _by_fraction(
    grouped: Mapping[str, Tensor], axes: Axes, already: Mapping[str, Tensor], fraction: float
) -> dict[str, Tensor]:
    sizes = [already[s].transpose(0, axis).flatten(1).sum(1) for s, axis in axes.items()]
    if not sizes:
        return {}
    flat, weights = torch.cat(list(grouped.values())), torch.cat(sizes)
    total = sum(mask.numel() for mask in already.values())
    needed = round(fraction * total) - sum(int((~mask).sum()) for mask in already.values())
    order = torch.sort(flat, descending=True, stable=True).indices
    before = weights[order].cumsum(0) - weights[order]  # removed by those ahead in the order
    stay = torch.ones_like(flat, dtype=torch.bool)
    stay[order[before < needed]] = False
    stay |= weights == 0
    pieces = stay.split([len(score) for score in grouped.values()])
    return dict(zip(grouped, pieces, strict=True))
