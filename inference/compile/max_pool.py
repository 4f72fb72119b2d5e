"""Max pooling that a compiler leaves to torch's own kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bayesnas.inference.compile.torch_private import schema

_ATEN = torch.ops.aten
_TAGS = (torch.Tag.flexible_layout,)


@torch.library.custom_op("bayesnas::max_pool2d", mutates_args=(), tags=_TAGS)
def max_pool2d(
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
) -> tuple[Tensor, Tensor]:
    """Maxima of windows and where they are, as torch's operator of that name."""
    pooled: tuple[Tensor, Tensor] = _ATEN.max_pool2d_with_indices(
        x, kernel, stride, padding, dilation, ceil_mode
    )
    return pooled


@torch.library.custom_op("bayesnas::max_pool2d_backward", mutates_args=(), tags=_TAGS)
def max_pool2d_backward(
    gradient: Tensor,
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """Gradient of the input, as torch's operator of that name."""
    input_gradient: Tensor = _ATEN.max_pool2d_with_indices_backward(
        gradient, x, kernel, stride, padding, dilation, ceil_mode, indices
    )
    return input_gradient


@max_pool2d.register_fake
def _(x: Tensor, *options: Any) -> Any:
    return _ATEN.max_pool2d_with_indices(x, *options)


@max_pool2d_backward.register_fake
def _(gradient: Tensor, x: Tensor, *options: Any) -> Any:
    return _ATEN.max_pool2d_with_indices_backward(gradient, x, *options)


_OURS: dict[Any, Any] = {
    _ATEN.max_pool2d_with_indices.default: torch.ops.bayesnas.max_pool2d.default,
    _ATEN.max_pool2d_with_indices_backward.default: torch.ops.bayesnas.max_pool2d_backward.default,
}


def keep_pooling(graph: torch.fx.Graph) -> None:
    """Hide the max pooling on a CPU from inductor, whose loops take up to three times as long.

    Args:
        graph: traced; it is changed.
    """
    for node in graph.nodes:
        if node.target in _OURS and node.args[0].meta["val"].device.type == "cpu":
            given = zip(schema(node.target).arguments, node.args, strict=False)
            named = {argument.name: value for argument, value in given} | node.kwargs
            node.args = tuple(
                named.get(argument.name, argument.default_value)
                for argument in schema(node.target).arguments
            )
            node.kwargs, node.target = {}, _OURS[node.target]
