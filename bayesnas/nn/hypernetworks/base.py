"""Parameters as functions of metaparameters: hypernetworks, for any guide and any shape.

A hypernetwork gives the flat vector θ(t) of all trainable parameters of a model, as a function
of t, the normalised log λ: t = 0 at the lower end of the range of λ and 1 at the upper. Where
there are more metaparameters than the KL weight λ, t has a number for each. It knows neither guide
nor prior, only how many numbers there are and their shapes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from bayesnas.nn.functional_call import functional_call


@dataclass(frozen=True)
class HypernetInputs:
    """What θ(t) depends on at one t.

    Attributes:
        leaves: indices of the leaves in use, in the order :meth:`Hypernet.combine` takes them.
        moves: whether a step updates each of them: not one without influence, nor one that a map
            trains at other t.
        inputs: numbers that :meth:`Hypernet.combine` takes besides; as many at every t.
    """

    leaves: tuple[int, ...]
    moves: tuple[bool, ...]
    inputs: tuple[float, ...]


@dataclass(frozen=True)
class InsertedKnot:
    """A leaf that was set between others, Σ shareᵢ · leafᵢ; the shares add up to 1."""

    leaf: int
    sources: tuple[int, ...]
    shares: tuple[float, ...]


class Hypernet(nn.Module, abc.ABC):
    """θ(t) ∈ R^P from t ∈ [0, 1]^d.

    Attributes:
        leaves: the trainable parameters, flat vectors. A step at one t reads and updates only
            those that θ(t) depends on.
    """

    leaves: nn.ParameterList

    @abc.abstractmethod
    def place(self, *t: float) -> HypernetInputs:
        """Which leaves make up θ(t), and how."""

    @abc.abstractmethod
    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """θ, ``[P]``, differentiable in what a :class:`HypernetInputs` names and gives."""

    def refine(self, progress: float) -> list[InsertedKnot]:
        """Become finer as training goes on; θ(t) does not change by it.

        Args:
            progress: fraction of the training done, in [0, 1).

        Returns:
            the leaves set by it; what an optimiser knows of them is to be set alike.
        """
        return []

    @torch.no_grad()
    def at(self, *t: float) -> Tensor:
        """θ(t), ``[P]``."""
        leaves, inputs = self._arguments(self.place(*t))
        return self.combine(leaves, inputs)

    def pull_back(self, place: HypernetInputs, gradient: Tensor) -> list[Tensor]:
        """Gradients of a loss by the leaves of a place, from its gradient by θ, ``[P]``."""
        leaves, inputs = self._arguments(place)
        leaves = [leaf.requires_grad_() for leaf in leaves]
        with torch.enable_grad():
            parameters = self.combine(leaves, inputs)
        return list(torch.autograd.grad(parameters, leaves, gradient))

    def _arguments(self, place: HypernetInputs) -> tuple[list[Tensor], Tensor]:
        leaves = [self.leaves[index].detach() for index in place.leaves]
        return leaves, leaves[0].new_tensor(place.inputs)


class ConstantNet(Hypernet):
    """θ that is the same at every t: what a fit at one KL weight trains.

    Args:
        values: θ, ``[P]``; trained itself, not a copy.
    """

    def __init__(self, values: nn.Parameter) -> None:
        """Take ``values`` as the one leaf; see the class."""
        super().__init__()
        self.leaves = nn.ParameterList([values])

    def place(self, *t: float) -> HypernetInputs:
        """The one leaf."""
        return HypernetInputs((0,), (True,), ())

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """The leaf itself."""
        return leaves[0]


class ModuleNet(Hypernet):
    """θ from a module of the user's: ``module(t)`` with t a tensor ``[d]`` gives θ, ``[P]``.

    Args:
        module: any module; a copy of its parameters is trained.
        initial: what θ is without it, ``[P]``; only its size and type are used.
        axes: d, 1 where λ is the only metaparameter.

    Raises:
        ValueError: if it has no parameters, or does not give P numbers.
    """

    def __init__(self, module: nn.Module, initial: Tensor, axes: int = 1) -> None:
        """Flatten the module's parameters and try it out; see the class."""
        super().__init__()
        named = dict(module.named_parameters())
        if not named:
            raise ValueError(f"amortize: {type(module).__name__} has no parameters to train")
        self._names = list(named)
        self._shapes = [value.shape for value in named.values()]
        flat = torch.cat([value.detach().flatten() for value in named.values()]).to(initial)
        self.leaves = nn.ParameterList([nn.Parameter(flat)])
        self._module = [module]  # in a list: its parameters are not among this module's
        first = self.at(*[0.5] * axes)
        if first.shape != initial.shape:
            raise ValueError(
                f"amortize: {type(module).__name__} must give the {initial.numel()} trainable "
                f"parameters as one vector, got shape {list(first.shape)}"
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._module[0]._apply(fn)  # buffers follow the leaves
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def place(self, *t: float) -> HypernetInputs:
        """All of it, at t."""
        return HypernetInputs((0,), (True,), t)

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Call the module."""
        pieces = leaves[0].split([shape.numel() for shape in self._shapes])
        named = {
            name: piece.view(shape)
            for name, piece, shape in zip(self._names, pieces, self._shapes, strict=True)
        }
        parameters: Tensor = functional_call(self._module[0], named, (inputs,))
        return parameters
