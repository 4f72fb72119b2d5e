"""Lazily sampled tensors: what uses them may ask for a distribution instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bayesnas.nn.torch_private import make_wrapper, without_torch_function

# What can be asked of a lazy tensor without drawing it.
METADATA: frozenset[Any] = frozenset(
    {
        getattr(Tensor, name).__get__
        for name in ("shape", "dtype", "device", "ndim", "layout", "requires_grad", "is_leaf")
    }
    | {
        getattr(Tensor, name)
        for name in ("size", "dim", "numel", "ndimension", "nelement", "is_floating_point")
    }
    | {Tensor.__len__}
)


class LazyTensor(torch.Tensor):
    """A random tensor of known shape, drawn once, by the first operation that needs its values.

    Code that knows better asks for the distribution behind it and takes an expectation, free
    of noise; any other operation of torch goes on with the draw. The mechanism is torch's
    ``__torch_function__`` protocol. A subclass says how it is drawn (:meth:`_sample`).

    Args:
        like: a tensor of the shape, type and device of the draw.
    """

    _draw: Tensor | None

    @staticmethod
    def __new__(cls: type[LazyTensor], like: Tensor, *_: Any) -> LazyTensor:
        """Make the storage-less wrapper that stands for the draw."""
        wrapper: LazyTensor = make_wrapper(cls, like.shape, dtype=like.dtype, device=like.device)
        wrapper._draw = None
        return wrapper

    def _sample(self) -> Tensor:
        """Draw once; called by :meth:`draw` alone."""
        raise TypeError(f"{type(self).__name__} does not say how it is drawn")

    def draw(self) -> Tensor:
        """Return the draw; the same one every time it is asked."""
        if self._draw is None:
            self._draw = self._sample()
        return self._draw

    @property
    def is_drawn(self) -> bool:
        """Whether something has asked for its values."""
        return self._draw is not None

    def __repr__(  # type: ignore[override]  # torch leaves its own untyped
        self, *, tensor_contents: Any = None
    ) -> str:
        """Show shape and type; the values are not drawn for it."""
        return f"{type(self).__name__}(shape={tuple(self.shape)}, dtype={self.dtype})"

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer what is known of the tensor, and do everything else with its draw."""
        kwargs = kwargs or {}
        if func in METADATA:
            with without_torch_function():
                return func(*args, **kwargs)
        args = tuple(all_drawn(arg) for arg in args)
        return func(*args, **{key: all_drawn(value) for key, value in kwargs.items()})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch types its disabled form
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Refuse to run a kernel on values not sampled yet, which no public function asks for."""
        raise TypeError(f"{func} was called on a {cls.__name__} that has not been drawn")


def drawn(value: Tensor) -> Tensor:
    """Return ``value``, drawn if it is :class:`LazyTensor`.

    >>> import torch
    >>> from bayesnas.nn import GaussianTensor
    >>> drawn(GaussianTensor(torch.ones(2), torch.zeros(2)))
    tensor([1., 1.])
    """
    return value.draw() if isinstance(value, LazyTensor) else value


def all_drawn(value: Any) -> Any:
    """Return an argument of any kind with the lazy tensors in it drawn, lists included."""
    if isinstance(value, (list, tuple)):
        return type(value)(all_drawn(item) for item in value)
    return value.draw() if isinstance(value, LazyTensor) else value
