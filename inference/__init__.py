"""How a model is fitted, read and saved."""

from bayesnas.inference.amortized import AmortizedPosterior
from bayesnas.inference.fit import fit
from bayesnas.inference.handlers import kl_weighted
from bayesnas.inference.loading import load
from bayesnas.inference.loop import StepEvent
from bayesnas.inference.nonfinite import NonFiniteLossError
from bayesnas.inference.objective import BoundTerms, bound_terms
from bayesnas.inference.posterior import Posterior

__all__ = [
    "AmortizedPosterior",
    "BoundTerms",
    "NonFiniteLossError",
    "Posterior",
    "StepEvent",
    "bound_terms",
    "fit",
    "kl_weighted",
    "load",
]
