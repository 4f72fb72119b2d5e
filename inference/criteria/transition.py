"""The criterion of transition between structures, on values of an objective at its optima."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.checks import non_negative, positive, shown, whole_number
from bayesnas.typed import typed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Transition:
    """What the criterion says of some local optima.

    Attributes:
        holds: whether there are optima that are far from each other, and of every such pair the
            worse becomes the better at metaparameters that keep both.
        pairs: a row for every such pair: ``better`` and ``worse`` at λ, their ``divergence`` (the
            smaller of both), and ``at``, the column of the first λ' that turns them; −1 for none.
    """

    holds: bool
    pairs: pd.DataFrame


@typed()
def transition(
    values: npt.ArrayLike,
    divergences: npt.ArrayLike,
    *,
    kept: npt.ArrayLike | None = None,
    least_divergence: float = 1.0,
    start: int = 0,
) -> Transition:
    r"""Whether metaparameters can take an objective from each structure to every other.

    Let h₁, h₂ be local optima of Q at metaparameters λ, whose structures are far from each other:
    KL of the one to the other is more than K both ways; and Q(h₁ | λ) > Q(h₂ | λ). The criterion
    asks for metaparameters λ' with

    1. both optima kept, θ(h₁) and θ(h₂) still what training gives there;
    2. Q(h₁ | λ') < Q(h₂ | λ').

    It is criterion 1 of the source where the divergences are those of q(Γ), and criterion 2 where
    they are those of the priors p(Γ | h).

    Args:
        values: Q at every optimum and metaparameters, ``[optima, metaparameters]``.
        divergences: KL of the structure of each optimum to that of each other, in nats,
            ``[optima, optima]``.
        kept: where the optima are kept, boolean, of the shape of ``values``; by default
            everywhere. See :func:`keeps_optimum`.
        least_divergence: K.
        start: column of λ.

    Raises:
        ValueError: naming the argument, for shapes that don't fit, NaN, or K < 0.

    References:
        Bakhteev, Strijov, *Comprehensive analysis of gradient-based hyperparameter optimization
        algorithms*, 2020.

    >>> order = transition([[1.0, 1.0], [0.0, 2.0]], [[0.0, 5.0], [4.0, 0.0]])
    >>> order.holds, order.pairs.values.tolist()
    (True, [[0.0, 1.0, 4.0, 1.0]])
    """
    import pandas as pd

    objective = _numbers("values", values, 2)
    optima, columns = objective.shape
    apart = _numbers("divergences", divergences, 2)
    if apart.shape != (optima, optima):
        raise ValueError(
            f"divergences must have shape {[optima, optima]}, an entry for each two of the optima, "
            f"got {list(apart.shape)}"
        )
    stays = np.ones_like(objective, dtype=bool) if kept is None else np.asarray(kept)
    if stays.shape != objective.shape or stays.dtype != bool:
        raise ValueError(
            f"kept must be boolean of the shape of values, {list(objective.shape)}, "
            f"got {stays.dtype} {list(stays.shape)}"
        )
    least = non_negative("least_divergence", least_divergence)
    start = whole_number("start", start, 0, columns - 1)
    rows = []
    for first in range(optima):
        for second in range(optima):
            distance = min(apart[first, second], apart[second, first])
            if distance > least and objective[first, start] > objective[second, start]:
                turned = objective[first] < objective[second]
                turns = np.flatnonzero(turned & stays[first] & stays[second])
                rows.append((first, second, distance, turns[0] if len(turns) else -1))
    pairs = pd.DataFrame(rows, columns=["better", "worse", "divergence", "at"])
    return Transition(bool(rows) and bool((pairs["at"] >= 0).all()), pairs)


@typed()
def keeps_optimum(
    loss: Callable[[Tensor, Any], Tensor],
    theta: Tensor,
    metaparameters: Sequence[Any],
    *,
    tolerance: float = 1e-3,
) -> npt.NDArray[np.bool_]:
    r"""Where parameters stay a stationary point of their training objective.

    Args:
        loss: L(θ, λ), a scalar that training minimises or maximises.
        theta: θ*, where it is stationary at some λ.
        metaparameters: each is handed to ``loss``.
        tolerance: largest norm of the gradient in θ that counts as none.

    Returns:
        a boolean for each of the metaparameters.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a tolerance that is not positive.

    >>> def loss(theta, strength):
    ...     return (theta - 1).square().sum() + strength * theta.square().sum()
    >>> keeps_optimum(loss, torch.tensor([1.0]), [0.0, 0.5]).tolist()
    [True, False]
    """
    limit = positive("tolerance", tolerance)
    at_optimum = []
    for metaparameter in metaparameters:
        point = theta.detach().clone().requires_grad_()
        value = loss(point, metaparameter)
        (gradient,) = torch.autograd.grad(value, point, allow_unused=True)
        norm = 0.0 if gradient is None else gradient.norm().item()
        at_optimum.append(norm <= limit)  # of NaN: not
    return np.array(at_optimum, dtype=bool)


def _numbers(name: str, values: npt.ArrayLike, dims: int) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {shown(values)}") from error
    if array.ndim != dims or array.size == 0 or np.isnan(array).any():
        raise ValueError(f"{name} must be numbers with {dims} dimensions, got {shown(values)}")
    return array
