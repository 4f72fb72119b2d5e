"""Candidates of AdaNet: subnetworks trained beside those that are there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bayesnas.data import Split
from bayesnas.nn.grown.subnetwork_sum import Subnetwork, SubnetworkSum
from bayesnas.runtime.random_state import RandomStream


@dataclass(frozen=True)
class Training:
    """How a candidate is trained: Adam with a cosine schedule.

    Attributes:
        epochs: passes over the rows.
        lr: learning rate at the start.
        batch_size: rows a step.
    """

    epochs: int
    lr: float
    batch_size: int

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return asdict(self)


def grown(
    net: SubnetworkSum, widths: Sequence[int], rows: Split, how: Training, seed: Sequence[int]
) -> SubnetworkSum:
    """A network with one subnetwork more, trained on the loss of the sum with all else fixed.

    Args:
        net: what is there; it is not changed.
        widths: of the layers of the new subnetwork.
        rows: training data.
        how: by which steps.
        seed: of its first weights and the order of the rows.

    Returns:
        the network; the outputs of the new subnetwork have mean square 1 about their mean over the
        classes, on average over the rows, unless they are constant.
    """
    number = torch.tensor(seed).mul(torch.tensor([1, 7919, 104_729])).sum()
    with RandomStream(int(number), torch.device("cpu")).active():
        larger = SubnetworkSum(net.inputs, net.outputs, [*net.widths, list(widths)])
        _copy_earlier(net, larger)
        _train(larger, rows, how)
    _normalise(larger, rows.x)
    return larger


@torch.no_grad()
def _copy_earlier(net: SubnetworkSum, larger: SubnetworkSum) -> None:
    for old, new in zip(net.subnetworks, larger.subnetworks, strict=False):
        new.load_state_dict(old.state_dict())
    larger.mixture[: len(net.mixture)] = net.mixture


def _train(net: SubnetworkSum, rows: Split, how: Training) -> None:
    *earlier, new = net.subnetworks
    assert isinstance(new, Subnetwork)
    with torch.no_grad():
        units: list[list[Tensor]] = []
        fixed = rows.x.new_zeros(len(rows), net.outputs)
        for weight, subnetwork in zip(net.mixture, earlier, strict=False):
            output, hidden = subnetwork(rows.x, units)
            fixed += weight * output
            units.append(hidden)
    optimizer = torch.optim.Adam(new.parameters(), how.lr)
    steps = how.epochs * math.ceil(len(rows) / how.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(how.epochs):
        for batch in torch.randperm(len(rows)).split(how.batch_size):
            optimizer.zero_grad()
            output, _ = new(rows.x[batch], [[layer[batch] for layer in hidden] for hidden in units])
            cross_entropy(fixed[batch] + output, rows.y[batch]).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def _normalise(net: SubnetworkSum, x: Tensor) -> None:
    outputs = net.parts(x)[-1]
    scale = (outputs - outputs.mean(1, keepdim=True)).square().mean().sqrt()
    if scale > 0:
        output = net.subnetworks[-1].output
        output.weight.div_(scale)  # type: ignore[union-attr, operator]
        output.bias.div_(scale)  # type: ignore[union-attr, operator]
