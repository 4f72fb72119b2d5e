"""State of an optimiser as tensors and JSON values."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


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
