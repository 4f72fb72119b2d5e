"""Likelihoods by name, as objects, and as a saved run describes them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from bayesnas.checks import choice, shown
from bayesnas.likelihoods.base import Likelihood
from bayesnas.likelihoods.bernoulli import Bernoulli
from bayesnas.likelihoods.categorical import Categorical
from bayesnas.likelihoods.contract import LikelihoodContract, OwnLikelihood
from bayesnas.likelihoods.gaussian import Gaussian
from bayesnas.likelihoods.heteroscedastic import Heteroscedastic
from bayesnas.likelihoods.negative_binomial import NegativeBinomial
from bayesnas.likelihoods.ordinal import Ordinal
from bayesnas.likelihoods.poisson import Poisson
from bayesnas.words import did_you_mean

AnyLikelihood = str | Likelihood | LikelihoodContract
"""A name, or an object that fulfils the contract."""

_KINDS: dict[str, type[Likelihood]] = {
    kind.name: kind
    for kind in (
        Categorical,
        Bernoulli,
        Ordinal,
        Gaussian,
        Heteroscedastic,
        Poisson,
        NegativeBinomial,
    )
}


def available() -> list[str]:
    """Names of the likelihoods.

    >>> available()[0], len(available())
    ('categorical', 7)
    """
    return list(_KINDS)


def make_likelihood(
    likelihood: AnyLikelihood | Mapping[str, Any], noise_scale: float | None = None
) -> Likelihood:
    """Build a likelihood.

    Args:
        likelihood: a name out of :func:`available`; an object of one of their classes, or of one's
            own that fulfils :class:`~bayesnas.likelihoods.LikelihoodContract`, which is copied; or
            what ``config()`` of a likelihood says.
        noise_scale: for ``"gaussian"`` only: standard deviation of the noise, None to learn it.

    Raises:
        ValueError: for an unknown name, or a noise scale where there is no noise.
        TypeError: for an object that does not fulfil the contract.

    >>> make_likelihood("gaussian", noise_scale=0.5).noise_scale
    tensor(0.5000)
    """
    if isinstance(likelihood, Likelihood) and type(likelihood) in _KINDS.values():
        if noise_scale is not None and likelihood.config().get("noise_scale") != noise_scale:
            raise ValueError(f"noise_scale goes with likelihood='gaussian', got {likelihood!r}")
        return copy.deepcopy(likelihood)
    if isinstance(likelihood, Mapping):
        return _described(likelihood)
    if not isinstance(likelihood, str) and hasattr(likelihood, "task"):
        if noise_scale is not None:
            raise ValueError(f"noise_scale goes with likelihood='gaussian', got {likelihood!r}")
        return OwnLikelihood(likelihood)
    return _named(likelihood, noise_scale)


def _named(likelihood: object, noise_scale: float | None) -> Likelihood:
    hint = ", or an object as bayesnas.likelihoods.LikelihoodContract describes it"
    if isinstance(likelihood, str):
        hint = did_you_mean(likelihood, _KINDS)
    choice("likelihood", likelihood, sorted(_KINDS), hint)
    assert isinstance(likelihood, str)
    if likelihood == "gaussian":
        return Gaussian(noise_scale)
    if noise_scale is not None:
        raise ValueError(f"noise_scale goes with likelihood='gaussian', got {likelihood!r}")
    return _KINDS[likelihood]()


def _described(config: Mapping[str, Any]) -> Likelihood:
    """The likelihood that a saved run describes."""
    if "own" in config:
        raise ValueError(
            f"its likelihood {config['own']} is one of your own: give it again, "
            f"bayesnas.load(path, likelihood={config['own']}(...))"
        )
    options = {name: value for name, value in config.items() if name != "name"}
    name = choice("likelihood", config.get("name"), sorted(_KINDS))
    try:
        return _KINDS[name](**options)
    except TypeError as error:
        raise ValueError(f"likelihood must be described by its options, got {shown(config)}") from (
            error
        )
