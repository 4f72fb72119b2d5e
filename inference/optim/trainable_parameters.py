"""What an optimiser updates: flat vectors, and how a model's parameters come from them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bayesnas.inference.config.amortization import NONE, Amortization, Values
from bayesnas.inference.optim.flat_parameters import FlatParameters, flatten_parameters
from bayesnas.inference.optim.optimizer_state import interpolate_state
from bayesnas.models.base import BayesianModel
from bayesnas.nn.hypernetworks.base import ConstantNet, Hypernet, HypernetInputs
from bayesnas.nn.hypernetworks.parameter_map import Pairs, ParameterMap
from bayesnas.nn.modules.parameter_names import below, matching

_NO_GAUSSIANS: Mapping[str, str] = {}


@dataclass
class ParameterGroup:
    """Parameters of one type and device, and what they are made from.

    Attributes:
        names: of the parameters.
        upper: whether they are those of the upper level of a bilevel fit.
        flat: one vector behind the parameters and one behind their gradients.
        net: gives that vector at a KL weight, and at other metaparameters.
        gradients: of every leaf of ``net``.
    """

    names: list[str]
    upper: bool
    flat: FlatParameters
    net: Hypernet
    gradients: list[Tensor]


@dataclass
class ActiveLeaves:
    """What a step at one KL weight reads and updates.

    Attributes:
        places: where every group is, in the order of the groups.
        positions: of the vectors in use among all leaves.
        leaves: the vectors in use, over all groups.
        gradients: their gradients.
        moves: whether each of them has any influence; one that has none is not updated.
    """

    places: list[HypernetInputs]
    positions: list[int]
    leaves: list[nn.Parameter]
    gradients: list[Tensor]
    moves: list[bool]

    @property
    def inputs(self) -> list[float]:
        """The numbers that the maps take, over all groups."""
        return [value for place in self.places for value in place.inputs]


class TrainableParameters:
    """The trainable parameters of a model, constant or functions of metaparameters.

    These are the KL weight, and what else the fit is over; see
    :class:`~bayesnas.inference.config.amortization.Amortization`. The parameters' storage moves
    into one flat vector a group; an amortised fit fills that vector anew at every step, a fit at
    one KL weight trains it itself.

    Args:
        parameters: of the model, trainable, by name.
        amortization: of the fit, None for a fit at one KL weight.
        upper: beginnings of the names of those that belong to the upper level of a bilevel fit.
        gaussians: from the name of the mean of a Gaussian factor to that of its log standard
            deviation; see :meth:`~bayesnas.models.base.BayesianModel.gaussian_parameters`.

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
        gaussians: Mapping[str, str] = _NO_GAUSSIANS,
    ) -> None:
        """Flatten the parameters and make the maps; see the class."""
        self.amortization = amortization
        names = list(parameters)
        above = set(matching(names, upper, "bilevel.parameters"))
        maps = [None if amortization is None else amortization.map.of(name) for name in names]
        if amortization is not None:
            amortization.map.check_names(names)
        kinds = [(name in above, each) for name, each in zip(names, maps, strict=True)]
        self.groups = []
        self._only_use: ActiveLeaves | None = None  # of constant parameters: the same at every λ
        for indices, flat in flatten_parameters(list(parameters.values()), kinds):
            members = [names[index] for index in indices]
            net = _net(flat, amortization, maps[indices[0]], _pairs(members, gaussians))
            gradients = [torch.zeros_like(leaf) for leaf in net.leaves]
            if amortization is None:
                gradients = [flat.gradient]
            self.groups.append(ParameterGroup(members, members[0] in above, flat, net, gradients))

    @property
    def leaves(self) -> list[nn.Parameter]:
        """What an optimiser trains, over all groups."""
        return [leaf for group in self.groups for leaf in group.net.leaves]

    @property
    def gradients(self) -> list[Tensor]:
        """The gradient of every leaf."""
        return [gradient for group in self.groups for gradient in group.gradients]

    @property
    def names(self) -> list[str]:
        """Names of the parameters, over all groups."""
        return [name for group in self.groups for name in group.names]

    def level(self, *, upper: bool) -> TrainableParameters:
        """Those of one level of a bilevel fit; nothing is copied."""
        of_level = copy.copy(self)
        of_level.groups = [group for group in self.groups if group.upper == upper]
        of_level._only_use = None
        return of_level

    def use(self, kl_weight: float, metaparameters: Values = NONE) -> ActiveLeaves:
        """What a step at a KL weight reads and updates."""
        if self._only_use is not None:
            return self._only_use
        t = self._place_of(kl_weight, metaparameters)
        places = [group.net.place(*t) for group in self.groups]
        active, before = ActiveLeaves(places, [], [], [], []), 0
        for group, place in zip(self.groups, places, strict=True):
            active.positions += [before + index for index in place.leaves]
            before += len(group.net.leaves)
            active.leaves += [group.net.leaves[index] for index in place.leaves]
            active.gradients += [group.gradients[index] for index in place.leaves]
            active.moves += place.moves
        if self.amortization is None:
            self._only_use = active
        return active

    def _place_of(self, kl_weight: float, metaparameters: Values) -> tuple[float, ...]:
        """What the maps take, the normalised log λ first; nothing for constant ones."""
        if self.amortization is None:
            return ()
        return self.amortization.normalised(kl_weight, metaparameters)

    @torch.no_grad()
    def at(self, kl_weight: float, metaparameters: Values = NONE) -> dict[str, Tensor]:
        """The model's parameters at a KL weight, by name; nothing is changed."""
        t = self._place_of(kl_weight, metaparameters)
        return {
            name: value
            for group in self.groups
            for name, value in zip(group.names, group.flat.split(group.net.at(*t)), strict=True)
        }

    def write(self, kl_weight: float, metaparameters: Values = NONE) -> None:
        """Set the model's parameters to those at a KL weight; nothing to do for constant ones."""
        if self.amortization is None:
            return
        t = self._place_of(kl_weight, metaparameters)
        for group in self.groups:
            group.flat.values.data.copy_(group.net.at(*t))

    def pull_back(self, use: ActiveLeaves) -> None:
        """Write the gradients of the leaves in use, from those of the model's parameters."""
        if self.amortization is None:
            return
        gradients = [
            gradient
            for group, place in zip(self.groups, use.places, strict=True)
            for gradient in group.net.pull_back(place, group.flat.gradient)
        ]
        for written, gradient in zip(use.gradients, gradients, strict=True):
            written.copy_(gradient)

    def offer(self, use: ActiveLeaves) -> None:
        """Leave a gradient with the leaves that a step moves, and none with the others."""
        if self.amortization is None:
            return
        for leaf in self.leaves:
            leaf.grad = None
        for leaf, gradient, moves in zip(use.leaves, use.gradients, use.moves, strict=True):
            leaf.grad = gradient if moves else None

    def refine(self, progress: float, optimizer: torch.optim.Optimizer) -> bool:
        """Let the maps become finer, and the optimiser's state of their leaves with them.

        Returns:
            whether any became finer.
        """
        finer = False
        for group in self.groups:
            for filled in group.net.refine(progress):
                interpolate_state(optimizer, list(group.net.leaves), filled)
                finer = True
        return finer

    def move(self, leaves: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Let leaves and gradients lie in other tensors, which hold the same values."""
        self._only_use = None
        tensors = iter(zip(leaves, gradients, strict=True))
        for group in self.groups:
            of_group = [next(tensors) for _ in group.net.leaves]
            for leaf, (value, _) in zip(group.net.leaves, of_group, strict=True):
                leaf.data = value
            group.gradients = [gradient for _, gradient in of_group]
            if self.amortization is None:
                group.flat.move(*of_group[0])

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


def parameters_of(
    model: BayesianModel, amortization: Amortization | None, upper: Sequence[str] = ()
) -> TrainableParameters:
    """The trainable parameters of a model, as it declares them; see the class."""
    return TrainableParameters(
        trainable(model), amortization, upper, gaussians=model.gaussian_parameters()
    )


def constant_parameters(model: nn.Module, trained: TrainableParameters) -> dict[str, nn.Parameter]:
    """The trainable parameters that are not among those of a step, by name: another level's."""
    names = set(trained.names)
    return {name: value for name, value in trainable(model).items() if name not in names}


def running_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that a forward pass may change, such as running statistics, by name."""
    kept = model.state_dict(keep_vars=True)
    named = model.named_buffers()
    return {name: b for name, b in named if name in kept and b.dtype != torch.bool}


def _pairs(names: Sequence[str], gaussians: Mapping[str, str]) -> list[tuple[int, int]]:
    """Positions of both parameters of a Gaussian factor, where both are trained by one map."""
    position = {name: index for index, name in enumerate(names)}
    return [
        (position[mean], position[log_scale])
        for mean, log_scale in gaussians.items()
        if mean in position and log_scale in position
    ]


def _net(
    flat: FlatParameters,
    amortization: Amortization | None,
    kind: ParameterMap | None,
    gaussians: Pairs,
) -> Hypernet:
    if amortization is None or kind is None:
        return ConstantNet(flat.values)
    values = flat.values.detach().clone()
    net = kind.build(values, flat.shapes, *amortization.axes, gaussians=gaussians)
    return net.to(values.device)
