"""Discrete changes of a model that a fit tries between its steps, and keeps by the bound."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.steps.minibatches import SomeBatches, joined
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import RandomStream

BATCHES = 4  # of examples that the bound is compared on
_MOMENTS = 10  # a fit has so many, and tries moves from the middle one on
_STEPS_A_MOVE = 50  # so that comparisons cost a small part of the steps


def moves_due(step: int, steps: int) -> int:
    """How many moves a fit tries at most before a step: none but at 50, 60, …, 90 % of all steps.

    The answer follows from ``step`` alone, so a fit that is resumed tries the same ones.

    >>> [step for step in range(800) if moves_due(step, 800)], moves_due(400, 800)
    ([400, 480, 560, 640, 720], 16)
    """
    moment = _MOMENTS * step // steps
    is_first = step > 0 and moment > _MOMENTS * (step - 1) // steps
    return steps // _STEPS_A_MOVE if is_first and 2 * moment >= _MOMENTS else 0


def try_due_moves(
    model: BayesianModel, batches: SomeBatches, settings: FitSettings, step: int
) -> None:
    """Try the moves that are due before a step, where the model has one λ.

    Args:
        model: changed in place.
        batches: of the training sample.
        settings: of the fit.
        step: counted from 0.
    """
    most = moves_due(step, settings.steps)
    if most == 0 or settings.amortization is not None:  # parameters are functions of λ
        return
    x, y = joined(batches, step, BATCHES)
    kl_weight = settings.kl_weight_at(step).target
    try_moves(model, x, y, kl_weight, most=most, size=batches.size, seed=step)


@torch.no_grad()
def try_moves(
    model: BayesianModel,
    x: AnyInputs,
    y: Tensor,
    kl_weight: float,
    *,
    most: int,
    size: int,
    seed: int,
) -> int:
    """Make those of the model's moves that raise the bound at λ, and undo the others.

    Both sides of a comparison see the same examples and the same draws.

    Args:
        model: changed in place.
        x: examples ``[b, ...]``.
        y: their targets ``[b, ...]``.
        kl_weight: λ.
        most: how many moves to try.
        size: of the whole sample, N.
        seed: of the draws; torch's random state is left as it was.

    Returns:
        how many were made.
    """

    def bound() -> float:
        with RandomStream(seed, x.device).active():
            terms = bound_terms(model, x, y, data_scale=size / len(x), differentiable=False)
        return float(terms.bound(kl_weight))

    was_training, made, best = model.training, 0, None
    model.eval()  # running statistics are not to see these examples
    parameters = list(model.parameters())
    for move in islice(model.moves(x), most):
        best = bound() if best is None else best
        before = [parameter.clone() for parameter in parameters]
        move()
        raised = bound()
        if raised > best:
            best, made = raised, made + 1
            continue
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    model.train(was_training)
    return made
