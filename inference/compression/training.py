"""Maximum likelihood of a plain network, with a penalty, and weights that stay removed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bayesnas.data import Split
from bayesnas.likelihoods import Likelihood
from bayesnas.pruning.criteria.removal import is_bias

MOST_EPOCHS = 1_000_000
"""More are no training that anybody waits for."""


@dataclass(frozen=True)
class Training:
    r"""How a network is trained: Adam with a cosine schedule.

    It minimises, an example,

    .. math:: -\frac1N \sum_n \ln p(y_n \mid f(x_n; w)) + a_1 \sum_i |w_i|
              + \tfrac12 a_2 \sum_i w_i^2

    with the sums over weights, biases left out.

    Attributes:
        epochs: passes over the sample.
        lr: learning rate at the start.
        batch_size: examples in a batch.
        l1: a₁ >= 0.
        l2: a₂ >= 0.
        masks: boolean by parameter name: where false, a weight is 0 and stays it.
    """

    epochs: int
    lr: float
    batch_size: int
    l1: float = 0.0
    l2: float = 0.0
    masks: Mapping[str, Tensor] = field(default_factory=dict)


def train(net: nn.Module, likelihood: Likelihood, data: Split, how: Training) -> None:
    """Train a network in place, where it lies; the caller seeds and restores random numbers.

    Args:
        net: in the mode that it is trained in.
        likelihood: of the targets given its outputs; what it learns is trained too.
        data: training data, where the network lies.
        how: by which steps.
    """
    trained = [*net.parameters(), *likelihood.parameters()]
    optimizer = torch.optim.Adam([p for p in trained if p.requires_grad], how.lr)
    steps = how.epochs * math.ceil(len(data) / how.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    weights = [p for name, p in net.named_parameters() if p.requires_grad and not is_bias(name)]
    clear_removed(net, how.masks)
    for x, y in _batches(data, how):
        optimizer.zero_grad()
        output = net(x)
        log_lik = likelihood(output).log_prob(likelihood.observed(y, output))
        loss = -log_lik.sum() / len(x)
        if how.l1:
            loss = loss + how.l1 * torch.stack([w.abs().sum() for w in weights]).sum()
        if how.l2:
            loss = loss + 0.5 * how.l2 * torch.stack([w.square().sum() for w in weights]).sum()
        loss.backward()
        optimizer.step()
        schedule.step()
        clear_removed(net, how.masks)  # the optimiser's averages would bring them back


@torch.no_grad()
def clear_removed(net: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set to 0, in place, the weights whose mask is false."""
    for name, mask in masks.items():
        net.get_parameter(name).mul_(mask)


def _batches(data: Split, how: Training) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(how.epochs):
        for rows in torch.randperm(len(data)).to(data.x.device).split(how.batch_size):
            yield data.x[rows], data.y[rows]
