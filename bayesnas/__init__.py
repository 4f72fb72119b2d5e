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
    from bayesnas import data, distributions, inference, likelihoods, models, nn
    from bayesnas.distributions import LogUniform
    from bayesnas.inference import Bilevel, Posterior, load
    from bayesnas.inference.compression.compress import compress
    from bayesnas.inference.fit import fit

    __version__: str

__all__ = [
    "Bilevel",
    "LogUniform",
    "Posterior",
    "__version__",
    "compress",
    "data",
    "distributions",
    "fit",
    "inference",
    "likelihoods",
    "load",
    "models",
    "nn",
]

_MODULES = ("data", "distributions", "inference", "likelihoods", "models", "nn")
_HOMES = {"LogUniform": "bayesnas.distributions"} | dict.fromkeys(
    ("Bilevel", "Posterior", "compress", "fit", "load"), "bayesnas.inference"
)

if not TYPE_CHECKING:  # with it a type checker would believe any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for (PEP 562)."""
        from importlib import import_module

        if name in _MODULES:
            found = import_module(f"bayesnas.{name}")
        elif name in _HOMES:
            found = getattr(import_module(_HOMES[name]), name)
        elif name == "__version__":
            from importlib.metadata import version

            found = version("bayesnas")
        else:
            raise AttributeError(f"module 'bayesnas' has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """The public names, those that are not imported yet too."""
        return sorted({*globals(), *__all__})
