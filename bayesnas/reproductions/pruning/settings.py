"""What is pruned, by which criteria, and the settings of the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch.nn.functional as F

import bayesnas as bn
from bayesnas.data import DataSet, Split
from bayesnas.pruning.criteria.registry import Criterion
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.small_data import small_data

Kind = Literal["l2", "l1", "variational"]
IN_ROUNDS = " in rounds"
"""Follows the name of a criterion by which weights are removed in rounds."""


@dataclass(frozen=True)
class Family:
    """One way to train the regression, and the criteria that are compared on it.

    Attributes:
        key: of files and of the table.
        title: in a few words.
        kind: maximum likelihood with a penalty, or a variational posterior.
        criteria: compared with one another; ``"random"`` is the baseline.
        rounds: of these, removed in rounds as well, with training between them.
        small: whether images are averaged over squares, so that whole matrices over all weights
            can be taken.
    """

    key: str
    title: str
    kind: Kind
    criteria: tuple[Criterion, ...]
    small: bool = False
    rounds: tuple[Criterion, ...] = ()

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of all that is compared."""
        return (*self.criteria, *(in_rounds(by) for by in self.rounds))


def in_rounds(by: Criterion) -> str:
    """Name of a criterion by which weights are removed in rounds.

    >>> in_rounds("evidence")
    'evidence in rounds'
    """
    return by + IN_ROUNDS


_OF_A_POINT: tuple[Criterion, ...] = ("magnitude", "obd", "fisher", "random")
_OF_A_POSTERIOR: tuple[Criterion, ...] = ("density", "evidence", "magnitude", "random")
_IN_ROUNDS: tuple[Criterion, ...] = ("evidence", "magnitude")
FAMILIES = (
    Family("l2", "L2", "l2", _OF_A_POINT),
    Family("l1", "L1", "l1", _OF_A_POINT),
    Family("variational", "variational", "variational", _OF_A_POSTERIOR, rounds=_IN_ROUNDS),
    Family(
        "small-l2",
        "L2, small images",
        "l2",
        (*_OF_A_POINT, "obs", "reduction", "relevance"),
        small=True,
    ),
    Family(
        "small-variational",
        "variational, small images",
        "variational",
        (*_OF_A_POSTERIOR, "reduction"),
        small=True,
        rounds=_IN_ROUNDS,
    ),
)
"""The rows of the table."""


@dataclass(frozen=True)
class Settings:
    """What decides the numbers, besides the families.

    Attributes:
        data: name of the data set.
        examples: of the training part.
        curvature_examples: of these, behind Hessians and Fisher matrices.
        starts: of each family.
        epochs: of training.
        retraining_epochs: of training again once weights are removed.
        fractions: shares of the weights removed.
        round_share: of all weights, that one round removes; an epoch of training follows it.
        pooling: sides of the squares over which whole and small images are averaged.
        lr: learning rate at the start, cosine down to 0, throughout.
        batch_size: examples in a batch.
        l1: strength of the L1 penalty, an example.
        l2: of the L2 penalty.
        seed: of the first start.
    """

    data: str
    examples: int
    curvature_examples: int
    starts: int
    epochs: int
    retraining_epochs: int
    fractions: tuple[float, ...]
    pooling: tuple[int, int]
    round_share: float = 0.05
    lr: float = 1e-2
    batch_size: int = 256
    l1: float = 3e-5
    l2: float = 1e-4
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        """All settings and the families, as JSON values."""
        families = {family.key: list(family.rows) for family in FAMILIES}
        return {
            **asdict(self),
            "fractions": list(self.fractions),
            "pooling": list(self.pooling),
            "families": families,
        }

    @property
    def round_shares(self) -> list[float]:
        """Shares that are removed after each round, rising; those of the figures are among them."""
        last = max(self.fractions)
        steps = [step * self.round_share for step in range(1, round(last / self.round_share) + 1)]
        between = {round(step, 6) for step in steps if step < last}
        return sorted(between | set(self.fractions))

    def side(self, family: Family) -> int:
        """Side of the squares over which the images of a family are averaged."""
        return self.pooling[family.small]


def prepare(request: Request) -> tuple[Settings, DataSet]:
    """Settings and data of a request.

    Raises:
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    if not request.quick:
        data = bn.data.load("mnist", root=request.root)
        starts = 5 if request.seeds is None else request.seeds
        fractions = (0.2, 0.5, 0.8, 0.9, 0.95, 0.98)
        return Settings(data.name, len(data.train), 5000, starts, 10, 2, fractions, (1, 2)), data
    data = small_data(request.root)
    starts = 1 if request.seeds is None else request.seeds
    pooling = (2, 4) if data.name == "mnist" else (1, 2)
    return Settings(data.name, len(data.train), 1000, starts, 5, 2, (0.5, 0.9), pooling, 0.1), data


def pooled(split: Split, side: int) -> Split:
    """Images averaged over squares, flat."""
    images = split.x if split.x.ndim > 2 else split.x.unflatten(1, (1, 8, 8))
    return replace(split, x=F.avg_pool2d(images, side).flatten(1))
