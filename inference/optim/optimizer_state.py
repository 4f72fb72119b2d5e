"""State of an optimiser as tensors and JSON values."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.nn.hypernetworks.base import InsertedKnot


def is_plain(value: Any) -> bool:
    """Whether JSON holds a value as it is."""
    return value is None or isinstance(value, (bool, int, float, str))


def optimizer_state(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State of every parameter and settings of every group: tensors, and JSON values."""
    state = optimizer.state_dict()
    groups = [{k: v for k, v in g.items() if k != "params"} for g in state["param_groups"]]
    entries = {f"state/{index}": entry for index, entry in state["state"].items()}
    entries |= {f"group/{index}": group for index, group in enumerate(groups)}
    tensors, values = {}, {}
    for prefix, entry in entries.items():
        for name, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}/{name}"] = value
            elif is_plain(value) or isinstance(value, tuple):
                values[f"{prefix}/{name}"] = value
    return tensors, json.loads(json.dumps(values))


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Give a fresh optimiser what :func:`optimizer_state` read from an equally built one."""
    groups = copy.copy(optimizer.state_dict()["param_groups"])
    state: dict[int, dict[str, Any]] = {}
    for path, value in {**tensors, **values}.items():
        kind, index, name = path.split("/", 2)
        if kind == "state":
            state.setdefault(int(index), {})[name] = value
        elif isinstance(groups[int(index)].get(name), tuple):
            groups[int(index)][name] = tuple(value)
        else:
            groups[int(index)][name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    _restore_types(optimizer, state)


def _restore_types(
    optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Any]]
) -> None:
    """Undo that torch makes every tensor of the state as precise as its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entry in state.items():
        loaded = optimizer.state[parameters[index]]
        for name, value in entry.items():
            if isinstance(value, Tensor) and loaded[name].dtype != value.dtype:
                loaded[name] = value.to(loaded[name].device)


@torch.no_grad()
def interpolate_state(
    optimizer: torch.optim.Optimizer, leaves: Sequence[nn.Parameter], filled: InsertedKnot
) -> None:
    """Give a knot that came in what the optimiser knows of those around it."""
    sources = [optimizer.state.get(leaves[index]) for index in filled.sources]
    states = [state for state in sources if state and _has_moved(state)]
    if len(states) < len(sources):
        return
    entry = optimizer.state[leaves[filled.leaf]]
    for name, value in states[0].items():
        between = value
        if isinstance(value, Tensor) and _is_by_coordinate(value, leaves[filled.leaf]):
            shares = zip(filled.shares, states, strict=True)
            between = torch.stack([share * state[name] for share, state in shares]).sum(0)
        if name in entry and isinstance(between, Tensor):
            entry[name].copy_(between)  # one of those that a step writes in place
        else:
            entry[name] = between.clone() if isinstance(between, Tensor) else between


def _is_by_coordinate(value: Tensor, leaf: Tensor) -> bool:
    """Whether a state has an entry, or several, for every coordinate of a leaf."""
    return value.ndim >= leaf.ndim and value.shape[value.ndim - leaf.ndim :] == leaf.shape


def _has_moved(state: Mapping[str, Any]) -> bool:
    return float(state.get("step", 1)) > 0
