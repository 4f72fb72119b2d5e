"""The criteria by name: how each scores weights, and what a threshold of it means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bayesnas.checks import choice
from bayesnas.pruning.criteria.curvature import curvature_diagonal
from bayesnas.pruning.criteria.evidence import evidence_gain
from bayesnas.pruning.criteria.relative_density import log_relative_density
from bayesnas.pruning.criteria.sequences import (
    RemovalSequence,
    reduction,
    relevance,
    surgery,
)
from bayesnas.pruning.criteria.subject import Subject
from bayesnas.words import did_you_mean

Criterion = Literal[
    "density",
    "evidence",
    "reduction",
    "magnitude",
    "obd",
    "fisher",
    "obs",
    "relevance",
    "random",
]
Removal = Literal[Criterion, "group"]
"""Single weights by a criterion, or whole groups by the scales of a model that has them."""
Scores = dict[str, Tensor]
Group = Literal["sum", "norm", "first", "joint"]


@dataclass(frozen=True)
class Rule:
    """One criterion.

    Attributes:
        title: what it says of a weight, in a few words.
        reference: authors and year.
        scores: of every weight, by site, float64; the larger, the earlier it goes; or
        sequence: groups of weights, given as flat places ``[groups, members]``, in the order in
            which they go one after another, those that stay moved.
        limit: the score that a threshold in the criterion's own units stands for; weights at or
            above it go. None where a score is an order alone.
        threshold: that is taken where no amount is given; None where there is none.
        group: the score of a group of weights from those of its members: their ``"sum"``, minus
            their ``"norm"``, or that of the ``"first"``; ``"joint"`` where a sequence removes them
            at once; None where groups have none.
    """

    title: str
    reference: str
    scores: Callable[[Subject], Scores] | None = None
    sequence: Callable[[Subject, Tensor], RemovalSequence] | None = None
    limit: Callable[[float], float] | None = None
    threshold: float | None = None
    group: Group | None = "sum"

    @property
    def moves(self) -> bool:
        """Whether the weights that stay are moved."""
        return self.sequence is not None


def rule_of(by: object) -> Rule:
    """The criterion of a name.

    Raises:
        ValueError: there is none; the message says the nearest.

    >>> rule_of("obd").reference
    'LeCun, Denker, Solla 1990'
    """
    return RULES[choice("by", by, list(RULES), did_you_mean(by, RULES))]


def _density(subject: Subject) -> Scores:
    scales = subject.posterior("density")
    return {site: log_relative_density(loc, scales[site]) for site, loc in subject.locs.items()}


def _evidence(subject: Subject) -> Scores:
    scales, priors = subject.posterior("evidence"), subject.prior("evidence")
    return {s: evidence_gain(loc, scales[s], priors[s]) for s, loc in subject.locs.items()}


def _magnitude(subject: Subject) -> Scores:
    return {site: -loc.detach().double().abs() for site, loc in subject.locs.items()}


def _damage(kind: Literal["ggn", "fisher"], by: str) -> Callable[[Subject], Scores]:
    def scores(subject: Subject) -> Scores:
        loss = subject.sample_loss(by)
        diagonal = curvature_diagonal(loss, list(subject.locs), kind)
        weights = {site: loss.net.get_parameter(site).detach().double() for site in diagonal}
        return {site: -0.5 * h * weights[site].square() for site, h in diagonal.items()}

    return scores


def _random(subject: Subject) -> Scores:
    """A permutation over all sites, drawn in the order of their names."""
    total = sum(loc.numel() for loc in subject.locs.values())
    ranks = torch.randperm(total, generator=torch.Generator().manual_seed(subject.seed)).double()
    names = sorted(subject.locs)
    pieces = ranks.split([subject.locs[name].numel() for name in names])
    drawn = dict(zip(names, pieces, strict=True))
    return {s: drawn[s].reshape(loc.shape).to(loc.device) for s, loc in subject.locs.items()}


def _at_least_zero(what: str) -> Callable[[float], float]:
    def limit(threshold: float) -> float:
        if not threshold >= 0:
            raise ValueError(f"threshold must be a number >= 0 ({what}), got {threshold}")
        return -float(threshold)

    return limit


def _density_limit(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1] (a relative density), got {threshold}")
    return math.log(threshold) if threshold > 0 else -math.inf


def _nats(threshold: float) -> float:
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number (nats), got {threshold}")
    return float(threshold)


_SALIENCY = _at_least_zero("a rise of the loss")

RULES: dict[str, Rule] = {
    "density": Rule(
        "relative density of the posterior at 0, |μ|/σ",
        "Graves 2011",
        scores=_density,
        limit=_density_limit,
    ),
    "evidence": Rule(
        "rise of the evidence without the weight",
        "Friston, Penny 2011; Wright, Igel, Selvan 2024",
        scores=_evidence,
        limit=_nats,
        threshold=0.0,
    ),
    "reduction": Rule(
        "the same by all covariances, one after another, the weights that stay moved",
        "Friston, Penny 2011",
        sequence=reduction,
        limit=_nats,
        threshold=0.0,
        group="joint",
    ),
    "magnitude": Rule(
        "|w|", "Han et al. 2015", _magnitude, limit=_at_least_zero("a |mean|"), group="norm"
    ),
    "obd": Rule(
        "½ h w², h on the diagonal of the Gauss–Newton matrix",
        "LeCun, Denker, Solla 1990",
        scores=_damage("ggn", "obd"),
        limit=_SALIENCY,
    ),
    "fisher": Rule(
        "½ h w², h on the diagonal of the empirical Fisher matrix",
        "Theis et al. 2018",
        scores=_damage("fisher", "fisher"),
        limit=_SALIENCY,
    ),
    "obs": Rule(
        "w²/2[H⁻¹], the weights that stay moved",
        "Hassibi, Stork 1992",
        sequence=surgery,
        group="joint",
    ),
    "relevance": Rule(
        "share in the collinear directions of the posterior, the weights that stay moved",
        "Grabovoy, Bakhteev, Strijov 2019",
        sequence=relevance,
        group=None,
    ),
    "random": Rule("a random order", "", _random, group="first"),
}
"""The criteria by name."""
