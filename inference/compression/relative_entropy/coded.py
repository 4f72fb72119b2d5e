"""What ``bayesnas.code`` gives."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from torch import nn

from bayesnas.coding.encoding import network_bytes, write_network
from bayesnas.coding.weight_code import WeightCode
from bayesnas.data import DataInfo
from bayesnas.models.base import BayesianModel
from bayesnas.models.plain_network import in_data_units
from bayesnas.typed import typed


@dataclass(frozen=True)
class Coded:
    """A network whose weights stand for their posterior, and the code of them.

    Attributes:
        module: a plain module in evaluation mode, with the weights of the code; it takes rows as
            the fit took them.
        code: an index of a candidate a block.
        kl_bits: KL(q ‖ p) of the blocks in bits, each as it was when it was coded.
        data: of the training part.

    >>> import bayesnas as bn
    >>> digits = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 10]), prior_scale="learned")
    >>> post = bn.fit(model, digits.train, steps=20, progress=False)
    >>> coded = bn.code(post, digits.train, size=500, block_bits=6, epochs=1, coding_epochs=1)
    >>> coded.module(digits.test.x[:2]).shape
    torch.Size([2, 10])
    """

    module: nn.Module
    code: WeightCode = field(repr=False)
    kl_bits: float
    data: DataInfo = field(repr=False)
    model: BayesianModel = field(repr=False)

    @property
    def bits(self) -> int:
        """Of all indices together."""
        return self.code.bits * len(self.code.indices)

    @property
    def size(self) -> int:
        """Bytes of the file that :meth:`encode` writes."""
        return len(network_bytes(*self._in_data_units()))

    def in_data_units(self) -> nn.Module:
        """The network for rows as they came, and with numbers in the units of the targets."""
        return self._in_data_units()[0]

    @typed()
    def encode(self, path: str | os.PathLike[str]) -> int:
        """Write the network, :meth:`in_data_units`, for :func:`bayesnas.decode`; its size.

        Raises:
            FileExistsError, FileNotFoundError, UndescribableNetError, OSError: as
                :func:`bayesnas.encode`.
            TypeError: for what is no path.
        """
        module, code = self._in_data_units()
        return write_network(module, path, code)

    def _in_data_units(self) -> tuple[nn.Module, WeightCode]:
        whole = in_data_units(self.module, self.data, self.model)
        if whole is self.module:
            return whole, self.code
        masks = {f"net.{name}": mask for name, mask in self.code.layout.masks.items()}
        scales = {f"net.{name}": scale for name, scale in self.code.scales.items()}
        layout = replace(self.code.layout, masks=masks)
        return whole, replace(self.code, layout=layout, scales=scales)

    def __repr__(self) -> str:
        """How large, on one line."""
        return (
            f"Coded({self.model.describe()}: {self.code.layout.weights:,} weights in "
            f"{self.bits:,} bits, {self.size:,} bytes on disk)"
        )
