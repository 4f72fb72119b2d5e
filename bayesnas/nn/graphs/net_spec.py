"""A net or a graph as JSON values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.modules.module_spec import build, describe


def describe_net(net: nn.Module) -> dict[str, Any]:
    """A JSON description of a net, of a :class:`~bayesnas.nn.Graph` too; without weights.

    Raises:
        UndescribableNetError: for a net that has none.

    >>> graph = Graph({("x", "y"): nn.Linear(2, 1)}, example=torch.zeros(1, 2))
    >>> build_net(describe_net(graph)).parameter_count
    3
    """
    return {"type": "Graph", **net.to_dict()} if type(net) is Graph else describe(net)


def build_net(spec: Mapping[str, Any]) -> nn.Module:
    """The net that :func:`describe_net` described, freshly initialised.

    The global random state is left as it was.

    Raises:
        ValueError: the description is of another format, or incomplete.
    """
    if spec.get("type") != "Graph":
        return build(spec)
    with torch.random.fork_rng(devices=[]):
        return Graph.from_dict(spec)
