"""What is done to each net: groups go first, and the posterior of what is left is coded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from bayesnas.inference.compression.plain_networks.pretraining import Pretraining
from bayesnas.reproductions.bayesian_compression.settings import (
    LENET_5,
    LENET_300_100,
    PRIORS,
    QUICK,
    Recipe,
    Stage,
)
from bayesnas.reproductions.small_nets import published
from bayesnas.reproductions.small_nets.published import Row


@dataclass(frozen=True)
class Coding:
    """How a net that is left is coded.

    Attributes:
        sizes: bytes of its files, each from the same fit.
        kl_weight: λ of the fit before.
        fit_epochs: of that fit.
        epochs: with the KL of each block steered, before the first is coded.
        coding_epochs: from the first block to the last.
        block_bits: of an index.
        rounds: groups of blocks.
        lr: learning rate.
    """

    sizes: tuple[int, ...]
    kl_weight: float
    fit_epochs: int
    epochs: int
    coding_epochs: int
    block_bits: int
    rounds: int
    lr: float


@dataclass(frozen=True)
class SmallNet:
    """One net of the frontier.

    Attributes:
        key: its folder.
        recipe: how it loses groups; its ways are groups alone.
        coding: how what is left is coded.
        published: rows of other methods.
        goals: what was set out to reach: error in per cent by bytes.
        priors: of the scales of groups, each a way of its own.
    """

    key: str
    recipe: Recipe
    coding: Coding
    published: tuple[Row, ...]
    goals: dict[int, float]
    priors: tuple[str, ...] = PRIORS

    def to_dict(self) -> dict[str, Any]:
        """All that decides the numbers, as JSON values."""
        coding = asdict(self.coding) | {"sizes": list(self.coding.sizes)}
        return {**self.recipe.to_dict(), "coding": coding, "priors": list(self.priors)}


WHOLE = (
    SmallNet(
        "lenet-300-100",
        replace(LENET_300_100, groups=LENET_300_100.groups[:3], weights=()),
        Coding((9000,), 1.0, 4, 8, 16, 16, 40, 2e-3),
        published.LENET_300_100,
        {9000: 1.3},
        ("horseshoe",),
    ),
    SmallNet(
        "lenet-5",
        replace(
            LENET_5,
            pretraining=Pretraining(5, 2e-3, (0.0, 0.0, 0.2, 0.3)),
            first=Stage(1.0, 0.1, 1, 5e-3),
            groups=(
                Stage(0.4, 0.05, 1, 5e-3),
                Stage(0.15, 0.05, 1, 5e-3),
                Stage(0.06, 0.05, 2, 5e-3),
            ),
            weights=(),
        ),
        Coding((1600, 3000), 1.0, 3, 5, 11, 16, 40, 2e-3),
        published.LENET_5,
        {1600: 1.0, 3000: 0.75},
        ("horseshoe",),
    ),
)
SMALL = (
    SmallNet(
        "64-40-20-10",
        replace(QUICK, groups=QUICK.groups[:1], weights=()),
        Coding((500, 1000), 1.0, 60, 60, 60, 10, 20, 5e-3),
        (),
        {},
    ),
)
