"""The scale of the weights behind open gates: given, learned, or one that a fit is over."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import positive
from bayesnas.models.networks.base import NetModel


class SlabScaleModel(NetModel):
    """A network whose weights have a slab N(0, s²), s one number or one a layer that is trained.

    Attributes:
        log_slab_scale: ln s, a value a layer.
    """

    log_slab_scale: Tensor
    _config: dict[str, Any]

    def create_slab_scale(self, slab_scale: float | str) -> None:
        """Make it a buffer, or a parameter that starts at 1 where it is ``"learned"``."""
        learned = isinstance(slab_scale, str)
        scale, dtype = 1.0 if learned else float(slab_scale), self.layers.dtype
        value = torch.full((len(self.layers.names),), scale, dtype=dtype).log()
        if learned:
            self.log_slab_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_slab_scale", value)

    def metaparameters(self) -> tuple[str, ...]:
        """``slab_scale``, where it is given, and those of the likelihood."""
        given = () if self._config["slab_scale"] == "learned" else ("slab_scale",)
        return (*given, *super().metaparameters())

    def set_metaparameter(self, name: str, value: float) -> None:
        """Give all slabs another scale."""
        if name == "slab_scale" and name in self.metaparameters():
            self._config[name] = positive(name, value)
            self.log_slab_scale.fill_(math.log(value))
        else:
            super().set_metaparameter(name, value)
