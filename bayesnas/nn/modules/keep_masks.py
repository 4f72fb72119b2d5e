"""Boolean masks over weight tensors: which entries are still in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class KeepMasks(nn.Module):
    """One boolean mask a site, all true until :meth:`assign`; saved with ``state_dict``.

    Looking a mask up gives None while everything is kept, so an unpruned model pays nothing.

    Args:
        shapes: shape of every site.

    >>> import torch
    >>> keep = KeepMasks({"layer1.weight": torch.Size([3])})
    >>> keep["layer1.weight"] is None
    True
    >>> keep.assign({"layer1.weight": torch.tensor([True, False, True])})
    >>> keep["layer1.weight"]
    tensor([ True, False,  True])
    """

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        """Create masks that keep everything; see the class."""
        super().__init__()
        self._names = {site: site.replace(".", "/") for site in shapes}
        for site, name in self._names.items():
            self.register_buffer(name, torch.ones(shapes[site], dtype=torch.bool))
        self._any_removed = False
        self.register_load_state_dict_post_hook(KeepMasks._refresh)  # type: ignore[no-untyped-call]

    def __getitem__(self, site: str) -> Tensor | None:
        """Mask of a site, or None while no weight of any site is removed."""
        return self.get_buffer(self._names[site]) if self._any_removed else None

    def masks(self) -> dict[str, Tensor]:
        """All masks, by site; copies."""
        return {site: self.get_buffer(name).clone() for site, name in self._names.items()}

    def assign(self, masks: Mapping[str, Tensor]) -> None:
        """Overwrite the masks of the sites given.

        Raises:
            ValueError: for an unknown site or a mask of another shape.
        """
        for site, mask in masks.items():
            if site not in self._names:
                raise ValueError(f"masks must be of the sites {list(self._names)}, got {site!r}")
            buffer = self.get_buffer(self._names[site])
            if mask.shape != buffer.shape:
                raise ValueError(
                    f"mask of {site!r} must have shape {list(buffer.shape)}, got {list(mask.shape)}"
                )
            buffer.copy_(mask)
        self._refresh()

    def _refresh(self, _incompatible_keys: Any = None) -> None:
        self._any_removed = not all(bool(buffer.all()) for buffer in self.buffers())
