"""Random quadratic functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bayesnas.checks import size
from bayesnas.inference.learned.tasks.base import Drawn, TaskFamily, generator_of
from bayesnas.typed import typed


class Quadratics(TaskFamily):
    r"""Functions :math:`f(\theta) = \|W\theta - y\|^2`, W and y of standard normal numbers.

    They start at standard normal numbers too.

    Args:
        dim: P, W is ``[P, P]``.
        dtype: of all numbers.

    References:
        Andrychowicz et al., *Learning to learn by gradient descent by gradient descent*, 2016, 3.1.

    >>> start, losses = Quadratics(10).draw(3, seed=0)
    >>> start.shape, losses(start, 0).shape
    (torch.Size([3, 10]), torch.Size([3]))
    """

    @typed()
    def __init__(self, dim: int = 10, dtype: torch.dtype = torch.float32) -> None:
        """Keep the size; see the class."""
        if not dtype.is_floating_point:
            raise ValueError(f"dtype must be of real floating-point numbers, got {dtype}")
        self.dim, self.dtype = size("dim", dim), dtype

    def draw(self, count: int, seed: int) -> Drawn:
        """Draw W, y and the start of every function."""
        generator = generator_of(seed, 0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=generator, dtype=self.dtype)

        weight, target, start = normal(self.dim, self.dim), normal(self.dim), normal(self.dim)

        def losses(theta: Tensor, step: int) -> Tensor:
            return (torch.einsum("tij,tj->ti", weight, theta) - target).square().sum(1)

        return Drawn(start, losses)

    def config(self) -> dict[str, Any]:
        """Name and size."""
        return {"tasks": "quadratics", "dim": self.dim}
