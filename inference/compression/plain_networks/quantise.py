"""Weights of a network shared by k-means, and the shared numbers trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bayesnas.checks import positive, seed_number, whole_number
from bayesnas.coding.codebooks import SharedWeights, bits_of, shared_weights
from bayesnas.inference.compression.plain_networks.pruned import Pruned
from bayesnas.inference.compression.plain_networks.training import (
    MOST_EPOCHS,
    PlainTask,
    Training,
    train,
)
from bayesnas.inference.config.inputs import Data
from bayesnas.likelihoods import AnyLikelihood
from bayesnas.nn.functional_call import functional_call
from bayesnas.pruning.criteria.removal import is_bias
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed


@typed(unchecked=("data", "likelihood"))
def quantise(
    module: nn.Module,
    data: Data,
    *,
    bits: int = 5,
    convolution_bits: int = 8,
    epochs: int = 3,
    lr: float = 1e-4,
    batch_size: int = 128,
    likelihood: AnyLikelihood = "categorical",
    noise_scale: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
) -> Pruned:
    """Let the weights of each layer share few numbers, and train these.

    The weights of a matrix or kernel that are not 0 are clustered by k-means; each becomes its
    centroid. Then the centroids, biases and what else the network trains are trained by Adam: the
    gradient of a centroid is the sum of those of its weights (Han, Mao, Dally, *Deep
    compression*, 2016). Weights that are 0 stay 0, as those that ``bayesnas.prune`` removed, and
    ``bayesnas.encode`` writes the result in few bytes.

    Args:
        module: a trained network; it is copied and never changed.
        data: training data: a part of a data set, or a pair ``(x, y)``.
        bits: of an index in a linear layer, in 1…8: at most 2^bits numbers.
        convolution_bits: of one in a convolution.
        epochs: passes over the sample; 0 trains nothing.
        lr: learning rate at the start, cosine down to 0.
        batch_size: examples in a batch.
        likelihood: of the targets given the outputs.
        noise_scale: for ``"gaussian"``, as for ``GaussianNet``.
        seed: of the order of the data.
        device: where to compute.

    Returns:
        the network, and masks of its weights that are not 0.

    Raises:
        ValueError, TypeError: naming an argument that does not fit.

    >>> import bayesnas as bn
    >>> digits = bn.data.load("digits").train
    >>> shared = bn.quantise(bn.nn.mlp([64, 20, 10]), digits, bits=3, epochs=0)
    >>> len(shared.module.layer1.weight.unique())
    8
    """
    how = Training(
        whole_number("epochs", epochs, 0, MOST_EPOCHS),
        positive("lr", lr),
        whole_number("batch_size", batch_size),
    )
    widths = (
        whole_number("bits", bits, 1, 8),
        whole_number("convolution_bits", convolution_bits, 1, 8),
    )
    seed, where = seed_number("seed", seed), resolve_device(device)
    task = PlainTask.of(module, data, likelihood, noise_scale)
    net, sample = task.net, task.sample
    sites = [name for name in task.masks if not is_bias(name)]
    shared = {}
    for site in sites:
        layer = net.get_submodule(site.rpartition(".")[0])
        shared[site] = shared_weights(net.get_parameter(site), bits_of(layer, *widths))
    with RandomStream(seed, where).active():
        sharing = _SharingNet(net, shared).to(where).train()
        if how.epochs:
            train(sharing, task.likelihood.to(where), sample.to(where), how)
    plain = sharing.cpu().plain().eval()
    masks = {name: plain.get_parameter(name) != 0 for name in sites}
    return Pruned(plain, masks, sample.x[:2].cpu())


class _SharingNet(nn.Module):
    """A network whose weights are read out of code books, which are parameters."""

    def __init__(self, net: nn.Module, shared: dict[str, SharedWeights]) -> None:
        super().__init__()
        self._sites = list(shared)
        self.books = nn.ParameterList([each.book for each in shared.values()])
        for index, each in enumerate(shared.values()):
            self.register_buffer(f"index{index}", each.index)
        self.net = net
        for site in shared:
            net.get_parameter(site).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the network with the weights of the code books."""
        output: Tensor = functional_call(self.net, self._weights(), (x,))
        return output

    @torch.no_grad()
    def plain(self) -> nn.Module:
        """The network alone, its weights those of the code books."""
        for site, value in self._weights().items():
            parameter = self.net.get_parameter(site)
            parameter.copy_(value)
            parameter.requires_grad_(True)
        return self.net

    def _weights(self) -> dict[str, Tensor]:
        return {
            site: SharedWeights(book, self.get_buffer(f"index{index}")).filled(book)
            for index, (site, book) in enumerate(zip(self._sites, self.books, strict=True))
        }
