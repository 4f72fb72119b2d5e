"""A judge that trains nothing: architectures with the weights they share in a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.judges.latency import Latency
from bayesnas.inference.search.judges.supernet import Supernet, check_classes
from bayesnas.inference.search.space import network_of
from bayesnas.typed import typed


@typed()
@dataclass(frozen=True)
class SupernetJudge:
    """An architecture is judged with the weights that it shares: nothing is trained.

    Attributes:
        supernet: fitted.
        x: inputs ``[n, ...]``, held out.
        y: classes ``[n]``.
        calibration: inputs of which batch normalisation takes its averages, see
            :meth:`Supernet.measure`; None for ``x``.
        latency: how that of an architecture by itself is measured; None: it is not.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: naming rows that the graph does not take, or classes out of range.

    >>> import torch
    >>> from torch import nn
    >>> from bayesnas.nn import Graph
    >>> layers = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> supernet = Supernet(Graph({("x", "y"): layers}, example=torch.zeros(1, 2)))
    >>> judge = SupernetJudge(supernet, torch.zeros(4, 2), torch.zeros(4).long())
    >>> judge({"x->y": "line"})["parameters"]
    6.0
    """

    supernet: Supernet
    x: Tensor
    y: Tensor
    calibration: Tensor | None = None
    latency: Latency | None = None

    def __post_init__(self) -> None:
        check_classes(self.supernet.graph, self.x, self.y)

    def __call__(self, candidate: Mapping[str, Value]) -> dict[str, float]:
        """``error``, ``nll``, ``parameters``, ``multiply_adds``, and ``latency``, milliseconds."""
        costs = {
            "parameters": float(self.supernet.parameters_of(candidate)),
            "multiply_adds": float(self.supernet.multiply_adds_of(candidate)),
        }
        if self.latency is not None:
            costs["latency"] = self.latency(network_of(self.supernet.graph, candidate), self.x)
        measured = self.supernet.measure(candidate, self.x, self.y, self.calibration)
        return {**measured, **costs}
