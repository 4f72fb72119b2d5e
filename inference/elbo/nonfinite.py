"""Naming what made a bound NaN or infinite."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn

from bayesnas.inference.elbo.bound import BoundTerms
from bayesnas.inference.elbo.sites import split_sites

_ADVICE = "a smaller lr or clip= may help"


class NonFiniteLossError(ArithmeticError):
    """The bound became NaN or infinite; the message names step, λ and site.

    >>> import torch, bayesnas as bn
    >>> x, y = torch.ones(8, 1), 1e30 * torch.ones(8)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([1, 1]), likelihood="gaussian", noise_scale=0.1)
    >>> try:
    ...     _ = bn.fit(model, (x, y), steps=3, progress=False)
    ... except bn.inference.NonFiniteLossError:
    ...     print("standardise the data")
    standardise the data
    """


def check_terms(terms: BoundTerms, where: str) -> None:
    """Raise NonFiniteLossError, naming a site, where a term is NaN or infinite.

    Args:
        terms: of one step, scalars.
        where: step, chain and λ, for the message.
    """
    for kind, by_site in (("log-likelihood", terms.log_lik), ("KL divergence", terms.kl)):
        for name, value in by_site.items():
            if not torch.isfinite(value):
                raise NonFiniteLossError(
                    f"the {kind} of site {name!r} is {value.item()} {where}; {_ADVICE}"
                )
    raise NonFiniteLossError(f"the loss overflows {where}; {_ADVICE}")


def check_sites(
    model: Callable[..., Any], guide: Callable[..., Any], x: Tensor, y: Tensor, where: str
) -> None:
    """Raise NonFiniteLossError for a bound of an ELBO that shows no terms.

    Model and guide are run once more; the first site whose log density is NaN or infinite is
    named.
    """
    guide_trace = poutine.trace(guide).get_trace(x, y)
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x, y)
    for owner, trace in (("guide", guide_trace), ("model", model_trace)):
        for sites in split_sites(trace):
            for name, site in sites.items():
                value = site["fn"].log_prob(site["value"]).sum()
                if not torch.isfinite(value):
                    raise NonFiniteLossError(
                        f"the log density of site {name!r} in the {owner} is {value.item()} "
                        f"{where}; {_ADVICE}"
                    )
    raise NonFiniteLossError(f"the loss is NaN or infinite {where}; {_ADVICE}")


def check_parameters(parameters: Iterable[tuple[str, nn.Parameter]], where: str) -> None:
    """Raise NonFiniteLossError for a parameter that a step has made NaN or infinite."""
    for name, value in parameters:
        if not bool(torch.isfinite(value).all()):
            raise NonFiniteLossError(
                f"parameter {name!r} became NaN or infinite {where}, by an infinite gradient or "
                f"too large a step; {_ADVICE}"
            )
