"""Lottery tickets: sparse networks from the rewinding point, and the controls beside them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args, overload

import torch
from torch import Tensor, nn

from bayesnas.checks import choice, flag, seed_number
from bayesnas.inference.compression.plain_networks.pruned import Pruned
from bayesnas.inference.compression.plain_networks.training import PlainTask, Training, train
from bayesnas.inference.config.inputs import Data
from bayesnas.likelihoods import Likelihood
from bayesnas.nn.modules.stochastic_layers import (
    StochasticLayers,
    no_layer,
    reset_deterministic,
)
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed

Control = Literal["reinitialised", "random"]

# A user who seeds torch and a control alike gets other weights all the same.
_CONTROLS = 0x1077E257


@dataclass(frozen=True, repr=False)
class Ticket(Pruned):
    """A sparse network trained from the rewinding point.

    Attributes:
        start: the network at the rewinding point, with all its weights; the ticket was trained from
            those that it keeps.
        how: how it was trained, its masks among that.
        likelihood: of the targets, as it was before any training.

    >>> import torch, bayesnas as bn
    >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> data = (x, (x[:, 0] > 0).long())
    >>> tickets = bn.lottery_tickets(bn.nn.mlp([3, 8, 2]), data, rounds=1, epochs=1, progress=False)
    >>> tickets.tickets[1].module(torch.ones(1, 3)).shape
    torch.Size([1, 2])
    """

    start: nn.Module = field(repr=False)
    how: Training = field(repr=False)
    likelihood: Likelihood = field(repr=False)

    @torch.no_grad()
    def untrained(self, *, signed_constant: bool = False) -> nn.Module:
        """The weights of the rewinding point that the ticket keeps: a mask on an untrained network.

        Args:
            signed_constant: whether each is its sign times the standard deviation of its layer at
                the rewinding point (Zhou et al. 2019).

        Raises:
            TypeError: for what is neither True nor False.
        """
        signed = flag("signed_constant", signed_constant)
        net = copy.deepcopy(self.start)
        for name, mask in self.masks.items():
            weight = net.get_parameter(name)
            if signed and weight.ndim > 1:
                weight.copy_(weight.sign() * weight.std())
            weight.mul_(mask)
        return net.eval()

    @typed(unchecked=("data",))
    def control(
        self, data: Data, kind: Control, *, seed: int = 0, device: str | torch.device = "auto"
    ) -> Ticket:
        """Train what the ticket is compared with, by the same steps on as many weights.

        Args:
            data: the training data of the ticket.
            kind: ``"reinitialised"``, the same weights stay, their initial values drawn anew by
                each layer's ``reset_parameters`` (Frankle, Carbin 2019); ``"random"``, the weights
                of the rewinding point, as many of each layer, at random places.
            seed: of what is drawn, and of the order of the data.
            device: where to compute.

        Raises:
            ValueError: for another kind, or data that the network does not take.
            TypeError: naming data that are no part of a data set and no pair.
        """
        choice("kind", kind, get_args(Control))
        seed, where = seed_number("seed", seed), resolve_device(device)
        task = PlainTask.of(self.start, data, self.likelihood, None)
        masks = dict(self.masks)
        with RandomStream(seed ^ _CONTROLS, where).active():
            if kind == "reinitialised":
                reset_deterministic(task.net, StochasticLayers(task.net, no_layer))
            else:
                masks = {name: _shuffled(mask) for name, mask in masks.items()}
            return trained_ticket(task, replace(self.how, masks=masks), where)


@dataclass(frozen=True, repr=False)
class LotteryTickets(Sequence[Ticket]):
    """The tickets of iterative magnitude pruning, from the dense network to the sparsest one.

    Attributes:
        tickets: by round; that of round 0 has all weights.

    >>> import torch, bayesnas as bn
    >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> data = (x, (x[:, 0] > 0).long())
    >>> result = bn.lottery_tickets(bn.nn.mlp([3, 8, 2]), data, rounds=2, epochs=1, progress=False)
    >>> len(result.tickets)
    3
    """

    tickets: tuple[Ticket, ...]

    @overload
    def __getitem__(self, index: int) -> Ticket: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Ticket, ...]: ...

    def __getitem__(self, index: int | slice) -> Ticket | tuple[Ticket, ...]:
        """The ticket of a round, or those of some."""
        return self.tickets[index]

    def __len__(self) -> int:
        """Rounds, the dense network among them."""
        return len(self.tickets)

    def __iter__(self) -> Iterator[Ticket]:
        """From the dense network on."""
        return iter(self.tickets)

    def __repr__(self) -> str:
        """How many, and from which share of the weights to which."""
        first, last = self.tickets[0].kept, self.tickets[-1].kept
        return f"LotteryTickets({len(self)}, {100 * first:g} to {100 * last:.3g} % of the weights)"


def trained_ticket(task: PlainTask, how: Training, device: torch.device) -> Ticket:
    """Train a copy of a network; the caller seeds and restores random numbers.

    Args:
        task: the network at the rewinding point, with all its weights.
        how: the training, with the masks of the ticket.
        device: where to compute.
    """
    placed = replace(
        task, net=copy.deepcopy(task.net), likelihood=copy.deepcopy(task.likelihood)
    ).to(device)
    masks = {name: mask.to(device) for name, mask in how.masks.items()}
    train(placed.net.train(), placed.likelihood, placed.sample, replace(how, masks=masks))
    return Ticket(
        placed.net.eval().cpu(),
        {name: mask.cpu() for name, mask in masks.items()},
        task.sample.x[:2].cpu(),
        task.net.eval(),
        how,
        task.likelihood,
    )


def _shuffled(mask: Tensor) -> Tensor:
    """As many kept, at random places."""
    return mask.flatten()[torch.randperm(mask.numel())].reshape(mask.shape)
