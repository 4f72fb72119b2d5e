"""Bayesian structure selection in Pyro: which parts of a network should exist at all.

Names are imported at their first use: ``import bayesnas`` alone does not load torch.

>>> import bayesnas as bn
>>> data = bn.data.load("digits")
>>> model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]), prior_scale=0.3)
>>> post = bn.fit(model, data.train, kl_weight=1.0, epochs=3, lr=1e-2)
>>> sorted(post.evaluate(data.test))
['accuracy', 'ece', 'elbo', 'elbo_error', 'expected_log_lik', 'kl', 'nll']
"""

from pathlib import Path as _Path
from typing import TYPE_CHECKING

if not _Path(__path__[0], "models").is_dir():
    # Python was started in a checkout, where models/ and inference/ stand beside this folder.
    __path__.append(str(_Path(__path__[0]).parent))

if TYPE_CHECKING:
    from bayesnas import coding, data, distributions, inference, likelihoods, models, nn
    from bayesnas.coding import decode, encode
    from bayesnas.distributions import LogUniform, Uniform
    from bayesnas.inference import (
        Bilevel,
        GeneralisedObjective,
        Posterior,
        compare,
        compress,
        load,
        prune,
        quantise,
    )
    from bayesnas.inference.fit import fit

    __version__: str

__all__ = [
    "Bilevel",
    "GeneralisedObjective",
    "LogUniform",
    "Posterior",
    "Uniform",
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

_MODULES = ("coding", "data", "distributions", "inference", "likelihoods", "models", "nn")
_HOMES = {
    **dict.fromkeys(("LogUniform", "Uniform"), "bayesnas.distributions"),
    **dict.fromkeys(("decode", "encode"), "bayesnas.coding"),
}

if not TYPE_CHECKING:  # with it a type checker would believe any name

    def __getattr__(name: str) -> object:
        """Import a public name, or a module, when it is first asked for (PEP 562)."""
        from importlib import import_module
        from importlib.util import find_spec

        if name == "__version__":
            from importlib.metadata import version

            found = version("bayesnas")
        elif name in __all__ and name not in _MODULES:
            found = getattr(import_module(_HOMES.get(name, "bayesnas.inference")), name)
        elif not name.startswith("_") and find_spec(f"bayesnas.{name}"):
            found = import_module(f"bayesnas.{name}")
        else:
            raise AttributeError(f"module 'bayesnas' has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """The public names, those that are not imported yet too."""
        return sorted({*globals(), *__all__})
