"""Continuous latents of which a guide knows one value alone, as those of ``AutoDelta``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.densities import innermost, is_point_mass
from bayesnas.inference.evaluation.predictive import guide_trace, model_trace, posterior_draws
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

_SEEDS = (0, 1)


def point_masses(model: BayesianModel, x: AnyInputs) -> list[str]:
    """Names of the latent sites where the divergence KL(q ‖ p) is infinite.

    A density p gives no mass to a point; a penalty in the place of one may. Pyro's autoguides end
    in a ``Delta`` as well, but one around a draw: its value differs from run to run.

    Args:
        model: model and guide.
        x: a few inputs ``[n, ...]``.
    """
    runs = [_deltas(model, x, seed) for seed in _SEEDS]
    first, second = runs
    fixed = [name for name in first if name in second and torch.equal(first[name], second[name])]
    if not fixed:
        return []
    draw = next(posterior_draws(model, x, 1, _SEEDS[0]))
    nodes = model_trace(model, x, draw).nodes
    return [name for name in fixed if name in nodes and _has_density(nodes[name]["fn"])]


def _deltas(model: BayesianModel, x: AnyInputs, seed: int) -> dict[str, Tensor]:
    with torch.no_grad(), pyro_session(RandomStream(seed, x.device)):
        trace = guide_trace(model, x)
    return {
        name: site["value"]
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and is_point_mass(site["fn"])
    }


def _has_density(fn: Any) -> bool:
    is_density = getattr(innermost(fn), "is_density", True)
    return is_density and not is_point_mass(fn) and not fn.support.is_discrete
