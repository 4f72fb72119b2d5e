"""Steps of an optimiser that stay differentiable by whatever decides them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from bayesnas.inference.bilevel.derivatives import gradient
from bayesnas.inference.bilevel.linear_solvers import Tensors

StepLoss = Callable[[Tensors, int], Tensor]
"""A loss ``[]`` as a function of θ and of the index of the step, whose batch may differ."""

Change = Callable[[Tensors, Any], tuple[Tensors, Any]]
"""From the gradient and a state to what is added to θ, and the next state."""


class Path(NamedTuple):
    """Where some steps lead.

    Attributes:
        theta: θ after them.
        state: that of the optimiser.
        losses: before every step, each ``[]``.
    """

    theta: list[Tensor]
    state: Any
    losses: list[Tensor]


def unroll(
    loss: StepLoss,
    theta: Tensors,
    change: Change,
    state: Any,
    steps: int,
    *,
    second_derivatives: bool = True,
) -> Path:
    r"""Take steps :math:`\theta_{t+1} = \theta_t + g_t`, :math:`(g_t, s_{t+1}) = m(\nabla_t, s_t)`.

    Everything on the path can be differentiated by what ``loss`` and ``change`` depend on.

    Args:
        loss: of θ at a step.
        theta: at the start, tensors that require a gradient.
        change: m.
        state: s at the start.
        steps: how many.
        second_derivatives: whether :math:`\nabla_t` is differentiated too; else it is taken as
            constant, which needs no derivative of a derivative of the loss.

    References:
        Maclaurin, Duvenaud, Adams, *Gradient-based hyperparameter optimization through reversible
        learning*, 2015; Andrychowicz et al., *Learning to learn by gradient descent by gradient
        descent*, 2016.

    >>> import torch
    >>> rate = torch.tensor(0.1, requires_grad=True)
    >>> path = unroll(
    ...     lambda theta, step: theta[0].square() / 2,
    ...     [torch.tensor(1.0, requires_grad=True)],
    ...     lambda slopes, state: ([-rate * slopes[0]], state),
    ...     None,
    ...     steps=2,
    ... )
    >>> torch.autograd.grad(path.theta[0], rate)  # of (1 - rate)^2
    (tensor(-1.8000),)
    """
    moving, losses = list(theta), list[Tensor]()
    for step in range(steps):
        losses.append(loss(moving, step))
        slopes = gradient(losses[-1], moving, again=second_derivatives, keep=True)
        changes, state = change(slopes, state)
        moving = [value + moved for value, moved in zip(moving, changes, strict=True)]
    return Path(moving, state, losses)
