"""Maximum likelihood of a plain network, with a penalty, and weights that stay removed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from bayesnas.data import Split
from bayesnas.inference.config.inputs import Data, checked_tensors
from bayesnas.likelihoods import AnyLikelihood, Likelihood
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.nn.modules.stochastic_layers import trainable_of
from bayesnas.pruning.criteria.removal import is_bias

MOST_EPOCHS = 1_000_000
"""More are no training that anybody waits for."""


@dataclass(frozen=True)
class Training:
    r"""How a network is trained: by Adam.

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
        schedule: of the learning rate: ``"cosine"`` down to 0, or ``"constant"``.
    """

    epochs: int
    lr: float
    batch_size: int
    l1: float = 0.0
    l2: float = 0.0
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    schedule: Literal["cosine", "constant"] = "cosine"


@dataclass(frozen=True)
class PlainTask:
    """A plain network and what it is trained on.

    Attributes:
        net: a copy of the network that came.
        likelihood: of the targets given its outputs.
        sample: the training data, in memory, of the network's type.
        masks: true for every weight that may be removed, by name.
    """

    net: nn.Module
    likelihood: Likelihood
    sample: Split
    masks: Mapping[str, Tensor]

    @classmethod
    def of(
        cls, module: nn.Module, data: Data, likelihood: AnyLikelihood, noise_scale: float | None
    ) -> PlainTask:
        """Check that network, data and likelihood fit one another.

        Raises:
            ValueError, TypeError: naming the argument that does not, or a module without weights.
        """
        model = GaussianNet(
            module,
            stochastic="none",
            initial_loc="net",
            likelihood=likelihood,
            noise_scale=noise_scale,
        )
        net = model.plain_module()
        masks = prunable_masks(net)
        sample = checked_tensors(model, data, "data")
        model.size_for(sample.info.classes)
        return cls(net, model.likelihood, sample, masks)

    def to(self, device: torch.device) -> PlainTask:
        """The same elsewhere; the network and the likelihood are moved in place."""
        net, likelihood = self.net.to(device), self.likelihood.to(device)
        masks = {name: mask.to(device) for name, mask in self.masks.items()}
        return PlainTask(net, likelihood, self.sample.to(device), masks)


def prunable_masks(net: nn.Module) -> dict[str, Tensor]:
    """Masks that keep all weights, and the biases beside them.

    Raises:
        TypeError: there are no trainable matrices and kernels.
    """
    masks = {}
    for name, layer in net.named_modules():
        parameters = dict(trainable_of(layer))
        if any(parameter.ndim > 1 for parameter in parameters.values()):
            for leaf, parameter in parameters.items():
                if parameter.ndim > 1 or is_bias(leaf):
                    masks[dotted(name, leaf)] = torch.ones_like(parameter, dtype=torch.bool)
    named = dict(net.named_parameters())  # a tied parameter has one name
    prunable = {name: mask for name, mask in masks.items() if name in named}
    if not prunable:
        raise TypeError(
            "module must have trainable parameters of two dims or more to prune, "
            f"got {type(net).__name__} without one"
        )
    return prunable


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
    schedule = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        if how.schedule == "cosine"
        else None
    )
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
        if schedule is not None:
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
