"""What is done with the first batches before a chain takes its first step."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.elbo.bound import bound_terms
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
    if model.elbo is not None:
        return
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with RandomStream(0, x.device).active(), torch.no_grad():
        bound_terms(model, x, y)
    model.load_state_dict(before)  # running statistics of normalisation layers
