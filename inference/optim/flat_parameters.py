"""Trainable parameters as views of one flat tensor."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn


class FlatParameters:
    """One flat tensor behind many parameters, and one behind their gradients.

    The parameters stay where they are, in ``state_dict`` and under their names; only their
    storage moves into :attr:`values`. Whatever writes the flat tensor writes them, so an
    elementwise optimiser needs one kernel for all.

    Args:
        parameters: parameters of one type, on one device.

    Attributes:
        values: all parameters, ``[P]``, itself a parameter.
        gradient: all gradients, ``[P]``; the ``grad`` of every parameter is a view of it.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 1)
    >>> flat = FlatParameters(list(layer.parameters()))
    >>> _ = flat.values.data.zero_()
    >>> layer(torch.ones(1, 2)).item()
    0.0
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        """Move the parameters' storage into one tensor; see the class."""
        self._parameters = list(parameters)
        self.sizes = [p.numel() for p in parameters]
        self.shapes = [p.shape for p in parameters]
        self.values = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
        self.gradient: Tensor
        self.move(self.values.data, torch.zeros_like(self.values))

    def move(self, values: Tensor, gradient: Tensor) -> None:
        """Let the parameters and their gradients lie in other tensors, ``[P]`` each.

        Args:
            values: the values that the parameters have.
            gradient: their gradients.
        """
        self.values.data = values
        self.values.grad = self.gradient = gradient
        pieces = zip(self._parameters, self.split(values), self.split(gradient), strict=True)
        for parameter, value, slope in pieces:
            parameter.data = value
            parameter.grad = slope

    def split(self, flat: Tensor) -> list[Tensor]:
        """Views of a flat tensor in the shapes of the parameters."""
        pieces = flat.split(self.sizes)
        return [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]


def flatten_parameters(
    parameters: Sequence[nn.Parameter], kinds: Sequence[Hashable] | None = None
) -> list[tuple[list[int], FlatParameters]]:
    """Flatten parameters, one flat tensor for each type, device and kind among them.

    Args:
        parameters: to flatten.
        kinds: of each of them; none by default.

    Returns:
        pairs of the indices into ``parameters`` and their flat tensor.
    """
    alike: dict[Hashable, list[int]] = {}
    for index, parameter in enumerate(parameters):
        kind = None if kinds is None else kinds[index]
        alike.setdefault((parameter.dtype, parameter.device, kind), []).append(index)
    return [
        (indices, FlatParameters([parameters[index] for index in indices]))
        for indices in alike.values()
    ]
