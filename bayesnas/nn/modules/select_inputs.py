"""The inputs that a smaller network still reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bayesnas.checks import whole_number
from bayesnas.typed import typed


class SelectInputs(nn.Module):
    """Pass on some of the last dim's entries, in their order: ``[..., d]`` to ``[..., k]``.

    Args:
        indices: which, ``[k]``.

    Raises:
        ValueError: one of them is negative or no whole number.

    >>> SelectInputs([0, 2])(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1., 3.]])
    """

    index: Tensor

    @typed()
    def __init__(self, indices: Sequence[int]) -> None:
        """Keep the indices; see the class."""
        super().__init__()
        if not len(indices):
            raise ValueError("indices must hold one or more, got none")
        self.indices = [whole_number("indices", index, 0) for index in indices]
        self.register_buffer("index", torch.tensor(self.indices), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the entries."""
        return x.index_select(-1, self.index)

    def extra_repr(self) -> str:
        """How many are kept, as ``repr`` shows it."""
        return f"{len(self.indices)} inputs"
