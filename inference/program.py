"""Checks of a user's Pyro program: shapes that would broadcast, and rows that are not its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bayesnas.models.base import BayesianModel
from bayesnas.models.row_sites import is_factor


def check_shapes(observed: dict[str, Any], latent: dict[str, Any]) -> None:
    """Raise ValueError where values and laws broadcast to more log-densities than values.

    Args:
        observed: sites of the model, by name.
        latent: likewise, with the guide's draws as values.
    """
    for name, site in observed.items():
        value = site["value"]
        if is_factor(site) or not isinstance(value, Tensor) or value.ndim == 0:
            continue
        _check_shape(f"the observed site {name!r}", "its values", site)
    for name, site in latent.items():
        _check_shape(f"the latent site {name!r}", "the guide's draw", site)


def _check_shape(site_name: str, value_name: str, site: Any) -> None:
    fn, shape = site["fn"], tuple(site["value"].shape)
    law = tuple(fn.batch_shape + fn.event_shape)
    enlarged = len(law) > len(shape) or any(
        a != b and a != 1 for a, b in zip(law[::-1], shape[::-1], strict=False)
    )
    if enlarged:
        raise ValueError(
            f"{site_name} has shape {list(law)} in the model (batch {list(fn.batch_shape)}, "
            f"event {list(fn.event_shape)}), but {value_name} have shape {list(shape)}: they "
            "would be broadcast against each other. Give both one shape"
        )


def check_minibatches(model: BayesianModel, batch: int, examples: int) -> None:
    """Raise ValueError where minibatches would give a site, or a parameter, wrong weight."""
    if batch >= examples:
        return
    guide = type(getattr(model, "guide_fn", model)).__name__
    if model.row_sites.tied:
        raise ValueError(
            f"the guide ({guide}) has a value for every row of a batch in "
            f"{', '.join(model.row_sites.tied)}, which minibatches of {batch} out of {examples} "
            f"rows would share: use batch_size={examples}, or a guide that computes them from x"
        )
    if model.row_sites.unplated:
        raise ValueError(
            f"the latent sites {list(model.row_sites.unplated)} follow the rows but stand in no "
            f"plate, so minibatches can't scale them: put them into pyro.plate('data', len(x)), "
            f"or use batch_size={examples}"
        )
