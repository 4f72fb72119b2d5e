"""The weights that a model starts at, where they are given and not drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn


class StartingValues(nn.Module):
    """Given starting values by name, as buffers: they move, are copied and saved with a model.

    Args:
        values: by dotted name; copied.

    >>> import torch
    >>> start = StartingValues({"layer1.weight": torch.ones(2)})
    >>> start["layer1.weight"], list(start.state_dict())
    (tensor([1., 1.]), ['layer1/weight'])
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        """Copy the values; see the class."""
        super().__init__()
        self._names = {name: name.replace(".", "/") for name in values}
        for name, buffer in self._names.items():
            self.register_buffer(buffer, values[name].detach().clone())

    def __getitem__(self, name: str) -> Tensor:
        """Value of a name; KeyError where there is none."""
        return self.get_buffer(self._names[name])

    def __iter__(self) -> Iterator[str]:
        """Names, in the order given."""
        return iter(self._names)
