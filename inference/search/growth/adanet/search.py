"""AdaNet: a network grows by subnetworks as long as its objective falls."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bayesnas.checks import (
    flag,
    function,
    non_negative,
    positive,
    seed_number,
    size,
    step_count,
    whole_number,
)
from bayesnas.data import Split
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.search.growth.adanet.candidates import Training, grown
from bayesnas.inference.search.growth.adanet.mixture import Mixture, solve_mixture
from bayesnas.inference.search.growth.record import Grown
from bayesnas.inference.search.growth.rows import check_alike, flat_rows
from bayesnas.nn.grown.subnetwork_sum import SubnetworkSum
from bayesnas.runtime.interrupt import DeferredInterrupt, InterruptedFitWarning
from bayesnas.typed import typed

_MOST = 1_000_000


@dataclass(frozen=True)
class AdaNet(Grown):
    """What :func:`~bayesnas.inference.search.adanet` gives; its ``module`` is a ``SubnetworkSum``.

    ``history`` has one row a candidate: ``round``, ``depth`` (layers of ReLU units), ``objective``,
    ``loss`` and ``penalty``, its two parts, ``subnetworks`` and ``parameters`` of the network with
    it, ``accepted``, and ``validation_loss`` and ``validation_accuracy`` where validation data were
    given; the first row is the network without subnetworks.

    >>> import torch
    >>> from bayesnas.inference.search import adanet
    >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    >>> grown = adanet((x, (x[:, 0] > 0).long()), width=4, epochs=2, most_rounds=1, lr=0.1)
    >>> grown.module(x).shape
    torch.Size([40, 2])
    """

    @property
    def depths(self) -> list[int]:
        """Layers of ReLU units of each subnetwork, in the order in which they came."""
        return [len(each) for each in self._sum.widths]

    @property
    def mixture(self) -> list[float]:
        """Mixture weights of the subnetworks."""
        weights: list[float] = self._sum.mixture.tolist()
        return weights

    @property
    def objective(self) -> float:
        """The objective of the network, nats."""
        return float([step for step in self.steps if step["accepted"]][-1]["objective"])

    @property
    def _sum(self) -> SubnetworkSum:
        assert isinstance(self.module, SubnetworkSum)
        return self.module

    def __repr__(self) -> str:
        """Depths and objective, on one line."""
        return f"AdaNet(depths {self.depths}, objective {self.objective:.4g} nats)"


@typed(unchecked=("data", "validation"))
def adanet(
    data: Data,
    validation: Data | None = None,
    *,
    width: int = 16,
    complexity_weight: float = 3e-3,
    weight_penalty: float = 1e-3,
    complexity: Callable[[int], float] = math.sqrt,
    most_rounds: int = 20,
    least_gain: float = 1e-3,
    epochs: int = 30,
    lr: float = 0.01,
    batch_size: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> AdaNet:
    r"""AdaNet: every round a subnetwork of the depth at hand, and one a layer deeper, may join.

    .. math:: F(w, h) = \frac1n \sum_i -\ln p(y_i \mid f(x_i)) +
        \sum_k (\lambda r_k + \beta) |w_k|, \qquad f = \sum_k w_k h_k

    with p the softmax of f: for two classes the logistic Φ of the margin y f(x) of the paper. A
    candidate h is trained by gradients on the loss of f + h with all that is there held fixed, and
    scaled to outputs of deviation 1 on the training rows, so that the penalty of its weight means
    something. Then the weights of all subnetworks minimise F, which is convex in them, by
    coordinate descent. The candidate of the lower F joins; if none lowers F the search ends.

    Args:
        data: labelled rows.
        validation: labelled rows whose loss and accuracy are noted; nothing depends on them.
        width: ReLU units a layer.
        complexity_weight: λ ≥ 0, nats.
        weight_penalty: β ≥ 0, nats.
        complexity: r as a function of the depth, ≥ 0, not falling: by default its square root; of
            depth 0, a linear function of the inputs, it is 0.
        most_rounds: more are not made.
        least_gain: nats by which F has to fall.
        epochs: passes over the rows that train a candidate.
        lr: learning rate at the start of these, cosine down to 0.
        batch_size: rows a step.
        seed: of the candidates and the order of the rows.
        progress: show a bar over the rounds, where stderr is a terminal.

    Returns:
        the network, and every candidate's objective. After Ctrl-C, with a warning, as it stood.

    Raises:
        ValueError: naming an argument out of range, or data that are not labelled rows.
        TypeError: naming data that are no part of a data set and no pair.

    References:
        Cortes, Gonzalvo, Kuznetsov, Mohri, Yang, *AdaNet: adaptive structural learning of
        artificial neural networks*, ICML 2017.

    >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    >>> grown = adanet((x, (x[:, 0] > 0).long()), width=4, epochs=2, most_rounds=1, lr=0.1)
    >>> grown.history.depth.tolist()
    [-1, 0, 1]
    """
    rows = flat_rows("data", data, "classification")
    held_out = None
    if validation is not None:
        held_out = flat_rows("validation", validation, "classification")
        check_alike(rows, held_out, "validation")
    how = Training(
        whole_number("epochs", epochs, 1, _MOST),
        positive("lr", lr),
        size("batch_size", batch_size),
    )
    weights = (
        non_negative("complexity_weight", complexity_weight),
        non_negative("weight_penalty", weight_penalty),
    )
    rounds = step_count("most_rounds", most_rounds)
    least = non_negative("least_gain", least_gain)
    settings = {
        "width": size("width", width),
        "complexity_weight": weights[0],
        "weight_penalty": weights[1],
        "complexity": getattr(function("complexity", complexity), "__name__", "custom"),
        "most_rounds": rounds,
        "least_gain": least,
        **how.to_dict(),
        "seed": seed_number("seed", seed),
        "data": rows.fingerprint,
    }
    growth = _Growth(rows, held_out, _Penalty(*weights, complexity), settings["width"])
    shown = None if flag("progress", progress) else True
    with (
        DeferredInterrupt() as interrupt,
        tqdm(total=rounds, desc="AdaNet", unit="round", disable=shown) as bar,
    ):
        for number in range(1, rounds + 1):
            if not growth.round(number, how, settings["seed"], least, interrupt.received):
                break
            bar.update()
        stopped = interrupt.received()
    if stopped:
        warnings.warn(
            f"interrupted with {len(growth.net.widths)} subnetworks: this is the network as it "
            "stood",
            InterruptedFitWarning,
            stacklevel=3,
        )
    return AdaNet(growth.net.eval(), growth.steps, settings)


@dataclass(frozen=True)
class _Penalty:
    """Γ = λ r + β of a subnetwork."""

    complexity_weight: float
    weight_penalty: float
    complexity: Callable[[int], float]

    def __call__(self, widths: Sequence[Sequence[int]]) -> Tensor:
        """Of every subnetwork, float64."""
        complexities = [non_negative("complexity", self.complexity(len(each))) for each in widths]
        return self.complexity_weight * torch.tensor(complexities).double() + self.weight_penalty


class _Growth:
    """The network at hand, its objective, and the candidates that there were."""

    def __init__(self, rows: Split, held_out: Split | None, penalty: _Penalty, width: int) -> None:
        assert rows.info.classes is not None
        self._rows, self._held_out, self._penalty, self._width = rows, held_out, penalty, width
        self.net = SubnetworkSum(rows.x.shape[1], rows.info.classes, [])
        self.steps: list[dict[str, Any]] = []
        self._objective = math.log(rows.info.classes)
        empty = Mixture(torch.zeros(0).double(), self._objective)
        self._note(0, -1, self.net, empty)
        self.steps[0]["accepted"] = True

    def round(
        self, number: int, how: Training, seed: int, least: float, stopped: Callable[[], bool]
    ) -> bool:
        """Train two candidates and let the better one join; whether one did."""
        depth = max((len(each) for each in self.net.widths), default=0)
        candidates = []
        for place, layers in enumerate((depth, depth + 1)):
            if stopped():
                return False
            widths = [self._width] * layers
            net = grown(self.net, widths, self._rows, how, (seed, number, place))
            mixture = self._mixed(net)
            candidates.append((mixture.objective, place, net))
            self._note(number, layers, net, mixture)
        objective, place, net = min(candidates, key=lambda each: each[:2])
        if not objective < self._objective - least:
            return False
        self.net, self._objective = net, objective
        self.steps[-len(candidates) + place]["accepted"] = True
        return True

    @torch.no_grad()
    def _mixed(self, net: SubnetworkSum) -> Mixture:
        """Put in the mixture weights of the least objective."""
        start = net.mixture.detach().clone()
        start[-1] = 0
        penalties = self._penalty(net.widths)
        mixture = solve_mixture(net.parts(self._rows.x), self._rows.y, penalties, start)
        net.mixture.copy_(mixture.weights)
        return mixture

    @torch.no_grad()
    def _note(self, number: int, depth: int, net: SubnetworkSum, mixture: Mixture) -> None:
        penalty = float((self._penalty(net.widths) * mixture.weights.abs()).sum())
        step = {
            "round": number,
            "depth": depth,
            "objective": mixture.objective,
            "loss": mixture.objective - penalty,
            "penalty": penalty,
            "subnetworks": len(net.widths),
            "parameters": sum(parameter.numel() for parameter in net.parameters()),
            "accepted": False,
        }
        if self._held_out is not None:
            outputs, y = net(self._held_out.x), self._held_out.y
            step["validation_loss"] = float(nn.functional.cross_entropy(outputs, y))
            step["validation_accuracy"] = float((outputs.argmax(1) == y).double().mean())
        self.steps.append(step)
