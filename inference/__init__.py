"""How a model is fitted, read and saved."""

from bayesnas.inference.fit import StepEvent, fit
from bayesnas.inference.handlers import kl_weighted
from bayesnas.inference.objective import BoundTerms, bound_terms
from bayesnas.inference.posterior import Posterior, load
from bayesnas.inference.training import NonFiniteLossError

__all__ = [
    "BoundTerms",
    "NonFiniteLossError",
    "Posterior",
    "StepEvent",
    "bound_terms",
    "fit",
    "kl_weighted",
    "load",
]
