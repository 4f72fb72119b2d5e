"""What a family of tasks is."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bayesnas.runtime.random_state import derived_seed


class Drawn(NamedTuple):
    """Some functions to minimise.

    Attributes:
        start: where each begins, ``[tasks, P]``.
        losses: of parameters ``[tasks, P]`` and the index of a step, whose batch may differ, the
            loss of every task ``[tasks]``. A task's loss depends on its own parameters alone; the
            same step gives the same batches and the same noise.
    """

    start: Tensor
    losses: Callable[[Tensor, int], Tensor]


class TaskFamily(abc.ABC):
    """A distribution of functions to minimise, all of P parameters."""

    @abc.abstractmethod
    def draw(self, count: int, seed: int) -> Drawn:
        """Draw functions.

        Args:
            count: how many.
            seed: decides all that is random, in the functions and in their steps.
        """

    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """What the family is, as JSON values, for the record of a training."""


def generator_of(seed: int, index: int) -> torch.Generator:
    """A generator for one of several uses of a seed."""
    return torch.Generator().manual_seed(derived_seed(seed, index))


def generator_of_step(seed: int, step: int) -> torch.Generator:
    """The generator of what is random in a step."""
    return generator_of(seed, step + 1)
