"""Criteria that remove one after another and move what stays: whole orders, and what is left."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.pruning.criteria.elimination import conditional_mean, elimination_order
from bayesnas.pruning.criteria.relevance import relevance_order
from bayesnas.pruning.criteria.subject import Subject

_DAMPING = 1e-8  # of the mean curvature; Hassibi and Stork take 1e-8 to 1e-4


@dataclass(frozen=True)
class RemovalSequence:
    """Weights or groups of them in the order in which they go.

    Attributes:
        groups: places among all weights of a subject, flat, ``[steps, members]``, −1 where a group
            has fewer.
        mean: values, or posterior means, of the weights not removed before, ``[n]``.
        precision: of those, up to a factor, ``[n, n]``.
        places: of those among all weights, ``[n]``.
        total: the number of all weights.
        gains: of every step, in nats; None where the criterion gives an order alone.
    """

    groups: Tensor
    mean: Tensor
    precision: Tensor
    places: Tensor
    total: int
    gains: Tensor | None = None

    def steps_for(self, count: int) -> int:
        """Fewest steps that remove so many weights, or all."""
        sizes = (self.groups >= 0).sum(1)
        return int(((sizes.cumsum(0) - sizes) < count).sum())

    def steps_above(self, limit: float) -> int:
        """Steps before the first whose gain is below a limit."""
        assert self.gains is not None
        return int((self.gains >= limit).long().cumprod(0).sum())

    def removed(self, steps: int) -> Tensor:
        """Whether a weight goes in the first steps, boolean ``[total]``."""
        gone = self.groups[:steps].flatten()
        flags = torch.zeros(self.total, dtype=torch.bool, device=self.mean.device)
        flags[gone[gone >= 0]] = True
        return flags

    def moved(self, removed: Tensor) -> Tensor:
        """All weights once some are removed, the others moved to their conditional mean."""
        values = torch.zeros(self.total, dtype=torch.float64, device=self.mean.device)
        left = conditional_mean(self.mean, self.precision, removed[self.places])
        values[self.places] = left
        return values


def surgery(subject: Subject, groups: Tensor) -> RemovalSequence:
    """Optimal Brain Surgeon: always the smallest rise of the quadratic loss."""
    known = _known(subject, subject.curvature("obs"))
    order, _ = elimination_order(known.mean, known.precision, known.local(groups))
    return known.sequence(groups[order])


def reduction(subject: Subject, groups: Tensor) -> RemovalSequence:
    """Bayesian model reduction: always the largest rise of the evidence."""
    precision, prior = subject.laplace("reduction")
    keep = subject.flat(subject.keep)
    strange = groups[groups >= 0][prior[groups[groups >= 0]] == 0]
    if len(strange):
        raise ValueError(
            "by='reduction' needs a Gaussian prior on every weight that may go, got "
            f"{subject.owner} with {len(strange):,} without one: l2 > 0 and biases=False, or "
            "kl_weight > 0"
        )
    known = _known(subject, precision, 0.0)
    order, gains = elimination_order(known.mean, known.precision, known.local(groups), prior[keep])
    return known.sequence(groups[order], gains)


def relevance(subject: Subject, groups: Tensor) -> RemovalSequence:
    """By the collinear directions of the posterior, one weight for each."""
    known = _known(subject, subject.curvature("relevance"))
    free = torch.zeros_like(known.mean, dtype=torch.bool)
    free[known.local(groups).flatten()] = True
    order = relevance_order(known.precision, free)
    return known.sequence(known.places[order][:, None])


@dataclass(frozen=True)
class _Known:
    mean: Tensor
    precision: Tensor
    places: Tensor
    total: int

    def local(self, groups: Tensor) -> Tensor:
        """Groups by the places of the weights that are left."""
        places = torch.full((self.total,), -1, dtype=torch.long, device=self.mean.device)
        places[self.places] = torch.arange(len(self.places), device=self.mean.device)
        return torch.where(groups >= 0, places[groups.clamp_min(0)], -1)

    def sequence(self, groups: Tensor, gains: Tensor | None = None) -> RemovalSequence:
        return RemovalSequence(groups, self.mean, self.precision, self.places, self.total, gains)


def _known(subject: Subject, precision: Tensor, damping: float = _DAMPING) -> _Known:
    """Means and precision of the weights that are not removed yet."""
    keep = subject.flat(subject.keep)
    mean = subject.flat(subject.locs).double()
    matrix = precision[keep][:, keep]
    matrix.diagonal().add_(damping * matrix.diagonal().mean())
    return _Known(mean[keep], matrix, keep.nonzero().flatten(), len(mean))
