"""Weights shared by k-means: a code book of few numbers, and the index of each weight in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SharedWeights:
    """A tensor of weights that are 0 or one of few numbers.

    Attributes:
        book: the numbers, ``[centroids]``.
        index: for each weight 0 where it is 0, else one more than its place in the book.
    """

    book: Tensor
    index: Tensor

    def filled(self, book: Tensor) -> Tensor:
        """The weights with other numbers in the book, differentiable in them.

        The gradient of a number is the sum of those of the weights that share it.
        """
        return torch.cat([book.new_zeros(1), book])[self.index]


def shared_weights(weights: Tensor, bits: int) -> SharedWeights:
    """Cluster the weights that are not 0 into at most 2^bits numbers, by k-means.

    The first centroids lie evenly from the smallest weight to the largest, which keeps the few
    large weights apart better than random ones do (Han, Mao, Dally, *Deep compression*, 2016).

    Args:
        weights: any shape.
        bits: of an index, in 1…8.

    >>> shared = shared_weights(torch.tensor([0.0, 1.0, 1.1, -2.0, 0.9]), bits=1)
    >>> [round(w, 4) for w in shared.filled(shared.book).tolist()]
    [0.0, 1.0, 1.0, -2.0, 1.0]
    """
    from sklearn.cluster import KMeans

    flat = weights.detach().cpu().double().flatten().numpy()
    entries = np.flatnonzero(flat)
    index = np.zeros(len(flat), dtype=np.int64)
    book = np.zeros(0)
    if len(entries):
        values = flat[entries]
        count = min(2**bits, len(np.unique(values)))
        start = np.linspace(values.min(), values.max(), count)[:, None]
        means = KMeans(count, init=start, n_init=1, random_state=0).fit(values[:, None])
        index[entries] = means.labels_ + 1
        book = means.cluster_centers_[:, 0]
    return SharedWeights(
        torch.from_numpy(book).to(weights), torch.from_numpy(index).reshape(weights.shape)
    )


def bits_of(layer: nn.Module, bits: int, convolution_bits: int) -> int:
    """Bits of an index in a layer: those of convolutions where its kernels have a space.

    >>> bits_of(nn.Linear(2, 2), 5, 8), bits_of(nn.Conv2d(1, 1, 3), 5, 8)
    (5, 8)
    """
    weight = getattr(layer, "weight", None)
    return convolution_bits if isinstance(weight, Tensor) and weight.ndim > 2 else bits
