"""Loading a finished run."""

from __future__ import annotations

from pathlib import Path

import torch

from bayesnas.inference.posterior import Posterior
from bayesnas.inference.runs import read_run
from bayesnas.inference.session import resolve_device
from bayesnas.models.base import BayesianModel


def load(
    path: str | Path, *, model: BayesianModel | None = None, device: str | torch.device = "auto"
) -> Posterior:
    """Load a finished run.

    Args:
        path: folder that ``fit(out=...)`` or ``Posterior.save`` wrote.
        model: an equally built model, for networks that can't be described without pickle.
        device: where the posterior lies.

    Raises:
        FileNotFoundError: naming what is missing.
        ValueError: for a truncated file, a run of another format, or a model that needs
            ``model=``.

    >>> import torch, bayesnas as bn
    >>> data = (torch.zeros(8, 4), torch.arange(8) % 3)
    >>> bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 5, 3])), data, steps=2).save("run")
    >>> bn.load("run")
    Posterior(GaussianNet 4–5–3 on arrays, kl_weight=1)
    """
    where = resolve_device(device)
    run, records, example = read_run(path, model)
    try:
        return Posterior.restore(run, records, example, where)
    except RuntimeError as error:
        raise ValueError(f"the run in {path} is of another model: {error}") from error
