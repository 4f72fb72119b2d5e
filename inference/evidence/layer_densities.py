"""k̂ of the guide of every layer, the other layers held: where a guide misses its target."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bayesnas.inference.elbo.sites import log_density, split_sites
from bayesnas.inference.evaluation.predictive import guide_trace, posterior_draws
from bayesnas.inference.evidence.log_densities import LogDensities, check_no_points, scored, total
from bayesnas.models.base import BayesianModel
from bayesnas.models.site_kinds import is_auxiliary
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream, derived_seed


def layer_pareto_k(
    model: BayesianModel, x: Tensor, y: Tensor, draws: int, kl_weight: float, seed: int
) -> dict[str, float]:
    """k̂ of q(layer) against the target given one draw of all other layers.

    Sites are of one layer where their names agree up to the last point, as those of
    ``layer1.weight`` and ``layer1.bias``. See ``Posterior.pareto_k_by_layer``.
    """
    model.eval()
    few = model.few_rows(x)
    check_no_points(model, few)
    start = next(posterior_draws(model, few, 1, seed))
    layers: dict[str, set[str]] = {}
    for site in start.values:
        layers.setdefault(layer_of(site), set()).add(site)
    k_by_layer = {}
    for index, (layer, sites) in enumerate(layers.items()):
        others = {name: value for name, value in start.values.items() if name not in sites}
        stream = RandomStream(derived_seed(seed, index + 1), x.device)
        rows = []
        for _ in range(draws):
            with torch.no_grad(), pyro_session(stream):
                drawn = split_sites(guide_trace(model, few, given=others))[0]
            of_layer = {n: s for n, s in drawn.items() if n in sites or is_auxiliary(s)}
            values = others | {
                name: site["value"] for name, site in of_layer.items() if name in sites
            }
            log_q = {name: log_density(site) for name, site in of_layer.items()}
            rows.append((*scored(model, x, y, replace(start, values=values)), total(log_q)))
        terms = torch.tensor(rows, dtype=torch.float64).T.numpy()
        k_by_layer[layer] = LogDensities(*terms).pareto_k(kl_weight)
    return k_by_layer


def layer_of(site: str) -> str:
    """Name of the layer of a site.

    >>> layer_of("layer1.weight"), layer_of("gamma")
    ('layer1', 'gamma')
    """
    return site.rpartition(".")[0] or site
