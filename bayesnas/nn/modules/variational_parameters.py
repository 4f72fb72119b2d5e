"""Variational parameters by name: what every guide asks its parameters from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from bayesnas.typed import typed


class VariationalParameters(nn.Module):
    """Named variational parameters of a guide.

    A guide looks its parameters up here by name, ``layer1.weight.loc``. The names reappear in
    ``state_dict()`` unchanged. In a fit that serves many KL weights the values are those of the λ
    in force: :mod:`bayesnas.nn.hypernetworks.base` supplies them, and the guide does not know.

    Args:
        initial: starting value of every parameter, by dotted name.

    Raises:
        TypeError: for what is no mapping of names to tensors.

    >>> import torch
    >>> parameters = VariationalParameters({"layer1.weight.loc": torch.zeros(2, 3)})
    >>> parameters["layer1.weight.loc"].shape
    torch.Size([2, 3])
    >>> list(parameters.state_dict())
    ['layer1.weight.loc']
    """

    @typed()
    def __init__(self, initial: Mapping[str, Tensor]) -> None:
        """Create one ``nn.Parameter`` a name; see the class."""
        super().__init__()
        self._slots: dict[str, tuple[nn.Module, str]] = {}
        for name, value in initial.items():
            self._register(name, value)

    def _register(self, name: str, value: Tensor) -> None:
        *path, leaf = name.split(".")
        owner: nn.Module = self
        for part in path:
            if part not in dict(owner.named_children()):
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        owner.register_parameter(leaf, nn.Parameter(value.detach().clone()))
        self._slots[name] = (owner, leaf)

    def __getitem__(self, name: str) -> Tensor:
        """Value of a parameter; KeyError names it where there is none."""
        owner, leaf = self._slots[name]
        value: Tensor = getattr(owner, leaf)
        return value

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of construction."""
        return iter(self._slots)

    @torch.no_grad()
    @typed()
    def assign(self, name: str, value: Tensor) -> None:
        """Overwrite a parameter in place, on its own device, with a value of its shape.

        Raises:
            TypeError: naming an argument of another type.
            KeyError: for a name that no parameter has.
        """
        self[name].copy_(value)
