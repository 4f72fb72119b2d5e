"""Named tuples of tensors and lists of tensors, as one list and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from bayesnas.data.inputs import Inputs

Tree = TypeVar("Tree", bound=tuple[Any, ...])
"""A NamedTuple whose fields are tensors, lists of tensors or ``Inputs``."""


def flatten(tree: tuple[Any, ...]) -> list[Tensor]:
    """The tensors of a tree, field by field: torch's order of its leaves.

    >>> from typing import NamedTuple
    >>> class Pair(NamedTuple):
    ...     many: list[torch.Tensor]
    ...     one: torch.Tensor
    >>> flatten(Pair([torch.tensor(1), torch.tensor(2)], torch.tensor(3)))
    [tensor(1), tensor(2), tensor(3)]
    """
    tensors: list[Tensor] = []
    for part in tree:  # torch's own tree_flatten takes ten times as long
        if isinstance(part, list):
            tensors += part
        elif isinstance(part, Inputs):
            tensors += part.leaves
        else:
            tensors.append(part)
    return tensors


def unflatten(like: Tree, tensors: Iterable[Tensor]) -> Tree:
    """A tree of the fields of ``like`` that holds other tensors, as :func:`flatten` orders them.

    Raises:
        StopIteration: for fewer tensors than ``like`` has.
        ValueError: for more.
    """
    remaining = iter(tensors)
    parts: list[Any] = []
    for part in like:
        if isinstance(part, list):
            parts.append([next(remaining) for _ in part])
        elif isinstance(part, Inputs):
            parts.append(part.like([next(remaining) for _ in part.leaves]))
        else:
            parts.append(next(remaining))
    if more := list(remaining):
        raise ValueError(f"tensors must be as many as the tree has, got {len(more)} more")
    return type(like)(*parts)


def mapped(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """The tree of what a function makes of every tensor."""
    return unflatten(tree, [function(tensor) for tensor in flatten(tree)])


def stacked(trees: Iterable[Tree]) -> Tree:
    """One tree of alike ones, with a leading dimension; copies."""
    trees = list(trees)
    same = zip(*(flatten(tree) for tree in trees), strict=True)
    return unflatten(trees[0], [torch.stack(tensors) for tensors in same])
