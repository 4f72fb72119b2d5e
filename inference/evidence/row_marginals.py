"""Log-likelihoods of rows whose own latent variables are integrated out."""

from __future__ import annotations

from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.densities import is_point_mass, log_mean_exp
from bayesnas.inference.elbo.messengers import FixedValues
from bayesnas.inference.elbo.sites import log_density_by_row, split_sites
from bayesnas.inference.evaluation.predictive import PosteriorDraw, guide_trace
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream


def has_row_densities(model: BayesianModel, x: AnyInputs, draw: PosteriorDraw) -> bool:
    """Whether the guide has a density for the latents of every row, given those that rows share.

    It has none where nothing is of a row, where all mass of such a latent is on one value, and
    where discrete sites are summed out.
    """
    if not draw.local or model.summed_out:
        return False
    with torch.no_grad(), pyro_session(RandomStream(0, x.device)):
        sites = latents_of_rows(model, guide_trace(model, x, given=draw.values))
    return not any(is_point_mass(site["fn"]) for site in sites.values())


def marginal_log_lik(
    model: BayesianModel,
    x: AnyInputs,
    y: Tensor,
    draw: PosteriorDraw,
    latent_draws: int,
    stream: RandomStream,
    kl_weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""Log-likelihood of every row given what rows share, its own latents z integrated out.

    .. math:: \ln \frac1K \sum_k \frac{p(y_i \mid z_k, w)\, p(z_k)}{q(z_k \mid x_i, w)},
        \qquad z_k \sim q(z \mid x_i, w)

    In the mean over the K draws it is a lower bound that rises with K to ln p(y_i | w).

    Args:
        model: in evaluation mode.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        draw: of what rows share.
        latent_draws: K.
        stream: of the draws of z.
        kl_weight: λ of the second result.

    Returns:
        ``[n]``, in nats, and the same of the tempered likelihood p(y_i | z, w)^(1/λ).

    References:
        Burda, Grosse, Salakhutdinov, *Importance weighted autoencoders*, 2016.
    """
    parts = []
    size = model.rows_at_once(len(x))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        terms = [_terms(model, x[rows], y[rows], draw, stream) for _ in range(latent_draws)]
        log_lik, log_ratio = (torch.stack(each).double() for each in zip(*terms, strict=True))
        weights = torch.stack([log_lik + log_ratio, log_lik / kl_weight + log_ratio])
        parts.append(log_mean_exp(weights, dim=1))
    plain, tempered = torch.cat(parts, dim=1)
    return plain, tempered


def _terms(
    model: BayesianModel, x: AnyInputs, y: Tensor, draw: PosteriorDraw, stream: RandomStream
) -> tuple[Tensor, Tensor]:
    """Ln p(y_i | z, w) and ln p(z) - ln q(z | x_i) at one draw of z, ``[n]`` each."""
    with torch.no_grad(), pyro_session(stream):
        guided = guide_trace(model, x, given=draw.values)
        program = FixedValues(draw.values)(poutine.replay(model.model, trace=guided))
        trace = poutine.trace(program).get_trace(x, y)
    observed = split_sites(trace)[1]
    of_rows = {name: site for name, site in observed.items() if model.has_rows(site)}
    log_lik = _by_row(model, of_rows, len(x))
    log_prior = _by_row(model, latents_of_rows(model, trace), len(x))
    return log_lik, log_prior - _by_row(model, latents_of_rows(model, guided), len(x))


def latents_of_rows(model: BayesianModel, trace: Any) -> dict[str, Any]:
    """Latent sites of every row, auxiliary ones too."""
    latent = split_sites(trace)[0]
    return {name: site for name, site in latent.items() if model.follows_batch(site)}


def _by_row(model: BayesianModel, sites: dict[str, Any], rows: int) -> Tensor:
    plates = model.row_plates
    terms = [log_density_by_row(name, site, rows, plates)[0] for name, site in sites.items()]
    return torch.stack(terms).sum(0)
