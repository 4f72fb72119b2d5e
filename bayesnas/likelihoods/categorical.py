"""One of several classes."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor

from bayesnas.likelihoods.base import Likelihood


class Categorical(Likelihood):
    """y ∈ {0…C−1} with probabilities softmax(f), f of shape ``[n, C]``.

    >>> import torch
    >>> Categorical()(torch.zeros(1, 4)).log_prob(torch.tensor([3])).exp()
    tensor([0.2500])
    """

    name = "categorical"
    task = "classification"
    outputs = "logits of the classes"

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Categorical with logits ``[n, C]``."""
        return dist.Categorical(logits=output)

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Whole labels, one an example, and as many outputs as classes."""
        if y.is_floating_point() or y.ndim != 1:
            raise ValueError(
                "y must hold whole class labels of shape [n] for likelihood='categorical', "
                f"got {y.dtype} of shape {list(y.shape)}"
            )
        width = output_shape[-1]
        if len(output_shape) != 2 or (classes is not None and width != classes):
            expected = "[n, classes]" if classes is None else f"[n, {classes}]"
            raise ValueError(
                f"net must give outputs of shape {expected} for likelihood='categorical' on data "
                f"of {classes if classes is not None else 'any number of'} classes, "
                f"got {['n', *output_shape[1:]]}"
            )
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= width:
            raise ValueError(
                f"y must hold labels in 0…{width - 1} (the net has {width} outputs), "
                f"got labels from {low} to {high}"
            )
