"""What a criterion removes of a subject, at one amount or another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from bayesnas.pruning.criteria.group_masks import Axes, group_masks, group_rule
from bayesnas.pruning.criteria.keep_masks import check_amount, keep_masks, score_at
from bayesnas.pruning.criteria.registry import Criterion, Scores, rule_of, surgery
from bayesnas.pruning.criteria.subject import Subject

SHARES_TO_CHOOSE_FROM = (*(index / 40 for index in range(40)), 0.98, 0.985, 0.99, 0.995)
"""Shares of the weights removed, rising, where validation data choose one."""


@dataclasses.dataclass(frozen=True)
class Removed:
    """What stays.

    Attributes:
        masks: boolean, true where a weight stays, by site.
        moved: the values of all weights where those that stay are moved, else None.
    """

    masks: dict[str, Tensor]
    moved: dict[str, Tensor] | None = None


class RemovalPlan:
    """The weights of a subject in the order in which they go.

    Args:
        subject: the weights.
        by: the criterion.
        axes: of the groups that go whole; None for single weights.
        biases: whether biases may go; else they stay, and count in no share.

    Raises:
        TypeError, ValueError: the subject has not what the criterion needs.

    >>> subject = Subject({"w": torch.tensor([1.0, -3.0])}, {"w": torch.ones(2).bool()})
    >>> RemovalPlan(subject, "magnitude").at(fraction=0.5).masks
    {'w': tensor([False,  True])}
    """

    def __init__(
        self, subject: Subject, by: Criterion, *, axes: Axes | None = None, biases: bool = True
    ) -> None:
        """Rank the weights; see the class."""
        self._rule = rule_of(by)
        self._subject, self._by = subject, by
        self._sites = [site for site in subject.locs if biases or not is_bias(site)]
        self._axes: Axes | None = None
        if axes is not None:
            group_rule(by)
            self._axes = {site: axis for site, axis in axes.items() if site in self._sites}

    @cached_property
    def _scores(self) -> Scores:
        scores = self._rule.scores(self._subject)
        return {site: scores[site] for site in self._sites}

    def at(self, fraction: float | None = None, threshold: float | None = None) -> Removed:
        """What stays at a share of the weights removed, or at a threshold of the criterion.

        Raises:
            ValueError: for none or both, unless the criterion has a threshold of its own, or one
                out of range.
        """
        if fraction is None and threshold is None:
            threshold = self._rule.threshold
        check_amount(fraction, threshold)
        if threshold is not None:
            score_at(threshold, self._by)  # before any work
        keep = {site: self._subject.keep[site] for site in self._sites}
        moved = None
        if self._axes is not None:
            masks = group_masks(self._scores, self._axes, self._by, keep, fraction, threshold)
        elif self._rule.moves and fraction is not None:
            masks, moved = self._surgery(keep, fraction)
        else:
            masks = keep_masks(self._scores, fraction, threshold, keep, self._by)
        return Removed({**self._subject.keep, **masks}, moved)

    def _surgery(
        self, keep: Mapping[str, Tensor], fraction: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        total = sum(mask.numel() for mask in keep.values())
        count = max(0, round(fraction * total) - sum(int((~m).sum()) for m in keep.values()))
        may_go = {
            site: torch.full_like(mask, site in keep) for site, mask in self._subject.keep.items()
        }
        scores, moved = surgery(self._subject, may_go, count)
        # Those that went have scores above 0.
        return {site: mask & (scores[site] < 0) for site, mask in keep.items()}, moved


def is_bias(site: str) -> bool:
    """Whether a parameter is a bias by its name.

    >>> is_bias("layer1.bias"), is_bias("bias_ih_l0"), is_bias("layer1.weight")
    (True, True, False)
    """
    return site.rpartition(".")[2].startswith("bias")
