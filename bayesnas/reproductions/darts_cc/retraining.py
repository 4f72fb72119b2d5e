"""Retraining of an architecture from scratch, as in DARTS: the same for every method."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.inference.search import ClippedSGD
from bayesnas.nn.graphs.graph import Graph
from bayesnas.reproductions.darts_cc.settings import Images, Part, Settings
from bayesnas.runtime.random_state import RandomStream

_BATCH, _LR = 96, 0.025


@dataclass(frozen=True)
class Retrained:
    """What became of an architecture.

    Attributes:
        parameters: of the network.
        accuracy: on the test part, at the chosen epoch.
        validation: accuracy on the validation part, by which it was chosen.
        epoch: counted from 1.
        operations: chosen, by edge.
    """

    parameters: int
    accuracy: float
    validation: float
    epoch: int
    operations: dict[str, str]


def retrained(graph: Graph, images: Images, settings: Settings, seed: int) -> Retrained:
    """Train a network without mixed edges from fresh weights, and test its best epoch.

    The epoch is the one of the highest validation accuracy, the first of equals.

    Args:
        graph: of the architecture; it is not changed.
        images: training, validation and test parts.
        settings: epochs, cutout, drop path.
        seed: of weights, batches and augmentation.
    """
    device = images.train[0].device
    net = copy.deepcopy(graph).to(device)
    with RandomStream(seed, device).active():
        for module in net.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        paths = DropPath(net)
        best, state, epoch = -1.0, net.state_dict(), 0
        optimizer = ClippedSGD(net.parameters(), lr=_LR, momentum=0.9, weight_decay=3e-4)
        for index in range(settings.epochs):
            paths.probability = settings.drop_path * index / settings.epochs
            _epoch(net, images.train, optimizer, settings, index)
            reached = accuracy(net, images.validation)
            if reached > best:
                best, state, epoch = reached, copy.deepcopy(net.state_dict()), index + 1
    net.load_state_dict(state)
    size = sum(p.numel() for p in net.parameters())
    operations = {f"{a}->{b}": "+".join(graph.names[a, b]) for a, b in graph.edges}
    return Retrained(size, accuracy(net, images.test), best, epoch, operations)


def _epoch(
    net: nn.Module, data: Part, optimizer: ClippedSGD, settings: Settings, index: int
) -> None:
    """One pass over the sample; the learning rate falls to 0 by a cosine over all of them."""
    x, y = data
    net.train()
    order = torch.randperm(len(x)).to(x.device)
    batches = order.split(_BATCH)
    for position, rows in enumerate(batches):
        progress = (index + position / len(batches)) / settings.epochs
        optimizer.param_groups[0]["lr"] = _LR * 0.5 * (1 + math.cos(math.pi * progress))
        optimizer.zero_grad()
        F.cross_entropy(net(cut_out(x[rows], settings.cutout)), y[rows]).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(net: nn.Module, data: Part) -> float:
    """Share of images in the right class."""
    net.eval()
    batches = zip(*(value.split(_BATCH) for value in data), strict=True)
    right = sum(int((net(x).argmax(1) == y).sum()) for x, y in batches)
    return right / len(data[0])


def cut_out(x: Tensor, side: int) -> Tensor:
    """Zero a square of every image, at a random centre (DeVries, Taylor 2017).

    Args:
        x: images ``[n, c, h, w]``.
        side: of the square; 0 leaves the images as they are.
    """
    if side == 0:
        return x
    n, _, height, width = x.shape
    keep = torch.zeros(n, height, width, dtype=torch.bool, device=x.device)
    for size, dim in ((height, 1), (width, 2)):
        centre = torch.randint(size, (n, 1, 1), device=x.device)
        view = (1, size, 1) if dim == 1 else (1, 1, size)
        place = torch.arange(size, device=x.device).view(view)
        keep = keep | (place < centre - side // 2) | (place >= centre + side - side // 2)
    return x * keep.unsqueeze(1)


class DropPath:
    """Leave out the value of an operation for some examples, and scale it up for the others.

    Operations that hand their input on unchanged are never left out, as in DARTS.

    Args:
        graph: whose operations get the hook; edges of a cell, that is those to its nodes.

    Attributes:
        probability: of leaving out.
    """

    def __init__(self, graph: Graph) -> None:
        """Hook into the operations; see the class."""
        self.probability = 0.0
        for edge in graph.edges:
            for name in graph.names[edge]:
                module = graph.primitive(edge, name)
                if "node" in edge[1] and not isinstance(module, nn.Identity):
                    module.register_forward_hook(self._hook)

    def _hook(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        if not module.training or self.probability == 0:
            return output
        kept = 1 - self.probability
        ones = (1,) * (output.ndim - 1)
        mask = torch.full((len(output), *ones), kept, device=output.device).bernoulli()
        return output * mask / kept
