"""What is done with the first batches before a chain takes its first step."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs, Inputs
from bayesnas.inference.elbo.bound import BoundTerms, bound_terms, check_sites_match
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
    """Run the pair once with Pyro's checks on; the chain goes on as if it had not run.

    Raises:
        ValueError: the likelihood of a network has no gradient in any parameter of it, or torch
            would compute it anew in the backward pass, when the network has other weights.
    """
    if model.elbo is None and model.runs_a_network:
        trial = copy.deepcopy(model)
        x = x.map(torch.clone) if isinstance(x, Inputs) else x.clone()  # nets may write into it
        with RandomStream(0, x.device).active():
            _check_gradient(trial, bound_terms(trial, x, y))
        return
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


def _check_gradient(model: BayesianModel, terms: BoundTerms) -> None:
    parameters = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith("likelihood.")
    ]
    log_lik = terms.expected_log_lik()
    try:
        reaches = log_lik.requires_grad and any(
            gradient is not None
            for gradient in torch.autograd.grad(log_lik, parameters, allow_unused=True)
        )
    except RuntimeError as error:
        if "checkpoint" not in str(error).lower():
            raise
        raise ValueError(
            "net must keep what it computes for the backward pass, got one that calls "
            "torch.utils.checkpoint, which would run it again with other weights: turn "
            "(gradient) checkpointing off"
        ) from error
    if not reaches:
        raise ValueError(
            "net must return outputs that its parameters have a gradient in, got none in any: take "
            "detach(), torch.no_grad() and torch.inference_mode() out of its forward"
        )
