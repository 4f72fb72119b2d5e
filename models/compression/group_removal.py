"""Copies of a model without some of its groups, and without what nothing reads then."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

from bayesnas.data.inputs import AnyInputs
from bayesnas.models.compression.grouped_weights import GroupedWeights

Model = TypeVar("Model", bound=GroupedWeights)


def removed_at(model: Model, threshold: float, example: AnyInputs) -> Model:
    """A copy without the groups whose score is at or above a threshold.

    Args:
        model: stays as it is.
        threshold: in units of ``model.group_scores()``.
        example: a few inputs, to follow which units are read.

    Raises:
        ValueError: where a layer would lose all its groups.
    """
    smaller = copy.deepcopy(model)
    smaller.remove_groups(threshold)
    smaller.remove_unread(example)
    return smaller


def removed_to(model: Model, fraction: float, example: AnyInputs) -> Model:
    """A copy without as few groups as leave at most 1 − ``fraction`` of all weights.

    Groups go in the order of their scores, over all layers together.

    Args:
        model: stays as it is.
        fraction: share of all weights, biases included, to remove.
        example: a few inputs, to follow which units are read.

    Raises:
        ValueError: where a layer would lose all its groups.
    """
    total = sum(mask.numel() for mask in model.keep_masks().values())
    most = round((1 - fraction) * total)
    if _kept(model) <= most:
        return copy.deepcopy(model)
    scores = model.group_scores()
    limit = max(float(score.min()) for score in scores.values())
    pooled = torch.cat([score.flatten() for score in scores.values()])
    candidates = pooled[pooled.isfinite() & (pooled > limit)].unique()
    low, high = 0, len(candidates)  # the largest threshold that leaves few enough is below high
    while low < high:
        middle = (low + high) // 2
        if _kept(removed_at(model, float(candidates[middle]), example)) <= most:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        left = removed_at(model, float(candidates[0]), example) if len(candidates) else model
        raise ValueError(
            f"fraction={fraction:g} would remove all groups of a layer; the largest that leaves "
            f"every layer one is {1 - _kept(left) / total:.6g}"
        )
    return removed_at(model, float(candidates[low - 1]), example)


def _kept(model: GroupedWeights) -> int:
    return sum(int(mask.sum()) for mask in model.keep_masks().values())
