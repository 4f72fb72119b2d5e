"""Gaussian weights that stay distributions until a layer consumes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bayesnas import checks
from bayesnas.nn.lazy.lazy_tensor import LazyTensor, all_drawn

# x ↦ x·W + b is linear in (W, b), so Gaussian weights give a Gaussian output in closed form.
LAYERS: frozenset[Callable[..., Tensor]] = frozenset(
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

_SMALLEST_VARIANCE = 1e-30  # keeps the gradient of sqrt finite where an input is exactly zero


class GaussianTensor(LazyTensor):
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
        TypeError: naming what is no tensor.

    >>> import torch
    >>> weight = GaussianTensor(torch.ones(3, 2), torch.zeros(3, 2))
    >>> torch.nn.functional.linear(torch.ones(1, 2), weight)
    tensor([[2., 2., 2.]])
    """

    loc: Tensor
    scale: Tensor
    _consumed: bool

    def __new__(cls, loc: Tensor, scale: Tensor) -> GaussianTensor:
        """Make the storage-less wrapper that stands for the draw."""
        if not isinstance(loc, Tensor):  # written out: there are several of these in every step
            checks.tensor("loc", loc)
        wrapper = super().__new__(cls, loc)
        assert isinstance(wrapper, GaussianTensor)
        return wrapper

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        """Keep the two parameters; see the class."""
        if not isinstance(scale, Tensor):
            checks.tensor("scale", scale)
        self.loc = loc
        self.scale = scale
        self._consumed = False

    def _sample(self) -> Tensor:
        return self.loc + self.scale * torch.randn_like(self.loc)

    @property
    def is_inconsistent(self) -> bool:
        """Whether a layer has integrated it out and something else has drawn it."""
        return self._consumed and self._draw is not None

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
        if func in LAYERS:
            if "input" in kwargs:
                args, kwargs = (kwargs["input"], *args), {**kwargs}
                del kwargs["input"]
            return _apply_layer(func, *args, **kwargs)
        if func in (Tensor.mul, torch.mul) and not kwargs:
            return _scaled(*args)
        return super().__torch_function__(func, types, args, kwargs)


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
    x = all_drawn(x)
    if isinstance(weight, GaussianTensor) and weight.is_drawn:  # others have seen its values
        return layer(x, weight.draw(), all_drawn(bias), *args, **kwargs)
    if not isinstance(weight, GaussianTensor):  # only the bias is random
        return layer(x, weight, all_drawn(bias), *args, **kwargs)
    weight.consume()
    bias_loc, bias_variance = bias, None
    if isinstance(bias, GaussianTensor):
        bias_loc, bias_variance = bias.consume().loc, bias.scale.square()
    mean = layer(x, weight.loc, bias_loc, *args, **kwargs)
    variance = layer(x.square(), weight.scale.square(), bias_variance, *args, **kwargs)
    return mean + variance.clamp_min(_SMALLEST_VARIANCE).sqrt() * torch.randn_like(mean)
