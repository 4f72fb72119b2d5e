"""What an optimiser updates: flat vectors, and how a model's parameters come from them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bayesnas.inference.amortize import Amortization
from bayesnas.inference.flat import FlatParameters, flatten_parameters
from bayesnas.nn.hypernet import ConstantNet, Filled, Hypernet, Place
from bayesnas.nn.names import below, matching
from bayesnas.nn.parameter_map import ParameterMap

BETAS = (0.9, 0.999)


@dataclass
class Group:
    """Parameters of one type and device, and what they are made from.

    Attributes:
        names: of the parameters.
        upper: whether they are those of the upper level of a two-level fit.
        flat: one vector behind the parameters and one behind their gradients.
        net: gives that vector at a KL weight.
        gradients: of every leaf of ``net``.
    """

    names: list[str]
    upper: bool
    flat: FlatParameters
    net: Hypernet
    gradients: list[Tensor]


@dataclass
class Use:
    """What a step at one KL weight reads and updates.

    Attributes:
        places: where every group is, in the order of the groups.
        leaves: the vectors in use, over all groups.
        gradients: their gradients.
        moves: whether each of them has any influence; one that has none is not updated.
    """

    places: list[Place]
    leaves: list[nn.Parameter]
    gradients: list[Tensor]
    moves: list[bool]

    @property
    def inputs(self) -> list[float]:
        """The numbers that the maps take, over all groups."""
        return [value for place in self.places for value in place.inputs]


class TrainedParameters:
    """The trainable parameters of a model, constant or functions of the KL weight.

    Their storage moves into one flat vector a group; an amortised fit fills that vector anew at
    every step, a fit at one KL weight trains it itself.

    Args:
        parameters: of the model, trainable, by name.
        amortization: of the fit, None for a fit at one KL weight.
        upper: beginnings of the names of those that belong to the upper level of a two-level fit.

    Attributes:
        groups: by type, device, level and kind of map.

    Raises:
        ValueError: for a beginning of a name, here or in the maps, that no parameter has.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        amortization: Amortization | None,
        upper: Sequence[str] = (),
    ) -> None:
        """Flatten the parameters and make the maps; see the class."""
        self.amortization = amortization
        names = list(parameters)
        above = set(matching(names, upper, "bilevel.parameters"))
        maps = [None if amortization is None else amortization.map.of(name) for name in names]
        if amortization is not None:
            amortization.map.check_names(names)
        kinds = [(name in above, found) for name, found in zip(names, maps, strict=True)]
        self.groups = []
        for indices, flat in flatten_parameters(list(parameters.values()), kinds):
            net = _net(flat, amortization, maps[indices[0]])
            gradients = [torch.zeros_like(leaf) for leaf in net.leaves]
            if amortization is None:
                gradients = [flat.gradient]
            members = [names[index] for index in indices]
            self.groups.append(Group(members, members[0] in above, flat, net, gradients))

    @property
    def leaves(self) -> list[nn.Parameter]:
        """What an optimiser trains, over all groups."""
        return [leaf for group in self.groups for leaf in group.net.leaves]

    @property
    def names(self) -> list[str]:
        """Names of the parameters, over all groups."""
        return [name for group in self.groups for name in group.names]

    def level(self, *, upper: bool) -> TrainedParameters:
        """Those of one level of a two-level fit; nothing is copied."""
        found = copy.copy(self)
        found.groups = [group for group in self.groups if group.upper == upper]
        return found

    def use(self, kl_weight: float) -> Use:
        """What a step at a KL weight reads and updates."""
        t = 0.0 if self.amortization is None else self.amortization.span.normalised(kl_weight)
        places = [group.net.place(t) for group in self.groups]
        found = Use(places, [], [], [])
        for group, place in zip(self.groups, places, strict=True):
            found.leaves += [group.net.leaves[index] for index in place.leaves]
            found.gradients += [group.gradients[index] for index in place.leaves]
            found.moves += place.moves
        return found

    def write(self, kl_weight: float) -> None:
        """Set the model's parameters to those at a KL weight; nothing to do for constant ones."""
        if self.amortization is None:
            return
        t = self.amortization.span.normalised(kl_weight)
        for group in self.groups:
            group.flat.values.data.copy_(group.net.at(t))

    def pull_back(self, use: Use) -> None:
        """Write the gradients of the leaves in use, from those of the model's parameters."""
        if self.amortization is None:
            return
        found = [
            gradient
            for group, place in zip(self.groups, use.places, strict=True)
            for gradient in group.net.pull_back(place, group.flat.gradient)
        ]
        for held, gradient in zip(use.gradients, found, strict=True):
            held.copy_(gradient)

    def offer(self, use: Use) -> None:
        """Leave a gradient with the leaves that a step moves, and none with the others."""
        if self.amortization is None:
            return
        for leaf in self.leaves:
            leaf.grad = None
        for leaf, gradient, moves in zip(use.leaves, use.gradients, use.moves, strict=True):
            leaf.grad = gradient if moves else None

    def refine(self, progress: float, optimizer: torch.optim.Optimizer) -> None:
        """Let the maps become finer, and the optimiser's state of their leaves with them."""
        for group in self.groups:
            for filled in group.net.refine(progress):
                _interpolate_state(optimizer, list(group.net.leaves), filled)

    def state(self) -> dict[str, Tensor]:
        """State of the maps; empty for constant parameters, which are the model's own."""
        if self.amortization is None:
            return {}
        return {
            f"{index}.{name}": value
            for index, group in enumerate(self.groups)
            for name, value in group.net.state_dict().items()
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave.

        Raises:
            RuntimeError: where it is of another map.
        """
        if self.amortization is None:
            return
        for index, group in enumerate(self.groups):
            group.net.load_state_dict(below(f"{index}.", state))


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a model that are trained, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def running_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that a forward pass may change, such as running statistics, by name."""
    kept = model.state_dict(keep_vars=True)
    named = model.named_buffers()
    return {name: b for name, b in named if name in kept and b.dtype != torch.bool}


def _net(
    flat: FlatParameters, amortization: Amortization | None, kind: ParameterMap | None
) -> Hypernet:
    if amortization is None or kind is None:
        return ConstantNet(flat.values)
    values = flat.values.detach().clone()
    return kind.build(values, flat.shapes, amortization.span).to(values.device)


@torch.no_grad()
def _interpolate_state(
    optimizer: torch.optim.Optimizer, leaves: Sequence[nn.Parameter], filled: Filled
) -> None:
    left, right = (optimizer.state.get(leaves[index]) for index in (filled.left, filled.right))
    if not left or not right:
        return
    held = optimizer.state[leaves[filled.leaf]]
    for name, value in left.items():
        if isinstance(value, Tensor) and value.shape == leaves[filled.leaf].shape:
            held[name] = value.lerp(right[name], filled.share)
        else:
            held[name] = value.clone() if isinstance(value, Tensor) else value


StepCounts = dict[nn.Parameter, tuple[Tensor, int]]
"""Adam's count of a leaf's steps, and what it is as a number: reading it waits for a GPU."""


def adam_scalars(
    optimizer: torch.optim.Optimizer, use: Use, lr: float, counts: StepCounts
) -> list[float]:
    """Count a step of Adam, and return what it needs of every leaf in use.

    Args:
        optimizer: Adam over the leaves.
        use: of the step.
        lr: learning rate.
        counts: of the steps before, brought up to date.

    Returns:
        step size lr / (1 − β₁ᵗ), second correction √(1 − β₂ᵗ), and the weights 1 − β₁ and
        1 − β₂ of the new gradient in the moments, a leaf after the other; what leaves
        everything as it is for a leaf that does not move.
    """
    found = []
    for leaf, moves in zip(use.leaves, use.moves, strict=True):
        if not moves:
            found += [0.0, 1.0, 0.0, 0.0]
            continue
        step = adam_state(optimizer, leaf)["step"]
        known, taken = counts.get(leaf, (None, 0))
        taken = taken + 1 if known is step else int(step) + 1
        step += 1
        counts[leaf] = step, taken
        corrections = [1 - beta**taken for beta in BETAS]
        found += [lr / corrections[0], math.sqrt(corrections[1]), 1 - BETAS[0], 1 - BETAS[1]]
    return found


def adam_state(optimizer: torch.optim.Optimizer, leaf: nn.Parameter) -> dict[str, Tensor]:
    """Adam's state of a leaf, in the optimiser's own books; created where there is none yet."""
    state: dict[str, Tensor] = optimizer.state[leaf]
    if not state:
        state["step"] = torch.zeros((), device=leaf.device)
        state["exp_avg"] = torch.zeros_like(leaf.data)
        state["exp_avg_sq"] = torch.zeros_like(leaf.data)
    return state
