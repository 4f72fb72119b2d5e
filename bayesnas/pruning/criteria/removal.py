"""What a criterion removes of a subject, at one amount or another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from bayesnas.pruning.criteria.group_masks import (
    Axes,
    check_groups_left,
    group_masks,
    group_rule,
)
from bayesnas.pruning.criteria.keep_masks import check_amount, keep_masks, score_at
from bayesnas.pruning.criteria.registry import Criterion, Scores, rule_of
from bayesnas.pruning.criteria.sequences import RemovalSequence
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
        assert self._rule.scores is not None
        scores = self._rule.scores(self._subject)
        return {site: scores[site] for site in self._sites}

    @cached_property
    def _sequence(self) -> RemovalSequence:
        assert self._rule.sequence is not None
        return self._rule.sequence(self._subject, self._groups())

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
        if self._rule.moves:
            return self._in_sequence(keep, fraction, threshold)
        if self._axes is not None:
            masks = group_masks(self._scores, self._axes, self._by, keep, fraction, threshold)
        else:
            masks = keep_masks(self._scores, fraction, threshold, keep, self._by)
        return Removed({**self._subject.keep, **masks})

    def _in_sequence(
        self, keep: Mapping[str, Tensor], fraction: float | None, threshold: float | None
    ) -> Removed:
        if threshold is not None:
            steps = self._sequence.steps_above(score_at(threshold, self._by))
        else:
            assert fraction is not None
            total = sum(mask.numel() for mask in keep.values())
            gone = sum(int((~mask).sum()) for mask in keep.values())
            steps = self._sequence.steps_for(round(fraction * total) - gone)
        removed = self._sequence.removed(steps)
        went = self._subject.by_site(removed)
        masks = {site: mask & ~went[site] for site, mask in self._subject.keep.items()}
        if self._axes is not None:
            check_groups_left(self._axes, keep, masks)
        return Removed(masks, self._subject.by_site(self._sequence.moved(removed)))

    def _groups(self) -> Tensor:
        """Places of the weights that may go, by group, ``[groups, members]``, −1 where fewer."""
        places = self._subject.by_site(torch.arange(len(self._subject.flat(self._subject.keep))))
        rows = []
        for site in self._sites if self._axes is None else self._axes:
            at = torch.where(self._subject.keep[site].cpu(), places[site], -1)
            axis = None if self._axes is None else self._axes[site]
            rows.append(at.reshape(-1, 1) if axis is None else at.transpose(0, axis).flatten(1))
        most = max((row.shape[1] for row in rows), default=1)
        padded = [torch.nn.functional.pad(row, (0, most - row.shape[1]), value=-1) for row in rows]
        groups = torch.cat(padded) if padded else torch.empty(0, 1, dtype=torch.long)
        device = next(iter(self._subject.keep.values())).device
        return groups[(groups >= 0).any(1)].to(device)


def is_bias(site: str) -> bool:
    """Whether a parameter is a bias by its name.

    >>> is_bias("layer1.bias"), is_bias("bias_ih_l0"), is_bias("layer1.weight")
    (True, True, False)
    """
    return site.rpartition(".")[2].startswith("bias")
