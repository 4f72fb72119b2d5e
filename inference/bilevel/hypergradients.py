"""Hypergradients: derivatives of an upper loss by h, where θ minimises a lower loss given h."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor

from bayesnas.checks import choice, non_negative, positive, shown, step_count
from bayesnas.inference.bilevel.derivatives import as_leaves, gradient
from bayesnas.inference.bilevel.linear_solvers import (
    Tensors,
    conjugate_gradients,
    dot,
    neumann_series,
)
from bayesnas.inference.bilevel.unroll import unroll
from bayesnas.typed import typed

Loss = Callable[[Tensors, Tensors], Tensor]
"""A loss ``[]`` as a function of θ and h, each a sequence of tensors of any shapes."""

_SOLVERS = ("cg", "neumann")


class Hypergradient(abc.ABC):
    """A way to find dL(θ*(h), h)/dh, where θ*(h) minimises a lower loss ℓ(θ, h)."""

    kind: ClassVar[str]

    @abc.abstractmethod
    def __call__(
        self, upper: Loss, lower: Loss, theta: Tensors, h: Tensors, lr: float | Tensor
    ) -> list[Tensor]:
        """The hypergradient, a tensor for each of ``h``.

        All operations are torch's and of a number known before, so that it can be traced by
        ``make_fx``. A loss that is random draws anew at every call, and keeps its draws where
        it is differentiated twice.

        Args:
            upper: L.
            lower: ℓ, differentiable twice.
            theta: where the lower problem stands; for :class:`Implicit` it should be solved.
            h: hyperparameters.
            lr: step size of the lower level, for a kind that has none of its own.
        """

    def config(self) -> dict[str, Any]:
        """Kind and options, as JSON values."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Greedy(Hypergradient):
    r"""θ* taken to be where θ is, whatever h: ∂L/∂h; "first-order" DARTS.

    It is zero for an h that acts on the lower loss alone, such as the scale of a prior.

    References:
        Liu, Simonyan, Yang, *DARTS: differentiable architecture search*, 2019; Luketina et al.,
        *Scalable gradient-based tuning of continuous regularization hyperparameters*, 2016.

    >>> import torch
    >>> h = [torch.tensor(2.0)]
    >>> upper = lambda theta, h: theta[0] * h[0] ** 2
    >>> Greedy()(upper, lambda theta, h: theta[0] ** 2, [torch.tensor(3.0)], h, 0.1)
    [tensor(12.)]
    """

    kind: ClassVar[str] = "greedy"

    def __call__(
        self, upper: Loss, lower: Loss, theta: Tensors, h: Tensors, lr: float | Tensor
    ) -> list[Tensor]:
        """∂L/∂h at θ."""
        h = as_leaves(h)
        return gradient(upper([value.detach() for value in theta], h), h)


@typed()
@dataclass(frozen=True)
class Unrolled(Hypergradient):
    r"""θ* replaced by what some steps of gradient descent make of θ, differentiated through.

    .. math:: \theta_{k+1}(h) = \theta_k(h) - \eta\, \nabla_\theta \ell(\theta_k(h), h), \qquad
        \frac{d}{dh} L(\theta_K(h), h)

    One step is "second-order" DARTS. The derivative is exact, by differentiating twice; no
    finite differences.

    Attributes:
        steps: K ≥ 1.
        lr: η; None for the learning rate of the lower level at that moment.

    Raises:
        ValueError: naming a number out of range.

    References:
        Maclaurin, Duvenaud, Adams, *Gradient-based hyperparameter optimization through
        reversible learning*, 2015; Liu, Simonyan, Yang 2019.

    >>> import torch
    >>> h = [torch.tensor(2.0)]
    >>> lower = lambda theta, h: 0.5 * (theta[0] - h[0]) ** 2
    >>> Unrolled()(lambda theta, h: theta[0] ** 2, lower, [torch.tensor(3.0)], h, lr=0.5)
    [tensor(2.5000)]
    """

    kind: ClassVar[str] = "unrolled"

    steps: int = 1
    lr: float | None = None

    def __post_init__(self) -> None:
        """Check both."""
        object.__setattr__(self, "steps", step_count("steps", self.steps))
        if self.lr is not None:
            object.__setattr__(self, "lr", positive("lr", self.lr))

    def __call__(
        self, upper: Loss, lower: Loss, theta: Tensors, h: Tensors, lr: float | Tensor
    ) -> list[Tensor]:
        """The total derivative of L after the steps."""
        size = lr if self.lr is None else self.lr
        h = as_leaves(h)
        path = unroll(
            lambda moving, step: lower(moving, h),
            as_leaves(theta),
            lambda slopes, state: ([-size * slope for slope in slopes], state),
            None,
            self.steps,
        )
        return gradient(upper(path.theta, h), h)


