"""Bayesian structure selection in Pyro: which parts of a network should exist at all.

>>> import bayesnas as bn
>>> data = bn.data.load("digits")
>>> model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]), prior_scale=0.3)
>>> post = bn.fit(model, data.train, kl_weight=1.0, epochs=3, lr=1e-2)
>>> sorted(post.evaluate(data.test))
['accuracy', 'ece', 'elbo', 'elbo_error', 'expected_log_lik', 'kl', 'nll']
"""

from importlib.metadata import version as _version
from pathlib import Path as _Path

if not _Path(__path__[0], "models").is_dir():
    # Python was started in a checkout, where models/ and inference/ stand beside this folder.
    __path__.append(str(_Path(__path__[0]).parent))

from bayesnas import coding, data, distributions, inference, likelihoods, models, nn
from bayesnas.coding import decode, encode
from bayesnas.distributions import LogUniform
from bayesnas.inference import (
    Bilevel,
    GeneralisedObjective,
    Posterior,
    compare,
    compress,
    fit,
    load,
    prune,
    quantise,
)

__version__ = _version("bayesnas")

__all__ = [
    "Bilevel",
    "GeneralisedObjective",
    "LogUniform",
    "Posterior",
    "__version__",
    "coding",
    "compare",
    "compress",
    "data",
    "decode",
    "distributions",
    "encode",
    "fit",
    "inference",
    "likelihoods",
    "load",
    "models",
    "nn",
    "prune",
    "quantise",
]
