"""A network between the units of the data: it standardises its inputs by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.typed import typed


class StandardisedNet(nn.Module):
    r"""A network fitted to standardised data that takes and gives numbers in their own units.

    .. math:: f(x) = s \cdot \mathrm{net}((x - m) / d) + t

    with one m and d for each index of dimension 1 of x, and one s and t for each output. What
    comes out has the type of the network's parameters.

    Args:
        net: takes standardised inputs.
        x_mean: m, the means of the inputs.
        x_scale: d, their scales.
        factor: s, by which outputs are multiplied; None: they stay as they are.
        shift: t, what is added to them then.

    Raises:
        TypeError, ValueError: naming the argument, for what is no sequence of numbers, two that
            differ in length, or one of ``factor`` and ``shift`` without the other.

    >>> net = StandardisedNet(nn.Identity(), [10.0], [2.0], [3.0], [1.0])
    >>> net(torch.tensor([[10.0], [12.0]]))
    tensor([[1.],
            [4.]])
    """

    @typed()
    def __init__(
        self,
        net: nn.Module,
        x_mean: Sequence[float],
        x_scale: Sequence[float],
        factor: Sequence[float] | None = None,
        shift: Sequence[float] | None = None,
    ) -> None:
        """Keep the numbers in double precision; see the class."""
        super().__init__()
        self.net = net
        values = {"x_mean": x_mean, "x_scale": x_scale, "factor": factor, "shift": shift}
        for one, other in (("x_mean", "x_scale"), ("factor", "shift")):
            lengths = [None if v is None else len(v) for v in (values[one], values[other])]
            if lengths[0] != lengths[1]:
                raise ValueError(f"{one} and {other} must have as many numbers, got {lengths}")
        device = next((p.device for p in net.parameters()), None)
        for name, value in values.items():
            tensor = None if value is None else torch.tensor(value, dtype=torch.float64)
            self.register_buffer(
                name, tensor if device is None or tensor is None else tensor.to(device)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs in units of the data, of inputs ``[n, ...]`` in units of the data."""
        dtype = next((p.dtype for p in self.net.parameters()), torch.get_default_dtype())
        mean, scale = (
            _channelwise(self.get_buffer(name), x.ndim) for name in ("x_mean", "x_scale")
        )
        output: Tensor = self.net(((x - mean) / scale).to(dtype))
        if self.factor is None:
            return output
        factor, shift = (
            _channelwise(self.get_buffer(name), output.ndim) for name in ("factor", "shift")
        )
        return (output * factor + shift).to(output.dtype)

    def units(self) -> dict[str, Any]:
        """Arguments of the constructor beside the network, as JSON values."""
        return {name: value.tolist() for name, value in self.named_buffers(recurse=False)}


def _channelwise(values: Tensor, dims: int) -> Tensor:
    """Values along dimension 1 of a tensor of so many dimensions."""
    return values.reshape(-1, *(1,) * (dims - 2))