@typed()
@dataclass(frozen=True)
class Implicit(Hypergradient):
    r"""The derivative by the implicit function theorem, at a θ that solves the lower problem.

    .. math:: \frac{\partial L}{\partial h} - \frac{\partial^2 \ell}{\partial h\, \partial\theta}
        \Bigl[\frac{\partial^2 \ell}{\partial\theta^2} + \delta I\Bigr]^{-1}
        \frac{\partial L}{\partial \theta}

    The linear system is solved by conjugate gradients, which stop at a direction of no positive
    curvature, or by the Neumann series :math:`H^{-1} = \eta \sum_j (I - \eta H)^j`, for which η
    has to be below 2 over the largest eigenvalue of H. Either takes ``steps`` products with H; a
    series of none takes :math:`H^{-1}` to be η (T1–T2). As ``Unrolled(1)`` for a small η; and where
    h acts on the KL alone, a traced step needs one gradient for it, that of L.

    Attributes:
        solver: ``"cg"`` or ``"neumann"``.
        steps: products with the Hessian, at least one for ``"cg"``.
        damping: δ ≥ 0.
        lr: η of the series; None for the learning rate of the lower level at that moment.

    Raises:
        ValueError: naming an unknown solver, or a number out of range.

    References:
        Pedregosa, *Hyperparameter optimization with approximate gradient*, 2016 (conjugate
        gradients); Luketina et al., *Scalable gradient-based tuning of continuous regularization
        hyperparameters*, 2016 (T1–T2); Lorraine, Vicol, Duvenaud, *Optimizing millions of
        hyperparameters by implicit differentiation*, 2020 (Neumann series).

    >>> import torch
    >>> h = [torch.tensor(2.0)]
    >>> lower = lambda theta, h: 0.5 * (theta[0] - h[0]) ** 2
    >>> Implicit()(lambda theta, h: theta[0] ** 2, lower, [torch.tensor(2.0)], h, lr=0.5)
    [tensor(4.)]
    """

    kind: ClassVar[str] = "implicit"

    solver: str = "cg"
    steps: int = 10
    damping: float = 0.0
    lr: float | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        choice("solver", self.solver, list(_SOLVERS))
        least = 0 if self.solver == "neumann" else 1
        object.__setattr__(self, "steps", step_count("steps", self.steps, least))
        object.__setattr__(self, "damping", non_negative("damping", self.damping))
        if self.lr is not None:
            object.__setattr__(self, "lr", positive("lr", self.lr))

    def __call__(
        self, upper: Loss, lower: Loss, theta: Tensors, h: Tensors, lr: float | Tensor
    ) -> list[Tensor]:
        """∂L/∂h − ∂²ℓ/∂h∂θ · q, with (H + δI) q = ∂L/∂θ."""
        h, theta = as_leaves(h), as_leaves(theta)
        slopes = gradient(lower(theta, h), theta, again=True)
        gradients = gradient(upper(theta, h), [*h, *theta])
        direct, target = gradients[: len(h)], gradients[len(h) :]

        def product(vector: Tensors) -> list[Tensor]:
            curved = gradient(dot(slopes, vector), theta, keep=True)
            return [c + self.damping * v for c, v in zip(curved, vector, strict=True)]

        if self.solver == "cg":
            solution = conjugate_gradients(product, target, self.steps)
        else:
            size = lr if self.lr is None else self.lr
            solution = neumann_series(product, target, self.steps, size)
        cross = gradient(dot(slopes, solution), h)
        return [d - c for d, c in zip(direct, cross, strict=True)]


KINDS: dict[str, type[Hypergradient]] = {kind.kind: kind for kind in (Greedy, Unrolled, Implicit)}


def make_hypergradient(kind: str | Hypergradient) -> Hypergradient:
    """Read what ``hypergradient=`` was given.

    Raises:
        ValueError: for an unknown kind.
        TypeError: for anything else.

    >>> make_hypergradient("unrolled")
    Unrolled(steps=1, lr=None)
    """
    if isinstance(kind, Hypergradient):
        return kind
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind]()
    error = ValueError if isinstance(kind, str) else TypeError
    raise error(
        f"hypergradient must be one of {list(KINDS)}, or one of bayesnas.inference.Greedy, "
        f"Unrolled and Implicit with its options, got {shown(kind)}"
    )
