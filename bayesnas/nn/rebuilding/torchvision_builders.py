"""Models of torchvision by the function that builds them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_ALLOWED = frozenset({"num_classes"})


def find_builder(net: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """The function of torchvision that builds nets like this one, and its arguments.

    Args:
        net: any module. Of its head only the width is compared.

    Returns:
        name and arguments; None for a net that is not of torchvision, or of none of its builders.
    """
    if not type(net).__module__.startswith("torchvision.models"):
        return None
    from torchvision import models

    arguments = _arguments(net)
    best, least = None, 0
    for name in models.list_models():
        builder = models.get_model_builder(name)
        if builder.__annotations__.get("return") not in (type(net), type(net).__name__):
            continue
        try:
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                twin = builder(weights=None, **arguments)
        except Exception:  # a builder that takes other arguments is not the one
            continue
        mine, its = _shapes(net), _shapes(twin)
        shared = sum(mine.get(key) == shape for key, shape in its.items())
        if type(twin) is type(net) and 2 * shared - len(its) > least:
            best, least = name, 2 * shared - len(its)
        if mine == its:
            return name, arguments
    return None if best is None else (best, arguments)


def build_torchvision(name: object, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a model of torchvision by the name of its builder; no weights are fetched.

    Raises:
        ValueError: for an unknown name, or an argument other than the number of classes.
    """
    from torchvision import models

    if name not in models.list_models():
        raise ValueError(f"a net must be a model of torchvision {_version()}, got {name!r}")
    if unknown := sorted(set(arguments) - _ALLOWED):
        raise ValueError(f"a model of torchvision is built by num_classes alone, got {unknown}")
    net: nn.Module = models.get_model_builder(str(name))(weights=None, **arguments)
    return net


def _arguments(net: nn.Module) -> dict[str, Any]:
    widths = [m.out_features for m in net.modules() if isinstance(m, nn.Linear)]
    return {"num_classes": widths[-1]} if widths else {}


def _shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in net.state_dict().items()}


def _version() -> str:
    return str(getattr(sys.modules.get("torchvision"), "__version__", ""))
