"""Gaussian weights that stay distributions until a layer consumes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# x ↦ x·W + b is linear in (W, b), so Gaussian weights give a Gaussian output in closed form.
_LAYERS: frozenset[Callable[..., Tensor]] = frozenset(
    {
        F.linear,
        F.conv1d,
        F.conv2d,
        F.conv3d,
        F.conv_transpose1d,
        F.conv_transpose2d,
        F.conv_transpose3d,
    }
)

# What can be asked of a weight without drawing it.
_METADATA: frozenset[Any] = frozenset(
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

_SMALLEST_VARIANCE = 1e-30  # keeps the gradient of sqrt finite where an input is exactly zero


class GaussianTensor(torch.Tensor):
    r"""A tensor of independent weights :math:`w \sim N(\mu, \sigma^2)` that is not drawn yet.

    A linear or convolution layer that is given one as its weight (or bias) samples its
    *output*, independently for every example, instead of the weight:
    :math:`y \sim N(x\mu_W + \mu_b,\; x^2\sigma_W^2 + \sigma_b^2)` (local reparameterisation;
    Kingma, Salimans, Welling 2015). For a linear layer this is exact for each example. For a
    convolution the noise is drawn independently at every output location, which ignores that
    locations share their kernel (Molchanov, Ashukha, Vetrov 2017).

    Multiplying by a plain tensor scales the distribution; any other operation draws the
    weight once, ``loc + scale * noise``, and goes on with the draw. Gradients reach ``loc``
    and ``scale`` either way. The mechanism is torch's ``__torch_function__`` protocol: no
    function is replaced.

    Args:
        loc: means, any shape.
        scale: standard deviations, of the same shape.

    Raises:
        RuntimeError: if a second layer consumes it: the two would see different weights.

    >>> import torch
    >>> weight = GaussianTensor(torch.ones(3, 2), torch.zeros(3, 2))
    >>> torch.nn.functional.linear(torch.ones(1, 2), weight)
    tensor([[2., 2., 2.]])
    """

    loc: Tensor
    scale: Tensor
    _draw: Tensor | None
    _consumed: bool

    @staticmethod
    def __new__(cls: type[GaussianTensor], loc: Tensor, scale: Tensor) -> GaussianTensor:
        """Make the storage-less wrapper that stands for the weight."""
        wrapper: GaussianTensor = torch.Tensor._make_wrapper_subclass(
            cls, loc.shape, dtype=loc.dtype, device=loc.device
        )
        return wrapper

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        """Keep the two parameters; see the class."""
        self.loc = loc
        self.scale = scale
        self._draw = None
        self._consumed = False

    def draw(self) -> Tensor:
        """Return ``loc + scale * noise``; the same draw every time it is asked."""
        if self._draw is None:
            self._draw = self.loc + self.scale * torch.randn_like(self.loc)
        return self._draw

    def consume(self) -> GaussianTensor:
        """Mark the weight as used by a layer; a second use is an error."""
        if self._consumed:
            raise RuntimeError(
                f"a Gaussian weight of shape {tuple(self.shape)} is used by two layer calls of "
                "one forward pass. Local reparameterisation would give each call its own draw: "
                "build the model with estimator='weight', or draw the guide afresh for every pass."
            )
        self._consumed = True
        return self

    def __repr__(  # type: ignore[override]  # torch leaves its own untyped
        self, *, tensor_contents: Any = None
    ) -> str:
        """Show shape and type; the values are not drawn for it."""
        return f"GaussianTensor(shape={tuple(self.shape)}, dtype={self.dtype})"

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Route layers to the local reparameterisation, everything else to a draw."""
        kwargs = kwargs or {}
        if func in _METADATA:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func in _LAYERS:
            if "input" in kwargs:
                args, kwargs = (kwargs["input"], *args), {**kwargs}
                del kwargs["input"]
            return _apply_layer(func, *args, **kwargs)
        if func in (Tensor.mul, torch.mul) and not kwargs:
            return _scaled(*args)
        args = tuple(_drawn(arg) for arg in args)
        return func(*args, **{key: _drawn(value) for key, value in kwargs.items()})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch types its disabled form
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Refuse to run a kernel on undrawn weights (nothing reaches this by the public API)."""
        raise TypeError(f"{func} was called on a Gaussian weight that has not been drawn")


def drawn(value: Tensor) -> Tensor:
    """Return ``value``, drawn if it is a :class:`GaussianTensor`.

    >>> import torch
    >>> drawn(GaussianTensor(torch.ones(2), torch.zeros(2)))
    tensor([1., 1.])
    """
    return value.draw() if isinstance(value, GaussianTensor) else value


def _drawn(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_drawn(item) for item in value)
    return value.draw() if isinstance(value, GaussianTensor) else value


def _scaled(left: Any, right: Any) -> Tensor:
    weight, factor = (left, right) if isinstance(left, GaussianTensor) else (right, left)
    if isinstance(factor, GaussianTensor):
        return weight.draw() * factor.draw()
    magnitude = factor.abs() if isinstance(factor, Tensor) else abs(factor)
    return GaussianTensor(weight.loc * factor, weight.scale * magnitude)


def _apply_layer(
    layer: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Sample ``layer(x, weight, bias)`` given x, with weight and bias integrated out."""
    x = _drawn(x)
    if not isinstance(weight, GaussianTensor):  # only the bias is random
        return layer(x, weight, _drawn(bias), *args, **kwargs)
    weight.consume()
    bias_loc, bias_variance = bias, None
    if isinstance(bias, GaussianTensor):
        bias_loc, bias_variance = bias.consume().loc, bias.scale.square()
    mean = layer(x, weight.loc, bias_loc, *args, **kwargs)
    variance = layer(x.square(), weight.scale.square(), bias_variance, *args, **kwargs)
    return mean + variance.clamp_min(_SMALLEST_VARIANCE).sqrt() * torch.randn_like(mean)
