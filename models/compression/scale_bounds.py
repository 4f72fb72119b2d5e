"""Upper bounds of posterior standard deviations, which keep layers from being lost to noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from bayesnas.checks import positive


def bounded(value: Tensor, upper: float) -> Tensor:
    """A smooth minimum of the two, so that it can come back from the bound."""
    return value - F.softplus(value - upper)


def layer_bounds(
    max_scale: float | Mapping[str, float] | None, layers: Sequence[str]
) -> list[float | None]:
    """Upper bound of the posterior scales of every layer."""
    if not isinstance(max_scale, Mapping):
        if max_scale is not None:
            max_scale = positive("max_scale", max_scale)
        return [max_scale] * len(layers)
    unknown = sorted(set(max_scale) - set(layers))
    if unknown:
        raise ValueError(f"max_scale must name layers out of {list(layers)}, got {unknown}")
    bounds = {name: positive("max_scale", bound) for name, bound in max_scale.items()}
    return [bounds.get(name) for name in layers]
