"""Training the network that a search found, by itself."""

from __future__ import annotations

from typing import Any, Literal

from bayesnas.checks import choice
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.training.fit_options import FitArguments
from bayesnas.inference.training.run_fit import FitResult, run_fit
from bayesnas.models.base import BayesianModel
from bayesnas.models.networks.gaussian import GaussianNet

Start = Literal["scratch", "weights"]


def retrained(model: BayesianModel, data: Data, start: Start, options: dict[str, Any]) -> FitResult:
    """Maximise the likelihood of the architecture of a model; see ``Posterior.retrain``."""
    choice("start", start, ("scratch", "weights"))
    if "kl_weight" in options:
        raise ValueError(
            "kl_weight has no place in retraining, which has no KL: fit "
            "GaussianNet(post.architecture()) for a posterior on the weights"
        )
    architecture = model.architecture()
    network = GaussianNet(
        architecture,
        stochastic="none",
        initial_loc="random" if start == "scratch" else "net",
        **model.likelihood_config(),
    )
    return run_fit(network, data, FitArguments(kl_weight=0.0, **options))
