"""Likelihoods p(y | f): what turns a network's output into a distribution of the target.

By name in every model, ``likelihood="poisson"``, or as an object of a class here or of one's own.
"""

from bayesnas.likelihoods.base import Likelihood
from bayesnas.likelihoods.bernoulli import Bernoulli
from bayesnas.likelihoods.categorical import Categorical
from bayesnas.likelihoods.contract import LikelihoodContract
from bayesnas.likelihoods.gaussian import Gaussian
from bayesnas.likelihoods.heteroscedastic import Heteroscedastic
from bayesnas.likelihoods.negative_binomial import NegativeBinomial
from bayesnas.likelihoods.ordinal import Ordinal
from bayesnas.likelihoods.poisson import Poisson
from bayesnas.likelihoods.registry import AnyLikelihood, available, make_likelihood

__all__ = [
    "AnyLikelihood",
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "Heteroscedastic",
    "Likelihood",
    "LikelihoodContract",
    "NegativeBinomial",
    "Ordinal",
    "Poisson",
    "available",
    "make_likelihood",
]
