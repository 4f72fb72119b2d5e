"""What is measured of every stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.data import Split
from bayesnas.models import BayesianCompressionNet
from bayesnas.reproductions.bayesian_compression.fits import Fitted

_BATCH = 2000


@dataclass(frozen=True)
class Measured:
    """Figures of one stage.

    Attributes:
        prior, seed: of the fit.
        way, index: which stage.
        architecture: groups that are left in each layer, as in ``784-300-100``.
        kept: share of the weights (biases left out) that are not zero, in per cent.
        error: of the posterior means on the test part, in per cent.
        pruning, fast, maximum: how many times smaller, see
            :func:`bayesnas.pruning.bit_widths.compression`.
        last: whether it is the end of its way.
    """

    prior: str
    seed: int
    way: str
    index: int
    architecture: str
    kept: float
    error: float
    pruning: float
    fast: float
    maximum: float
    last: bool

    def to_dict(self) -> dict[str, Any]:
        """All figures, as JSON values."""
        return asdict(self)


def measured(fitted: Fitted, prior: str, seed: int, test: Split, size: int, last: bool) -> Measured:
    """Measure a stage.

    Args:
        fitted: the stage.
        prior: of the fit.
        seed: of the fit.
        test: part to count the wrong predictions on.
        size: number of weights of the whole net.
        last: whether it is the end of its way.
    """
    model = fitted.posterior.model
    assert isinstance(model, BayesianCompressionNet)
    figures = model.compression()
    larger = size / figures["weights"]  # the net of this stage is a smaller one already
    net = fitted.posterior.compact()
    return Measured(
        prior=prior,
        seed=seed,
        way=fitted.way,
        index=fitted.index,
        architecture=architecture(model),
        kept=100 * figures["weights_kept"] / size,
        error=error(net, fitted.seen(test.x), test.y),
        pruning=larger * figures["pruning"],
        fast=larger * figures["fast_prediction"],
        maximum=larger * figures["maximum"],
        last=last,
    )


def architecture(model: BayesianCompressionNet) -> str:
    """Groups that are left in each layer."""
    return "-".join(str(int(mask.sum())) for mask in model.keep_groups.masks().values())


@torch.no_grad()
def error(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of wrong predictions, in per cent."""
    device = next(net.parameters()).device
    pairs = zip(x.split(_BATCH), y.split(_BATCH), strict=True)
    wrong = [(net(a.to(device)).argmax(1) != b.to(device)).sum() for a, b in pairs]
    return 100 * float(torch.stack(wrong).sum()) / len(x)
