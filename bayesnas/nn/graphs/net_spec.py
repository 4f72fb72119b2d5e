"""A net or a graph as JSON values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.modules.standardised_net import StandardisedNet
from bayesnas.nn.rebuilding.imported_module import build_imported, describe_imported
from bayesnas.nn.rebuilding.module_spec import UndescribableNetError, build, describe


def describe_net(net: nn.Module) -> dict[str, Any]:
    """A JSON description of a net, of a :class:`~bayesnas.nn.Graph` too; without weights.

    Nets of layers of ``torch.nn`` are described layer by layer, others by the import path of
    their class and the arguments of its constructor; see
    :func:`~bayesnas.nn.rebuilding.imported_module.describe_imported`.

    Raises:
        UndescribableNetError: for a net that has none.

    >>> graph = Graph({("x", "y"): nn.Linear(2, 1)}, example=torch.zeros(1, 2))
    >>> build_net(describe_net(graph)).parameter_count
    3
    """
    if type(net) is StandardisedNet:
        return {"type": "StandardisedNet", "net": describe_net(net.net), "units": net.units()}
    if type(net) is Graph:
        return {"type": "Graph", **net.to_dict()}
    try:
        return describe(net)
    except UndescribableNetError:
        return describe_imported(net)


def build_net(spec: Mapping[str, Any]) -> nn.Module:
    """The net that :func:`describe_net` described, freshly initialised.

    The global random state is left as it was.

    Raises:
        ValueError: the description is of another format, or incomplete.
    """
    if spec.get("type") == "import":
        return build_imported(spec)
    if spec.get("type") == "StandardisedNet":
        return _standardised(spec)
    if spec.get("type") != "Graph":
        return build(spec)
    with torch.random.fork_rng(devices=[]):
        return Graph.from_dict(spec)


def _standardised(spec: Mapping[str, Any]) -> StandardisedNet:
    units = spec.get("units")
    if not isinstance(spec.get("net"), Mapping) or not isinstance(units, Mapping):
        raise ValueError("spec of a StandardisedNet must have a net and units")
    try:
        return StandardisedNet(build_net(spec["net"]), **units)
    except TypeError as error:
        raise ValueError(f"spec has no units of a StandardisedNet: {error}") from error
