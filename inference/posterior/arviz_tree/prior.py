"""Draws of the model alone, without its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from pyro import poutine
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.elbo.messengers import DrawnWeights
from bayesnas.inference.elbo.sites import split_sites
from bayesnas.inference.evaluation.conditionals import new_targets
from bayesnas.inference.evaluation.predictive import PosteriorDraw
from bayesnas.inference.posterior.arviz_tree.recorder import Recorder
from bayesnas.inference.runs.run_folder import Example
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream, derived_seed

_STREAM = 2**20  # apart from those of the posterior


def prior_arrays(
    models: Sequence[BayesianModel], few: AnyInputs, data: Example | None, draws: int, seed: int
) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Draws of the shared latents of every chain's model, and of targets given them.

    The priors of chains differ where they learn parameters of it.

    Args:
        models: fitted ones, in evaluation mode.
        few: inputs that say all of what examples share.
        data: rows for which targets are drawn; None: none are.
        draws: of each model.
        seed: of the draws.

    Returns:
        groups ``prior`` and ``prior_predictive``, of arrays ``[chain, draw, ...]`` by site.
    """
    prior, targets = Recorder(len(models), draws), Recorder(len(models), draws)
    for c, model in enumerate(models):
        stream = RandomStream(derived_seed(seed, _STREAM + c), few.device)
        for d in range(draws):
            values = prior_values(model, few, stream)
            for site, value in values.items():
                prior.put(site, c, d, value)
            if data is not None:
                draw = PosteriorDraw(values, {}, local=False, means=False)
                targets.put(model.target_site, c, d, new_targets(model, *data, draw, stream))
    return {"prior": prior.arrays, "prior_predictive": targets.arrays}


def prior_values(model: BayesianModel, few: AnyInputs, stream: RandomStream) -> dict[str, Tensor]:
    """One draw of the latents that all examples share, but for those that are summed out."""
    with torch.no_grad(), pyro_session(stream), DrawnWeights():
        sites, _ = split_sites(poutine.trace(model.model).get_trace(few, None))
    return {
        name: site["value"]
        for name, site in sites.items()
        if not model.follows_batch(site)
        and name not in model.summed_out
        and name != model.target_site
    }
