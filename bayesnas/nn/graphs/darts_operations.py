"""Operations on the edges of a cell, as in DARTS (Liu, Simonyan, Yang 2019)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Primitive = Callable[[int, int], nn.Module]


class Zero(nn.Module):
    """The operation "none": zeros of the shape that a stride leaves.

    >>> Zero(2)(torch.ones(1, 3, 7, 7)).shape
    torch.Size([1, 3, 4, 4])
    """

    def __init__(self, stride: int = 1) -> None:
        """Keep the stride; see the class."""
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros ``[n, channels, ⌈height / stride⌉, ⌈width / stride⌉]``."""
        return torch.zeros_like(x if self.stride == 1 else x[..., :: self.stride, :: self.stride])

    def extra_repr(self) -> str:
        """The stride."""
        return f"stride={self.stride}"


class Together(nn.ModuleDict):
    """Several operations on one edge, added up.

    Args:
        operations: by name.

    >>> Together({"one": nn.Identity(), "other": nn.Identity()})(torch.ones(1, 2))
    tensor([[2., 2.]])
    """

    def __init__(self, operations: Mapping[str, nn.Module]) -> None:
        """Hold the operations; see the class."""
        super().__init__(dict(operations))

    def forward(self, x: Tensor) -> Tensor:
        """Σ g(x)."""
        return torch.stack([operation(x) for operation in self.values()]).sum(0)


class FactorizedReduce(nn.Module):
    """Half the image without losing pixels: two 1×1 convolutions of stride 2, one a pixel off.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out, an even number.

    Raises:
        ValueError: for an odd number of outputs.

    >>> reduce = FactorizedReduce(16, 16)
    >>> sum(p.numel() for p in reduce.parameters())  # C²
    256
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Create both convolutions; see the class."""
        super().__init__()
        if out_channels % 2:
            raise ValueError(f"out_channels must be even, got {out_channels}")
        self.in_channels, self.out_channels = in_channels, out_channels
        half = out_channels // 2
        self.even = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Reduce ``[n, in_channels, h, w]`` to ``[n, out_channels, ⌈h/2⌉, ⌈w/2⌉]``."""
        x = x.relu()
        shifted = F.pad(x[..., 1:, 1:], (0, 1, 0, 1))
        reduced: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))
        return reduced


def convolution_1x1(in_channels: int, out_channels: int) -> nn.Sequential:
    """ReLU, 1×1 convolution, normalisation: what brings a cell's input to its width."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels, affine=False),
    )


def separable(kernel: int) -> Primitive:
    """Twice a depthwise and a 1×1 convolution: 2(Ck² + C²) parameters."""

    def make(channels: int, stride: int) -> nn.Module:
        first = _depthwise_separable(channels, kernel, stride, dilation=1)
        return nn.Sequential(*first, *_depthwise_separable(channels, kernel, 1, dilation=1))

    return make


def dilated(kernel: int) -> Primitive:
    """A depthwise convolution of dilation 2 and a 1×1 one: Ck² + C² parameters."""
    return lambda channels, stride: nn.Sequential(
        *_depthwise_separable(channels, kernel, stride, dilation=2)
    )


def _depthwise_separable(
    channels: int, kernel: int, stride: int, dilation: int
) -> tuple[nn.Module, ...]:
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(
        channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
    )
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels, affine=False)


def _max_pool(channels: int, stride: int) -> nn.Module:
    pool = nn.MaxPool2d(3, stride, padding=1)
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


def _avg_pool(channels: int, stride: int) -> nn.Module:
    pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


def _skip(channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)


PRIMITIVES: dict[str, Primitive] = {
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip,
    "sep_conv_3x3": separable(3),
    "sep_conv_5x5": separable(5),
    "dil_conv_3x3": dilated(3),
    "dil_conv_5x5": dilated(5),
    "none": lambda channels, stride: Zero(stride),
}
"""The eight operations of the DARTS space by name, each a function of (channels, stride)."""
