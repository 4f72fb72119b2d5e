"""log p(y_i | what rows share): the latent sites of a row itself integrated out."""

from __future__ import annotations

from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from bayesnas.densities import is_point_mass, log_mean_exp
from bayesnas.export.pyro_svi.program import Program, Sites, Values


def marginal(program: Program, sites: Sites, drawn: Any, count: int) -> Values:
    r"""Log-likelihoods of rows by importance sampling of their latents z, in nats.

    .. math:: \ln \frac1K \sum_k \frac{p(y_i \mid z_k, w)\, p(z_k \mid w)}{q(z_k \mid y_i, w)},
        \qquad z_k \sim q(z \mid y_i, w)

    In the mean over the K draws it is a lower bound that rises with K to ln p(y_i | w) (Burda,
    Grosse, Salakhutdinov 2016).

    Args:
        program: model, guide and arguments.
        sites: of it.
        drawn: trace of the guide, of which the sites that rows share are kept.
        count: K.

    Returns:
        one value for every row of the plates of the one observed site.

    Raises:
        ValueError: rows have several observed sites, or the guide no density for the latents of
            every row.
    """
    rows, local = sites.rows(), sites.local()
    if len(sites.observed) != 1 or sites.enumerated:
        raise _refusal(f"got the observed sites {', '.join(sites.observed)}")
    shared = {name: drawn.nodes[name]["value"] for name in sites.latent if name not in local}
    weights = []
    for _ in range(count):
        guided = program.trace(poutine.condition(program.guide, data=shared))
        kept = {name: node for name, node in guided.nodes.items() if _is_of(node, rows)}
        _check_density(local, kept)
        replayed = poutine.replay(poutine.condition(program.model, data=shared), trace=guided)
        trace = program.trace(replayed)
        modelled = [_of_rows(trace.nodes[name], rows) for name in (*local, *sites.observed)]
        proposed = [_of_rows(node, rows) for node in kept.values()]
        weights.append(torch.stack(modelled).sum(0) - torch.stack(proposed).sum(0))
    (name,) = sites.observed
    return {name: log_mean_exp(torch.stack(weights))}


def _is_of(node: Any, rows: set[str]) -> bool:
    """Whether a site of the guide is latent and stands in the plates of rows."""
    if node["type"] != "sample" or node["is_observed"]:
        return False
    return bool(rows & {frame.name for frame in node["cond_indep_stack"] if frame.vectorized})


def _check_density(local: list[str], guided: dict[str, Any]) -> None:
    for name in local:
        node = guided[name]
        alone = not any(other.startswith(f"{name}_") for other in guided if other != name)
        if alone and is_point_mass(node["fn"]):
            raise _refusal(f"got the site {name!r}, of which the guide has no density by row")


def _of_rows(node: Any, rows: set[str]) -> Tensor:
    """Log density of a site, summed over all plates but those of rows; unscaled."""
    log_prob: Tensor = node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])
    frames = [frame for frame in node["cond_indep_stack"] if frame.vectorized]
    others = [frame.dim for frame in frames if frame.name not in rows]
    return (log_prob.sum(others, keepdim=True) if others else log_prob).detach()


def _refusal(why: str) -> ValueError:
    return ValueError(
        "log_likelihood must be of rows whose own latent sites can be integrated out, "
        f"{why}: leave it out with log_likelihood=False, or have it given these latents with "
        "num_latent_samples=0"
    )
