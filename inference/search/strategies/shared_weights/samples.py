"""Labelled examples of a search in a supernet, and batches of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import shown
from bayesnas.inference.search.judges.supernet import check_classes
from bayesnas.nn.graphs.graph import Graph

Pair = Any
"""``(x, y)`` or a part of a data set: inputs ``[n, ...]`` and classes ``[n]``."""


@dataclass(frozen=True)
class Sample:
    """Inputs ``[n, ...]`` and classes ``[n]`` on one device."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, index: Tensor) -> Sample:
        """Some of the examples."""
        index = index.to(self.x.device)
        return Sample(self.x[index], self.y[index])


def _is_whole(y: Tensor) -> bool:
    return not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)


def sample_of(name: str, data: Pair, device: torch.device) -> Sample:
    """The examples of an argument.

    Raises:
        ValueError: naming it, for something else than inputs and whole classes of as many rows, or
            inputs that are not finite.

    >>> len(sample_of("data", (torch.zeros(3, 2), torch.arange(3)), torch.device("cpu")))
    3
    """
    if isinstance(data, tuple) and len(data) == 2:
        x, y = data
    else:
        x, y = getattr(data, "x", None), getattr(data, "y", None)
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise ValueError(f"{name} must be (x, y) or a part of a data set, got {shown(data)}")
    if y.ndim != 1 or len(x) != len(y) or len(y) == 0 or not _is_whole(y):
        raise ValueError(
            f"{name} must have inputs [n, ...] and classes [n], whole numbers, got shapes "
            f"{list(x.shape)} and {list(y.shape)} of {y.dtype}"
        )
    if not bool(x.isfinite().all()):
        raise ValueError(f"{name}.x must be finite, got NaN or infinite values")
    return Sample(x.to(device), y.to(device).long())


def samples_of(
    graph: Graph, data: Pair, validation: Pair, device: torch.device
) -> tuple[Sample, Sample]:
    """The examples of ``data`` and of ``validation``, of inputs and classes that a graph has.

    Raises:
        ValueError: naming the argument, as :func:`sample_of` and for what the graph does not take.
    """
    train, held_out = sample_of("data", data, device), sample_of("validation", validation, device)
    check_classes(graph, train.x, train.y, "data")
    check_classes(graph, held_out.x, held_out.y, "validation")
    return train, held_out


def head_outputs(name: str, head: object, graph: Graph) -> tuple[int, ...]:
    """Shape of what a head makes of the features of an example.

    Raises:
        TypeError: naming it, for what is no module.
        ValueError: likewise, for one that does not take the features of the graph.
    """
    if not isinstance(head, nn.Module):
        raise TypeError(f"{name} must be a module, got {shown(head)}")
    features = graph.shapes[graph.output]
    try:
        with torch.no_grad():
            output = copy.deepcopy(head).eval()(torch.zeros(1, *features))
        return tuple(output.shape[1:])
    except Exception as error:  # whatever a user's module raises
        raise ValueError(
            f"{name} must take features of shape {['n', *features]}, got an error: {error}"
        ) from error


class Batches:
    """Batches without end: each pass over the examples in a new order, the last batch left out.

    Draws from torch's generator.

    Args:
        sample: the examples.
        size: of a batch, cut to the number of examples.

    Attributes:
        left: places of the examples that this pass has not seen, in its order.
    """

    def __init__(self, sample: Sample, size: int) -> None:
        """Start with a new order; see the class."""
        self._sample, self._size = sample, min(size, len(sample))
        self.left = torch.empty(0, dtype=torch.long)

    def next(self) -> Sample:
        """The next batch."""
        if len(self.left) < self._size:
            self.left = torch.randperm(len(self._sample))
        rows, self.left = self.left[: self._size], self.left[self._size :]
        return self._sample.rows(rows)
