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
    from bayesnas.export.pyro_svi import from_pyro_svi
    from bayesnas.inference import (
        Bilevel,
        Distributed,
        GeneralisedObjective,
        Posterior,
        code,
        compare,
        compress,
        load,
        lottery_tickets,
        prune,
        quantise,
        vsbc,
    )
    from bayesnas.inference.fit import fit
    from bayesnas.inference.search import search

    __version__: str

__all__ = [
    "Bilevel",
    "Distributed",
    "GeneralisedObjective",
    "LogUniform",
    "Posterior",
    "Uniform",
    "__version__",
    "code",
    "coding",
    "compare",
    "compress",
    "data",
    "decode",
    "distributions",
    "encode",
    "fit",
    "from_pyro_svi",
    "inference",
    "likelihoods",
    "load",
    "lottery_tickets",
    "models",
    "nn",
    "prune",
    "quantise",
    "search",
    "vsbc",
]

_MODULES = ("coding", "data", "distributions", "inference", "likelihoods", "models", "nn")
_HOMES = {
    "from_pyro_svi": "bayesnas.export.pyro_svi",
    **dict.fromkeys(("LogUniform", "Uniform"), "bayesnas.distributions"),
    **dict.fromkeys(("decode", "encode"), "bayesnas.coding"),
    "search": "bayesnas.inference.search",
}

if not TYPE_CHECKING:  # with it a type checker would believe any name

    def __getattr__(name: str) -> object:
        """Import a public name, or a module, when it is first asked for (PEP 562)."""
        from importlib import import_module
        from importlib.util import find_spec

        if name == "__version__":
            from importlib.metadata import version

            value = version("bayesnas")
        elif name in __all__ and name not in _MODULES:
            value = getattr(import_module(_HOMES.get(name, "bayesnas.inference")), name)
        elif not name.startswith("_") and find_spec(f"bayesnas.{name}"):
            value = import_module(f"bayesnas.{name}")
        else:
            raise AttributeError(f"module 'bayesnas' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """The public names, those that are not imported yet too."""
        return sorted({*globals(), *__all__})
