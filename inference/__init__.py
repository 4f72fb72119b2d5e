"""How a model is fitted, read and saved."""

from bayesnas.inference.amortized import AmortizedPosterior
from bayesnas.inference.bilevel import Bilevel, hypergradient
from bayesnas.inference.fit import fit
from bayesnas.inference.handlers import kl_weighted
from bayesnas.inference.hypergradients import Greedy, Implicit, Unrolled
from bayesnas.inference.loading import load
from bayesnas.inference.loop import StepEvent
from bayesnas.inference.nonfinite import NonFiniteLossError
from bayesnas.inference.objective import BoundTerms, bound_terms
from bayesnas.inference.posterior import Posterior
from bayesnas.inference.posteriors import Posteriors

__all__ = [
    "AmortizedPosterior",
    "Bilevel",
    "BoundTerms",
    "Greedy",
    "Implicit",
    "NonFiniteLossError",
    "Posterior",
    "Posteriors",
    "StepEvent",
    "Unrolled",
    "bound_terms",
    "fit",
    "hypergradient",
    "kl_weighted",
    "load",
]
