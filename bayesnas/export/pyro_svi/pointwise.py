"""log p(y_i | latents) of every observed value, discrete sites without a guide summed out."""

from __future__ import annotations

from typing import Any

import torch
from pyro import poutine
from pyro.infer import config_enumerate
from torch import Tensor

from bayesnas.export.pyro_svi.program import Program, Sites, Values


def pointwise(program: Program, sites: Sites, drawn: Any, trace: Any) -> Values:
    r"""Log-likelihoods by observed site, neither scaled nor tempered, in nats.

    .. math:: \ln \sum_z p(z_i \mid \theta)\, p(y_i \mid z_i, \theta)

    Args:
        program: model, guide and arguments.
        sites: of it.
        drawn: trace of the guide.
        trace: of the model, replayed with it.

    Returns:
        one value for every row of the plates of a site, values of one event summed.

    Raises:
        ValueError: where rows are masked, or sites that are summed out are shared by rows or by
            several observed sites: then no row has a likelihood of its own.
    """
    for name in sites.observed:
        if trace.nodes[name]["mask"] is not None:
            raise ValueError(
                f"log_likelihood must be of observed rows, got masked ones at site {name!r}: leave "
                "it out with log_likelihood=False"
            )
    if not sites.enumerated:
        return {name: _log_density(trace.nodes[name]) for name in sites.observed}
    _check_separable(sites)
    (name,) = sites.observed
    replayed = poutine.replay(config_enumerate(program.model), trace=drawn)
    enumerated = program.trace(poutine.enum(replayed, first_available_dim=-1 - sites.nesting))
    log_joint = _log_density(enumerated.nodes[name])
    for other in sites.enumerated:
        log_joint = log_joint + _log_density(enumerated.nodes[other])
    rows = log_joint.shape[log_joint.ndim - sites.nesting :]
    shape = trace.nodes[name]["fn"].batch_shape
    return {name: log_joint.reshape(-1, *rows).logsumexp(0).reshape(shape)}


def _log_density(node: Any) -> Tensor:
    log_density: Tensor = node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])
    return log_density.detach()


def _check_separable(sites: Sites) -> None:
    if len(sites.observed) != 1:
        raise ValueError(
            "log_likelihood must be of one observed site where others are summed out, got "
            f"{', '.join(sites.observed) or 'none'}: leave it out with log_likelihood=False"
        )
    rows = sites.plates(sites.observed[0])
    for name in sites.enumerated:
        if sites.plates(name) != rows or not rows:
            raise ValueError(
                f"log_likelihood must have rows of their own, got the site {name!r}, summed out, "
                f"outside the plates of {sites.observed[0]!r}: leave it out with "
                "log_likelihood=False"
            )


def check_shape(name: str, value: Tensor, before: torch.Size) -> None:
    """Raise ValueError where a site changes its shape from draw to draw."""
    if value.shape != before:
        raise ValueError(
            f"site {name!r} must have one shape in all draws, got {list(value.shape)} after "
            f"{list(before)}"
        )
