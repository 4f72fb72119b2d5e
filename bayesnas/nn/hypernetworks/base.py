"""Parameters as functions of the KL weight λ: hypernetworks, for any guide and any shape.

A hypernetwork gives the flat vector θ(t) of all trainable parameters of a model, as a function
of t, the normalised log λ: t = 0 at the lower end of the range of λ and 1 at the upper. It
knows neither guide nor prior, only how many numbers there are and their shapes.
"""

from __future__ import annotations

import abc
import bisect
import math
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
    """A leaf that was set between two others, (1 − share) · left + share · right."""

    leaf: int
    left: int
    right: int
    share: float


class Hypernet(nn.Module, abc.ABC):
    """θ(t) ∈ R^P from t ∈ [0, 1].

    Attributes:
        leaves: the trainable parameters, flat vectors. A step at one t reads and updates only
            those that θ(t) depends on.
    """

    leaves: nn.ParameterList

    @abc.abstractmethod
    def place(self, t: float) -> HypernetInputs:
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
    def at(self, t: float) -> Tensor:
        """θ(t), ``[P]``."""
        leaves, inputs = self._arguments(self.place(t))
        return self.combine(leaves, inputs)

    def pull_back(self, place: HypernetInputs, gradient: Tensor) -> list[Tensor]:
        """Gradients of a loss by the leaves of a place, from its gradient by θ, ``[P]``."""
        leaves, inputs = self._arguments(place)
        leaves = [leaf.requires_grad_() for leaf in leaves]
        with torch.enable_grad():
            found = self.combine(leaves, inputs)
        return list(torch.autograd.grad(found, leaves, gradient))

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

    def place(self, t: float) -> HypernetInputs:
        """The one leaf."""
        return HypernetInputs((0,), (True,), ())

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """The leaf itself."""
        return leaves[0]


class PiecewiseLinearNet(Hypernet):
    r"""θ linear in t between knots, exact at them.

    .. math:: \theta(t) = (1 - w)\,\theta_k + w\,\theta_{k+1},\quad w = (t - t_k)/(t_{k+1} - t_k)

    Training starts with the two ends alone; the knots between them come in by halves, at the
    fractions :data:`REFINED_AT` of the steps, each set to the value of θ where it stands. So
    what all λ have in common is learned once, from every step.

    Args:
        initial: starting value of θ, ``[P]``.
        knots: t of every knot, increasing, from 0 to 1.
        coarse_to_fine: False has all knots from the start.

    >>> import torch
    >>> net = PiecewiseLinearNet(torch.zeros(2), [0.0, 0.5, 1.0], coarse_to_fine=False)
    >>> _ = net.leaves[1].data.fill_(1.0)
    >>> net.at(0.5), net.at(0.75)
    (tensor([1., 1.]), tensor([0.5000, 0.5000]))
    """

    def __init__(
        self, initial: Tensor, knots: Sequence[float], *, coarse_to_fine: bool = True
    ) -> None:
        """Set every knot to the starting value; see the class."""
        super().__init__()
        self.knots = tuple(float(knot) for knot in knots)
        self.leaves = nn.ParameterList([nn.Parameter(initial.clone()) for _ in self.knots])
        halvings = math.ceil(math.log2(len(self.knots) - 1)) if coarse_to_fine else 0
        self._refined_at = REFINED_AT[len(REFINED_AT) - min(halvings, len(REFINED_AT)) :]
        self.active = self._active_at(0.0)

    def _active_at(self, progress: float) -> list[int]:
        """Every 2^level-th knot, and the last."""
        level = sum(progress < fraction for fraction in self._refined_at)
        last = len(self.knots) - 1
        return [*range(0, last, 2**level), last]

    def place(self, t: float) -> HypernetInputs:
        """The two active knots around t."""
        inner = self.active[1:-1]
        position = bisect.bisect_right([self.knots[index] for index in inner], t)
        left, right = self.active[position], self.active[position + 1]
        share = (t - self.knots[left]) / (self.knots[right] - self.knots[left])
        return HypernetInputs((left, right), (share < 1.0, share > 0.0), (1.0 - share, share))

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Weighted sum of the two knots."""
        left, right = inputs.unbind()
        return left * leaves[0] + right * leaves[1]

    @torch.no_grad()
    def refine(self, progress: float) -> list[InsertedKnot]:
        """Bring in the knots that are due."""
        due = self._active_at(progress)
        filled = []
        for leaf in sorted(set(due) - set(self.active)):
            place = self.place(self.knots[leaf])
            self.leaves[leaf].data.copy_(self.at(self.knots[leaf]))
            left, right = place.leaves
            filled.append(InsertedKnot(leaf, left, right, place.inputs[1]))
        if filled:
            self.active = due
        return filled

    def get_extra_state(self) -> Tensor:
        """Which knots are active: part of ``state_dict``."""
        return torch.tensor(self.active)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what :meth:`get_extra_state` gave."""
        self.active = state.tolist()


REFINED_AT = (0.0037, 0.011, 0.033, 0.1, 0.3)
"""Fractions of the steps after which a piecewise linear map takes in more knots, the last for
its finest level (docs/benchmarks.md)."""


class ModuleNet(Hypernet):
    """θ from a module of the user's: ``module(t)`` with t a tensor ``[1]`` gives θ, ``[P]``.

    Args:
        module: any module; a copy of its parameters is trained.
        initial: what θ is without it, ``[P]``; only its size and type are used.

    Raises:
        ValueError: if it has no parameters, or does not give P numbers.
    """

    def __init__(self, module: nn.Module, initial: Tensor) -> None:
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
        found = self.at(0.5)
        if found.shape != initial.shape:
            raise ValueError(
                f"amortize: {type(module).__name__} must give the {initial.numel()} trainable "
                f"parameters as one vector, got shape {list(found.shape)}"
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._module[0]._apply(fn)  # buffers follow the leaves
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def place(self, t: float) -> HypernetInputs:
        """All of it, at t."""
        return HypernetInputs((0,), (True,), (t,))

    def combine(self, leaves: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Call the module."""
        pieces = leaves[0].split([shape.numel() for shape in self._shapes])
        named = {
            name: piece.view(shape)
            for name, piece, shape in zip(self._names, pieces, self._shapes, strict=True)
        }
        found: Tensor = functional_call(self._module[0], named, (inputs,))
        return found
