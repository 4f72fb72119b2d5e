"""Several inputs of a network, as one value with rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from bayesnas import checks
from bayesnas.runtime.device import device_of
from bayesnas.typed import typed

Made = TypeVar("Made")


class Inputs:
    """Several tensors that belong to the same rows: the inputs of a net that takes more than one.

    Those of a tuple reach the net by position, ``net(tokens, lengths)``, those of a dict by name,
    ``net(tokens=..., mask=...)``. Every tensor keeps a type of its own: whole numbers and booleans,
    such as tokens and masks, stay what they are.

    Args:
        tensors: a tuple, or a dict by name, of tensors ``[n, ...]``.

    Raises:
        ValueError: for none, or tensors of different numbers of rows.
        TypeError: for something else than tensors.

    >>> import torch
    >>> x = Inputs({"tokens": torch.zeros(5, 7, dtype=torch.long), "mask": torch.ones(5, 7).bool()})
    >>> len(x), x[1:3]
    (5, Inputs(tokens=[2, 7], mask=[2, 7]))
    """

    def __init__(self, tensors: Sequence[Tensor] | Mapping[str, Tensor]) -> None:
        """Keep the tensors; see the class."""
        self.names: tuple[str, ...] | None = None
        if isinstance(tensors, Mapping):
            self.names = tuple(map(str, tensors))
            tensors = list(tensors.values())
        if not isinstance(tensors, Sequence):
            raise TypeError(f"tensors of x must be a tuple or a dict, got {checks.shown(tensors)}")
        self.leaves: list[Tensor] = list(tensors)
        if not self.leaves:
            raise ValueError("tensors: x must hold one tensor or more, got none")
        for leaf in self.leaves:
            if not isinstance(leaf, Tensor):
                raise TypeError(f"tensors: x must hold tensors, got {type(leaf).__name__}")
        sizes = [len(leaf) if leaf.ndim else None for leaf in self.leaves]
        if None in sizes or len(set(sizes)) > 1:
            raise ValueError(f"the tensors of x must have the same rows, got {self}")

    @property
    def tensors(self) -> tuple[Tensor, ...] | dict[str, Tensor]:
        """The tuple or dict that was given."""
        if self.names is None:
            return tuple(self.leaves)
        return dict(zip(self.names, self.leaves, strict=True))

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.leaves[0].device

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.leaves[0])

    def __getitem__(self, rows: Any) -> Inputs:
        """Some rows of every tensor."""
        return self.map(lambda leaf: leaf[rows])

    def __repr__(self) -> str:
        """Shapes by name or place."""
        shapes = [str(list(leaf.shape)) for leaf in self.leaves]
        if self.names is not None:
            shapes = [f"{n}={shape}" for n, shape in zip(self.names, shapes, strict=True)]
        return f"Inputs({', '.join(shapes)})"

    def items(self) -> list[tuple[str, Tensor]]:
        """The tensors with what messages call them: ``x['mask']``, ``x[0]``."""
        keys = range(len(self.leaves)) if self.names is None else self.names
        return [(f"x[{key!r}]", leaf) for key, leaf in zip(keys, self.leaves, strict=True)]

    def map(self, function: Callable[[Tensor], Tensor]) -> Inputs:
        """What a function makes of every tensor, each ``[n, ...]``.

        Raises:
            TypeError: for what can't be called.
        """
        each = checks.function("function", function)
        return self.like([each(leaf) for leaf in self.leaves])

    def like(self, leaves: Sequence[Tensor]) -> Inputs:
        """Other tensors in the same places."""
        others = Inputs.__new__(Inputs)  # inside a traced step shapes are not to be looked at
        others.names, others.leaves = self.names, list(leaves)
        return others

    @typed()
    def to(self, device: torch.device | str) -> Inputs:
        """All tensors on another device.

        Raises:
            ValueError: for a device that there is none of.
        """
        place = device_of(device)
        return self.map(lambda leaf: leaf.to(place))

    def cpu(self) -> Inputs:
        """All tensors on the CPU."""
        return self.to("cpu")

    def call(self, function: Callable[..., Made]) -> Made:
        """Call a function with the tensors, by place or by name.

        Raises:
            TypeError: for what can't be called.
        """
        if not callable(function):
            checks.function("function", function)
        if self.names is None:
            return function(*self.leaves)
        return function(**dict(zip(self.names, self.leaves, strict=True)))


def by_position(net: Callable[..., Any], x: AnyInputs) -> tuple[Tensor, ...]:
    """The arguments of a net one after the other, as tools that follow a net take them.

    Args:
        net: a module, whose ``forward`` says the order of named inputs.
        x: its inputs.

    Raises:
        ValueError: inputs that have no places, for parameters by keyword alone or after others
            that are left out.
    """
    if not isinstance(x, Inputs) or x.names is None:
        return tuple(leaves_of(x))
    named = dict(zip(x.names, x.leaves, strict=True))
    bound = inspect.signature(getattr(net, "forward", net)).bind(**named)
    if bound.kwargs:
        raise ValueError(f"inputs {list(bound.kwargs)} of the net can't be given by position")
    return bound.args


def call_with(function: Callable[..., Made], x: AnyInputs) -> Made:
    """Call a function, such as a net, with its inputs: one, or several by place or name."""
    return x.call(function) if isinstance(x, Inputs) else function(x)


AnyInputs: TypeAlias = Any
"""Inputs ``[n, ...]`` of rows: one tensor, or :class:`Inputs`.

No union: most models take one tensor and say so, and what carries rows to them serves all.
"""


def is_several(values: object) -> bool:
    """Whether something stands for several inputs: a dict, or a tuple of tensors and arrays."""
    if isinstance(values, (Inputs, dict)):
        return True
    return isinstance(values, tuple) and len(values) > 0 and all(map(_has_rows, values))


def _has_rows(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) > 0


def leaves_of(x: AnyInputs) -> list[Tensor]:
    """The tensors of inputs: one, or several.

    >>> import torch
    >>> len(leaves_of(torch.zeros(2))), len(leaves_of(Inputs((torch.zeros(2), torch.ones(2)))))
    (1, 2)
    """
    return x.leaves if isinstance(x, Inputs) else [x]


def named_inputs(x: AnyInputs) -> list[tuple[str, Tensor]]:
    """The tensors of inputs with what messages call them."""
    return x.items() if isinstance(x, Inputs) else [("x", x)]


def like_inputs(x: AnyInputs, leaves: Sequence[Tensor]) -> AnyInputs:
    """Other tensors in the places of those of ``x``."""
    return x.like(leaves) if isinstance(x, Inputs) else leaves[0]


def map_inputs(function: Callable[[Tensor], Tensor], x: AnyInputs) -> AnyInputs:
    """What a function makes of every tensor of inputs."""
    return like_inputs(x, [function(leaf) for leaf in leaves_of(x)])


def shapes_of(x: AnyInputs) -> str:
    """Shapes of a row in words, for messages.

    >>> import torch
    >>> shapes_of(torch.zeros(5, 3)), shapes_of(Inputs({"a": torch.zeros(5, 3)}))
    ("['n', 3]", "a: ['n', 3]")
    """
    words = [str(["n", *leaf.shape[1:]]) for leaf in leaves_of(x)]
    if isinstance(x, Inputs):
        keys = x.names or tuple(str(place) for place in range(len(words)))
        words = [f"{key}: {word}" for key, word in zip(keys, words, strict=True)]
    return ", ".join(words)
