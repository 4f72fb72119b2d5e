"""Solvers of H v = b that need only products with H."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Tensors = Sequence[Tensor]


_RESOLVED = 1e-10  # relative residual at which conjugate gradients rest


def conjugate_gradients(
    product: Callable[[Tensors], list[Tensor]], target: Tensors, steps: int
) -> list[Tensor]:
    """Solve A q = b for a positive definite A by conjugate gradients (Hestenes, Stiefel 1952).

    From q = 0, and resting once the residual is 1e-10 of b or a direction has no positive
    curvature, as masks rather than branches.

    Args:
        product: A times a vector, each a sequence of tensors.
        target: b.
        steps: products with A.
    """
    solution = [torch.zeros_like(value) for value in target]
    residual = direction = [value.clone() for value in target]
    squared = dot(residual, residual)
    least = _RESOLVED**2 * squared
    going = squared > least
    for _ in range(steps):
        curved = product(direction)
        curvature = dot(direction, curved)
        going = going & (curvature > 0)
        step = torch.where(going, squared / curvature, 0.0)
        solution = _plus(solution, step, direction)
        residual = _plus(residual, -step, curved)
        before, squared = squared, dot(residual, residual)
        going = going & (squared > least)
        direction = _plus(residual, torch.where(going, squared / before, 0.0), direction)
    return solution


def neumann_series(
    product: Callable[[Tensors], list[Tensor]],
    target: Tensors,
    steps: int,
    lr: float | Tensor,
) -> list[Tensor]:
    """A⁻¹ b ≈ η Σ_{j ≤ J} (I − ηA)ʲ b, J products with A.

    Args:
        product: A times a vector, each a sequence of tensors.
        target: b.
        steps: J.
        lr: η, below 2 over the largest eigenvalue of A.
    """
    term = total = [value.clone() for value in target]
    for _ in range(steps):
        term = _plus(term, -lr, product(term))
        total = _plus(total, 1.0, term)
    return [lr * value for value in total]


def dot(first: Tensors, second: Tensors) -> Tensor:
    """Inner product, ``[]``, in double precision."""
    return torch.stack([(a * b).sum().double() for a, b in zip(first, second, strict=True)]).sum()


def _plus(first: Tensors, factor: float | Tensor, second: Tensors) -> list[Tensor]:
    """Return first + factor · second, in the types of ``first``."""
    return [a + (factor * b).to(a.dtype) for a, b in zip(first, second, strict=True)]
