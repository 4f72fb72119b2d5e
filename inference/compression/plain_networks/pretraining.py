"""The net that a first fit starts at: maximum likelihood with dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.data import Split
from bayesnas.inference.compression.plain_networks.training import Training, train
from bayesnas.likelihoods import Likelihood
from bayesnas.nn import is_linear_or_convolution


@dataclass(frozen=True)
class Pretraining:
    """Maximum likelihood with dropout, by Adam with a cosine schedule.

    Attributes:
        epochs: passes over the sample.
        lr: learning rate at the start.
        dropout: share of the inputs of each linear or convolution layer that are set to 0.
    """

    epochs: int
    lr: float
    dropout: tuple[float, ...]


def pretrained(
    build: Callable[[], nn.Module],
    likelihood: Likelihood,
    data: Split,
    how: Pretraining,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> nn.Module:
    """Train a net; the global random state stays as it was.

    Args:
        build: makes the net, under the seed.
        likelihood: of the targets given its outputs.
        data: training data.
        how: by which steps.
        batch_size: examples in a batch.
        seed: of the initial weights, the order of the data and the dropout.
        device: where to train; the net comes back on the CPU.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build().to(device).train()
        layers = [m for name, m in net.named_modules() if is_linear_or_convolution(name, m)]
        hooks = [
            layer.register_forward_pre_hook(_dropout(rate))
            for layer, rate in zip(layers, how.dropout, strict=True)
        ]
        train(net, likelihood, data.to(device), Training(how.epochs, how.lr, batch_size))
    for hook in hooks:
        hook.remove()
    return net.cpu().eval()


def _dropout(rate: float) -> Callable[[nn.Module, Any], Tensor]:
    return lambda _, inputs: F.dropout(inputs[0], rate)
