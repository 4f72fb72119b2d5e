"""What ``bayesnas.compress`` gives: the smaller network and how it was reached."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from bayesnas.coding import encode
from bayesnas.data import DataInfo
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.plain_network import in_data_units
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Compressed:
    """A network made smaller.

    Attributes:
        module: the smaller network, a plain module in evaluation mode that takes all inputs, as
            the fit took them; where a first layer reads some of them only, it begins with
            :class:`~bayesnas.nn.SelectInputs`.
        posterior: on the weights of the smaller network (behind such a selection).
        path: over ``stage``, from the whole network down, each made of the last that was as good as
            the best before it: ``weights``, what its matrices and kernels hold; ``parameters``,
            biases and the like included; ``loss``, the mean over validation examples of the error
            (classification) or the squared error, and ``loss_error``, its standard error;
            ``chosen``, whether it is the one that is given.
        whole: the network that nothing was removed from, plain, at the posterior means; of a fit
            along the KL weight at that with the lowest validation loss.
        limit: the largest validation loss that counts as as good: the lowest, and ``tolerance`` of
            its standard errors.
        data: of the training part.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits", validation=0.2)
    >>> model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 8, 10]))
    >>> post = bn.fit(model, data.train, kl_weight=bn.LogUniform(0.1, 1), steps=20, progress=False)
    >>> small = bn.inference.smallest(post, data.validation)
    >>> small.weights_before
    592
    >>> small.whole(data.test.x[:2]).shape
    torch.Size([2, 10])
    """

    module: nn.Module
    posterior: Posterior
    path: xr.Dataset
    whole: nn.Module
    limit: float
    data: DataInfo

    @property
    def weights(self) -> int:
        """Numbers in the matrices and kernels of :attr:`module`, dense."""
        return weight_count(self.module)

    @property
    def weights_before(self) -> int:
        """Of :attr:`whole`."""
        return weight_count(self.whole)

    @property
    def kept(self) -> float:
        """Share of the weights that is left, in [0, 1]."""
        return self.weights / self.weights_before

    @typed()
    def encode(self, path: str | os.PathLike[str]) -> int:
        """Write the network, :meth:`in_data_units`, to a file of few bytes; its size.

        See :func:`bayesnas.encode`.

        Raises:
            TypeError: for what is no path.
            OSError: where nothing can be written.
        """
        return encode(self.in_data_units(), path)

    def in_data_units(self) -> nn.Module:
        """The network for rows as they came, and with numbers in the units of the targets.

        Where the data of the fit were standardised it is a :class:`~bayesnas.nn.StandardisedNet`
        around :attr:`module`, else :attr:`module` itself.
        """
        return in_data_units(self.module, self.data, self.posterior.model)

    def __repr__(self) -> str:
        """What is left, and the loss on validation data, on one line."""
        last = self.path.isel(stage=int(self.path["chosen"].argmax("stage")))
        loss, error = float(last["loss"]), float(last["loss_error"])
        return (
            f"Compressed({self.posterior.model.describe()}: {self.weights:,} of "
            f"{self.weights_before:,} weights, validation loss {loss:.4g} ± {error:.2g})"
        )


def weight_count(net: nn.Module) -> int:
    """Numbers in the matrices and kernels of a network: all parameters of two dims or more."""
    return sum(p.numel() for p in net.parameters() if p.ndim > 1)
