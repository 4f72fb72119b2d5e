"""The prior scales of a network's layers, from what was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from bayesnas.checks import choice, positive

PriorScale = float | str | Sequence[float] | Mapping[str, float]


def layer_scales(prior_scale: PriorScale, layers: Sequence[str]) -> list[float]:
    """Prior scale of every layer; raises where the argument doesn't say one for each."""
    scales: list[float]
    if isinstance(prior_scale, str):
        choice("prior_scale", prior_scale, ("learned", "ard"))
        scales = [1.0] * len(layers)
    elif isinstance(prior_scale, Mapping):
        if set(prior_scale) != set(layers):
            raise ValueError(
                f"prior_scale must name every stochastic layer {list(layers)}, "
                f"got {sorted(prior_scale)}"
            )
        scales = [prior_scale[name] for name in layers]
    elif isinstance(prior_scale, (list, tuple)):
        if len(prior_scale) != len(layers):
            raise ValueError(
                f"prior_scale must have one value for each of the {len(layers)} stochastic "
                f"layers {list(layers)}, got {len(prior_scale)}"
            )
        scales = list(prior_scale)
    else:
        scales = [cast(float, prior_scale)] * len(layers)
    return [positive("prior_scale", scale) for scale in scales]
