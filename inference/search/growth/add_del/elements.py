"""What AddDel adds and deletes."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from torch import nn

M = TypeVar("M")


class Change(NamedTuple):
    """A model with one element more or less.

    Attributes:
        element: which one.
        model: the model after it.
    """

    element: int
    model: Any


@runtime_checkable
class Elements(Protocol[M]):
    """Features, neurons or whatever else a model may have more or less of.

    Models are never changed in place: :func:`~bayesnas.inference.search.add_del` goes back to
    earlier ones.

    >>> import bayesnas as bn
    >>> data = bn.data.load("diabetes", standardise=True, validation=0.2)
    >>> elements = bn.inference.search.LinearFeatures(data.train, data.validation)
    >>> elements.size(elements.add(elements.start()).model)
    1
    """

    def start(self) -> M:
        """The model before any element is added."""
        ...

    def add(self, model: M) -> Change | None:
        """One element more, that which lowers the error most; None where there is none left."""
        ...

    def delete(self, model: M) -> Change | None:
        """One element less, the least salient; None where none is left."""
        ...

    def error(self, model: M) -> float:
        """Error on validation data."""
        ...

    def size(self, model: M) -> int:
        """Number of elements."""
        ...

    def module(self, model: M) -> nn.Module:
        """The model as a network."""
        ...

    def config(self) -> dict[str, Any]:
        """What decides the numbers, as JSON values."""
        ...
