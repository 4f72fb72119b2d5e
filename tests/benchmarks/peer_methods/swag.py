r"""SWAG: a Gaussian of the weights that training passes through (Maddox et al. 2019).

Weights are kept after every epoch of the second half, at half of the learning rate: their mean, the
variance of each, and the last 20 deviations. A draw is

.. math:: \bar w + \sqrt{\Sigma_{diag} / 2}\, z_1 + D z_2 / \sqrt{2 (K - 1)}
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from peer_methods.gradient_descent import cross_entropy, trained
from peer_methods.task import Fitted, Task, averaged

RANK, START, RATE = 20, 0.5, 0.5


def schedule(done: float) -> float:
    """Share of the learning rate: whole, falling linearly up to the first weights kept, then half.

    That of the authors' code: it falls between a half and nine tenths of the way there.
    """
    way = done / START
    return 1.0 - (1.0 - RATE) * min(max((way - 0.5) / 0.4, 0.0), 1.0)


class Gaussian:
    """Moments of the weights of a net, and draws by them."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.kept = 0
        self.mean = self.square = torch.zeros(())
        self.deviations: list[Tensor] = []

    def keep(self) -> None:
        weights = parameters_to_vector(self.net.parameters()).detach().clone()
        self.kept += 1
        self.mean = self.mean + (weights - self.mean) / self.kept
        self.square = self.square + (weights.square() - self.square) / self.kept
        self.deviations = [*self.deviations, weights - self.mean][-RANK:]

    def drawn(self, x: Tensor) -> Tensor:
        """Outputs of the net at a draw of its weights, which are put back."""
        before = parameters_to_vector(self.net.parameters()).detach().clone()
        scale = (self.square - self.mean.square()).clamp_min(1e-30).sqrt()
        noise = scale * torch.randn_like(scale) / math.sqrt(2)
        low_rank = torch.stack(self.deviations).T @ torch.randn(len(self.deviations))
        low_rank = low_rank / math.sqrt(2 * max(len(self.deviations) - 1, 1))
        vector_to_parameters(self.mean + noise + low_rank, self.net.parameters())
        outputs: Tensor = self.net(x)
        vector_to_parameters(before, self.net.parameters())
        return outputs


def fit(task: Task) -> Fitted:
    net = task.net()
    gaussian = Gaussian(net)
    predict = averaged(gaussian.drawn)
    for epoch in trained(task, net.parameters(), cross_entropy(net), schedule):
        if epoch > START * task.epochs or epoch == task.epochs:
            gaussian.keep()
            task.watch(epoch, predict)
    return Fitted(predict, note=f"{gaussian.kept} sets of weights kept")
