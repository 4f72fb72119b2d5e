"""Weights times random scales of their groups, neither of which is drawn before a layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from bayesnas.nn.lazy.gaussian_tensor import LAYERS, GaussianTensor
from bayesnas.nn.lazy.lazy_tensor import LazyTensor, all_drawn

Axis = Literal["in", "out"]
"""Which axis of a layer's weight the groups are along: its inputs or its filters."""


class LazyScales(LazyTensor):
    r"""Scales :math:`z_g` of groups that a layer draws anew for every example.

    Args:
        like: a tensor of the shape ``[groups]`` or ``()``, type and device of z.
        factors: independent univariate distributions whose product z is, each of the batch shape
            of ``like`` or of ``()``, which is shared by all groups.
        keep: boolean ``[groups]``, or None; z is 0 where it is false.

    >>> import torch
    >>> from torch.distributions import Normal
    >>> loc = torch.ones(3)
    >>> LazyScales(loc, [Normal(loc, 1e-9 * loc)]).draw_each(2)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """

    factors: list[Distribution]
    keep: Tensor | None

    def __init__(
        self, like: Tensor, factors: Sequence[Distribution], keep: Tensor | None = None
    ) -> None:
        """Keep the distributions; see the class."""
        self.factors = list(factors)
        self.keep = keep

    def _sample(self) -> Tensor:
        return self.draw_each(1)[0]

    def draw_each(self, examples: int) -> Tensor:
        """A draw for each example, ``[examples, groups]`` (or ``[examples]``)."""
        draws = [factor.rsample(torch.Size([examples])) for factor in self.factors]
        z = math.prod((_align(d, self.ndim + 1) for d in draws[1:]), start=draws[0])
        return z if self.keep is None else z * self.keep


class ScaledWeights(LazyTensor):
    r"""Weights :math:`w_{ij} = z_{g} \tilde w_{ij}` of a layer, with Gaussian :math:`\tilde w`.

    A linear or convolution layer that is given them draws z for every example, and its output
    given z: for groups of inputs it is the layer of :math:`x \odot z`, for filters
    :math:`z \odot` the layer of x, bias included (Louizos, Ullrich, Welling 2017, section 3).
    Any other operation draws z and w̃ once.

    Args:
        weight: w̃, lazily sampled.
        scales: z ``[groups]``.
        axis: of ``weight`` along which the groups lie.
        on: whether that axis is the layer's inputs or its filters.
    """

    weight: GaussianTensor
    scales: LazyScales
    axis: int
    on: Axis

    def __init__(self, weight: GaussianTensor, scales: LazyScales, axis: int, on: Axis) -> None:
        """Keep the two factors; see the class."""
        self.weight, self.scales = weight, scales
        self.axis, self.on = axis, on

    def _sample(self) -> Tensor:
        return self.weight.draw() * along_axis(self.scales.draw(), self.axis, self.ndim)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Route layers to the draw for every example, everything else to a single draw."""
        if func not in LAYERS:
            return super().__torch_function__(func, types, args, kwargs)
        kwargs = dict(kwargs or {})
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        return _apply_layer(func, *args, **kwargs)


def scaled(weight: Tensor, scales: Tensor, axis: int, on: Axis) -> Tensor:
    """``weight`` times the scale of each group, lazily sampled as long as both are.

    Args:
        weight: w̃, a plain or a Gaussian tensor.
        scales: z ``[groups]``, plain or lazily sampled.
        axis: of ``weight`` along which the groups lie.
        on: whether that axis is the layer's inputs or its filters.

    >>> import torch
    >>> scaled(torch.ones(2, 3), torch.tensor([0.0, 1.0, 2.0]), axis=1, on="in")
    tensor([[0., 1., 2.],
            [0., 1., 2.]])
    """
    if isinstance(scales, LazyScales):
        if isinstance(weight, GaussianTensor):
            return ScaledWeights(weight, scales, axis, on)
        scales = scales.draw()
    return weight * along_axis(scales, axis, weight.ndim)


def along_axis(values: Tensor, axis: int, ndim: int) -> Tensor:
    """Reshape ``[groups]`` such that it broadcasts along one axis of a tensor of ``ndim`` dims."""
    return values.reshape(*_ones(axis), -1, *_ones(ndim - axis - 1))


def _ones(count: int) -> list[int]:
    return [1] * count


def _align(draws: Tensor, ndim: int) -> Tensor:
    """``[examples]`` or ``[examples, groups]`` as a tensor of ``ndim`` dims."""
    return draws.reshape(*draws.shape, *_ones(ndim - draws.ndim))


def _apply_layer(
    layer: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Draw the layer's output, z and the noise of w̃ independently for every example."""
    if not isinstance(weight, ScaledWeights):  # only the bias is scaled
        return layer(x, weight, all_drawn(bias), *args, **kwargs)
    inner = bias.weight if isinstance(bias, ScaledWeights) else bias
    if weight.on == "in":
        return layer(x * _for_each(weight.scales, x, -1), weight.weight, bias, *args, **kwargs)
    y = layer(x, weight.weight, inner, *args, **kwargs)
    return y * _for_each(weight.scales, y, 1 - weight.ndim)


def _for_each(scales: LazyScales, values: Tensor, channel: int) -> Tensor:
    """A draw of z for every row of ``values``, along its axis ``channel`` < 0."""
    axis = values.ndim + channel
    if axis == 0:  # an example by itself, without a batch axis
        return along_axis(scales.draw_each(1)[0], 0, values.ndim)
    z = scales.draw_each(values.shape[0])
    return z.reshape(len(z), *_ones(axis - 1), -1, *_ones(values.ndim - axis - 1))
