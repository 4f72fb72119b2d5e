"""What is done with the first batches before a chain takes its first step."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.elbo.bound import bound_terms, check_sites_match
from bayesnas.inference.steps.minibatches import SomeBatches, joined
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import RandomStream


def prepare(model: BayesianModel, batches: SomeBatches, batch_size: int) -> None:
    """Let the model start from the first batch, or from as many as it asks for."""
    count = max(1, -(-model.rows_to_prepare // batch_size))
    x, y = joined(batches, 0, count)
    weights = model.row_weights
    model.prepare(x, y if weights is None else weights.unpack(y)[0])
    model.reset()


def try_out(model: BayesianModel, x: AnyInputs, y: Tensor) -> None:
    """Run the pair once with Pyro's checks on; the chain goes on as if it had not run."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with RandomStream(0, x.device).active(), torch.no_grad():
        if model.elbo is None:
            bound_terms(model, x, y)
        else:
            check_sites_match(model, x, y)
    model.load_state_dict(before)  # running statistics of normalisation layers


def check_batches(model: BayesianModel, batch_size: int, rows: int) -> None:
    """Raise ValueError for batches of a part of the rows where a model must see them all."""
    if model.needs_all_rows and batch_size < rows:
        raise ValueError(
            f"{model.needs_all_rows}, so it can't be fitted to minibatches: set "
            f"batch_size={rows}, got {batch_size}"
        )
