"""Trainable parameters as views of one flat tensor."""

from __future__ import annotations

from collections.abc import Sequence

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
        self.sizes = [p.numel() for p in parameters]
        self.shapes = [p.shape for p in parameters]
        self.values = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
        self.gradient = torch.zeros_like(self.values)
        self.values.grad = self.gradient
        pieces = zip(
            parameters, self.split(self.values.data), self.split(self.gradient), strict=True
        )
        for parameter, value, gradient in pieces:
            parameter.data = value
            parameter.grad = gradient

    def split(self, flat: Tensor) -> list[Tensor]:
        """Views of a flat tensor in the shapes of the parameters."""
        pieces = flat.split(self.sizes)
        return [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]


def flatten_parameters(
    parameters: Sequence[nn.Parameter],
) -> list[tuple[list[int], FlatParameters]]:
    """Flatten parameters, one flat tensor for each type and device among them.

    Returns:
        pairs of the indices into ``parameters`` and their flat tensor.
    """
    kinds: dict[tuple[torch.dtype, torch.device], list[int]] = {}
    for index, parameter in enumerate(parameters):
        kinds.setdefault((parameter.dtype, parameter.device), []).append(index)
    return [
        (indices, FlatParameters([parameters[index] for index in indices]))
        for indices in kinds.values()
    ]
