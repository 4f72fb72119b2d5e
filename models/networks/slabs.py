"""The weights behind open gates: their prior scale, and the Gaussians of the guide."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import positive
from bayesnas.models.networks.base import NetModel


class SlabModel(NetModel):
    """A network whose weights have a slab N(0, s²), s one number or one a layer that is trained.

    The guide's slab is N(μ, σ²), with parameters ``<site>.loc`` and ``<site>.log_scale``.

    Attributes:
        log_slab_scale: ln s, a value a layer.
    """

    log_slab_scale: Tensor
    _config: dict[str, Any]
    _initial_log_scale: float

    def create_slab_scale(self, slab_scale: float | str) -> None:
        """Make it a buffer, or a parameter that starts at 1 where it is ``"learned"``."""
        learned = isinstance(slab_scale, str)
        scale, dtype = 1.0 if learned else float(slab_scale), self.layers.dtype
        value = torch.full((len(self.layers.names),), scale, dtype=dtype).log()
        if learned:
            self.log_slab_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_slab_scale", value)

    def _initial_slabs(self) -> dict[str, Tensor]:
        """Parameters of the guide's slabs at the weights of the network, by name."""
        initial = {}
        for site, weight in self.layers.initial.items():
            initial[f"{site}.loc"] = weight
            initial[f"{site}.log_scale"] = torch.full_like(weight, self._initial_log_scale)
        return initial

    def _reset_slabs(self) -> None:
        """Draw the initial means (unless ``initial_loc="net"``), and reset the scales."""
        if self._config["initial_loc"] == "random":
            self.redraw_means()
        for site, shape in self.layers.shapes.items():
            log_scale = torch.full(shape, self._initial_log_scale, dtype=self.dtype)
            self.variational.assign(f"{site}.log_scale", log_scale)

    def _slab(self, site: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the guide's slab of one weight tensor, of its shape."""
        return self.variational[f"{site}.loc"], self.variational[f"{site}.log_scale"].exp()

    def prior_parameters(self) -> tuple[str, ...]:
        """The log slab scales, where they are trained."""
        return ("log_slab_scale",) if self._config["slab_scale"] == "learned" else ()

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
