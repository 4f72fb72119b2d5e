"""Loading a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from bayesnas.inference.posterior.amortized import AmortizedPosterior
from bayesnas.inference.posterior.kl_weights.kl_weight_list import Posteriors
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.inference.runs.description import RunDescription
from bayesnas.inference.runs.run_folder import Example, read_run
from bayesnas.likelihoods import LikelihoodContract
from bayesnas.models.base import BayesianModel
from bayesnas.nn.hypernetworks.options import Amortize
from bayesnas.nn.rebuilding.module_classes import trusting
from bayesnas.runtime.device import resolve_device
from bayesnas.typed import typed


@typed()
def load(
    path: str | Path,
    *,
    model: BayesianModel | None = None,
    likelihood: LikelihoodContract | None = None,
    amortize: Amortize | None = None,
    device: str | torch.device = "auto",
    trust: Sequence[str | type[nn.Module]] = (),
) -> Posterior | Posteriors | AmortizedPosterior:
    """Load a finished run.

    Args:
        path: folder that ``fit(out=...)`` or ``Posterior.save`` wrote.
        model: an equally built model, for networks that can't be described without pickle.
        likelihood: the same object again, for a likelihood of one's own.
        amortize: the same function again, for a fit that was amortised by one of its own.
        device: where the posterior lies.
        trust: names of Python modules that may be imported for the class of the network, or
            classes themselves. Without it networks are of layers of ``torch.nn``, models of
            torchvision, and of classes that the program has imported or registered
            (``bayesnas.nn.register_module``).

    Raises:
        FileNotFoundError: naming what is missing.
        ValueError: for a truncated file, a run of another format, or a model that needs
            ``model=`` or ``likelihood=``.

    >>> import torch, bayesnas as bn
    >>> data = (torch.zeros(8, 4), torch.arange(8) % 3)
    >>> bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 5, 3])), data, steps=2).save("run")
    >>> bn.load("run")
    Posterior(GaussianNet 4–5–3 on arrays, kl_weight=1)
    """
    where = resolve_device(device)
    with trusting(trust):
        run, records, example = read_run(path, model, amortize, likelihood)
    try:
        return posterior_of(run, records, example, where)
    except RuntimeError as error:
        raise ValueError(f"the run in {path} is of another model: {error}") from error


def posterior_of(
    run: RunDescription, records: Sequence[ChainRecord], example: Example, device: torch.device
) -> Posterior | Posteriors | AmortizedPosterior:
    """Make what a fit returns from what it recorded."""
    cls: type[Posterior | Posteriors | AmortizedPosterior] = Posterior
    if run.settings.amortization is not None:
        cls = AmortizedPosterior
    elif run.settings.kl_weights is not None:
        cls = Posteriors
    return cls.restore(run, records, example, device)
