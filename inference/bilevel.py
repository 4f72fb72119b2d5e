"""Two-level problems: what stands on the upper level, its losses, and their hypergradients."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from bayesnas.checks import whole_number
from bayesnas.inference.hypergradients import Hypergradient, make_hypergradient
from bayesnas.inference.inputs import Data, check_alike, checked_data
from bayesnas.inference.optimizers import OptimizerFactory
from bayesnas.inference.session import RandomStream, pyro_session
from bayesnas.inference.settings import (
    Schedule,
    check_kl_weight,
    learning_rate_factor,
    positive,
)
from bayesnas.inference.traced import BoundModule
from bayesnas.inference.trained import running_buffers, trainable
from bayesnas.models.base import BayesianModel
from bayesnas.models.pyro_pair import PyroPair
from bayesnas.nn.names import begins, matching


@dataclass(frozen=True)
class Bilevel:
    r"""The upper level of a two-level fit: h is trained on validation data, θ on training data.

    .. math:: h^* = \arg\max_h\ \mathcal L_{val}(\theta^*(h), h), \qquad
        \theta^*(h) = \arg\max_\theta\ \mathcal L_{train}(\theta, h)

    with :math:`\mathcal L = E_q \log p - \lambda\, KL` over each sample. Every step updates h by
    a hypergradient on a batch of the validation data, then θ on a batch of the training data.

    Attributes:
        hypergradient: ``"greedy"``, ``"unrolled"``, ``"implicit"``, or one of
            ``bayesnas.inference.Greedy``, ``Unrolled`` and ``Implicit`` with its options.
        parameters: h, as names of parameters of the model or their first parts; None for what
            the model says itself, its ``upper_level``.
        kl_weight: λ of the upper level; None for that of the step.
        optimizer: makes the optimiser of h: ``optimizer(parameters, lr=lr)``.
        lr: learning rate of h at the start.
        schedule: of it, as in ``bayesnas.fit``.
        batch_size: validation examples a step; None for as many as of the training data.
        start: fraction of the steps before h moves at all.

    Raises:
        ValueError, TypeError: naming the option.

    References:
        Franceschi et al., *Bilevel programming for hyperparameter optimization and
        meta-learning*, 2018; Liu, Simonyan, Yang, *DARTS*, 2019.

    >>> Bilevel("unrolled", lr=0.01).config()["hypergradient"]
    {'kind': 'unrolled', 'steps': 1, 'lr': None}
    """

    hypergradient: str | Hypergradient = "greedy"
    parameters: Sequence[str] | None = None
    kl_weight: float | None = None
    optimizer: OptimizerFactory = torch.optim.Adam
    lr: float = 1e-3
    schedule: Schedule = "constant"
    batch_size: int | None = None
    start: float = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "hypergradient", make_hypergradient(self.hypergradient))
        if isinstance(self.parameters, str):
            raise TypeError(f"parameters must be a sequence of names, got {self.parameters!r}")
        if self.kl_weight is not None:
            check_kl_weight(self.kl_weight)
        positive("lr", self.lr)
        learning_rate_factor(self.schedule, 0.0)
        if self.batch_size is not None:
            whole_number("batch_size", self.batch_size, 1)
        if not isinstance(self.start, (int, float)) or not 0 <= self.start < 1:
            raise ValueError(f"start must be a fraction in [0, 1), got {self.start!r}")

    @property
    def method(self) -> Hypergradient:
        """The kind of hypergradient, with its options."""
        return make_hypergradient(self.hypergradient)

    def config(self, parameters: Sequence[str] = (), optimizer: str = "") -> dict[str, Any]:
        """What decides the numbers of a fit, as JSON values.

        Args:
            parameters: as :func:`upper_parameters` found them.
            optimizer: the optimiser in words.
        """
        return {
            "hypergradient": self.method.config(),
            "parameters": list(parameters),
            "kl_weight": self.kl_weight,
            "optimizer": optimizer,
            "lr": self.lr,
            "schedule": self.schedule if isinstance(self.schedule, str) else "custom",
            "batch_size": self.batch_size,
            "start": self.start,
        }


def upper_parameters(model: BayesianModel, chosen: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the parameters on the upper level, in the order of the model.

    Args:
        model: whose.
        chosen: names or their first parts; None for the model's own ``upper_level``.

    Raises:
        ValueError: where that is none, or all of them, or a name is not that of a trained one.
        TypeError: for a ``PyroPair`` that brings an ELBO.
    """
    if isinstance(model, PyroPair) and model.elbo is not None:
        raise TypeError("bilevel takes the bound of a fit, got a PyroPair with an elbo= of its own")
    names = list(trainable(model))
    if chosen is None:
        chosen = [b for b in model.upper_level if any(begins(n, b) for n in names)]
    found = tuple(matching(names, list(chosen), "bilevel.parameters"))
    if not found or len(found) == len(names):
        raise ValueError(
            f"bilevel.parameters must name some of the trained parameters of {type(model).__name__}"
            f", and not all, got {list(chosen)}; there are {names[:8]}"
        )
    return found


class LevelLoss:
    """−𝓛 an example, as a function of all parameters and buffers of a model.

    Args:
        model: model and guide.
    """

    def __init__(self, model: BayesianModel) -> None:
        """Wrap the model; see the class."""
        self._module = BoundModule(model)

    def __call__(
        self,
        state: Mapping[str, Tensor],
        x: Tensor,
        y: Tensor,
        kl_weight: float | Tensor,
        examples: int,
    ) -> Tensor:
        """The loss on a batch.

        Args:
            state: parameters and buffers by name; buffers stay as they are.
            x: inputs ``[b, ...]``.
            y: targets ``[b, ...]``.
            kl_weight: λ.
            examples: N of the sample that the batch is of.
        """
        own = {
            f"model.{name}": value if value.requires_grad else value.clone()
            for name, value in state.items()
        }
        terms = functional_call(self._module, own, (x, y, examples / len(x)))
        loss: Tensor = -terms.bound(kl_weight) / examples
        return loss


def hypergradient(
    model: BayesianModel,
    data: Data,
    validation: Data,
    kind: str | Hypergradient = "implicit",
    *,
    parameters: Sequence[str] | None = None,
    kl_weight: float = 1.0,
    upper_kl_weight: float | None = None,
    lr: float = 1e-3,
    seed: int = 0,
) -> dict[str, Tensor]:
    r"""The derivative of a validation loss by hyperparameters, through the fitted θ.

    .. math:: \frac{d}{dh} \Bigl[ -\tfrac1M \mathcal L_{val}(\theta^*(h), h) \Bigr]

    M is the number of validation examples. One draw of the guide stands for the expectation.

    Args:
        model: at the θ in question: for ``"implicit"`` a fitted one, such as ``post.model``. It
            is not changed.
        data: training data, all of it at once.
        validation: data of the upper loss.
        kind: as in :class:`Bilevel`.
        parameters: h, as in :class:`Bilevel`.
        kl_weight: λ of the lower loss.
        upper_kl_weight: λ of the upper loss, None for that of the lower; 0 for the likelihood.
        lr: step size of kinds that have none of their own.
        seed: of the draws.

    Returns:
        a tensor for each parameter in h, by name.

    Raises:
        ValueError, TypeError: naming the argument.

    References:
        Bakhteev, Strijov, *Comprehensive analysis of gradient-based hyperparameter optimization
        algorithms*, 2020.

    >>> import bayesnas as bn
    >>> x = torch.linspace(-1, 1, 20)[:, None]
    >>> model = bn.models.ArdRegression(1, noise_scale=0.1)
    >>> post = bn.fit(model, (x, 2 * x[:, 0]), steps=300, lr=0.05)
    >>> found = bn.inference.hypergradient(post.model, (x, 2 * x[:, 0]), (x, 2 * x[:, 0]))
    >>> list(found)
    ['log_prior_scale']
    """
    method = make_hypergradient(kind)
    for name, value in (("kl_weight", kl_weight), ("upper_kl_weight", upper_kl_weight)):
        if value is not None:
            check_kl_weight(value, name)
    positive("lr", lr)
    train, held_out = (
        checked_data(model, data, "data"),
        checked_data(model, validation, "validation"),
    )
    check_alike(train, held_out)
    above = upper_parameters(model, parameters)
    model = copy.deepcopy(model)
    where = next(model.parameters()).device
    train, held_out = train.to(where), held_out.to(where)
    named = {name: value.detach() for name, value in trainable(model).items()}
    below = [name for name in named if name not in above]
    loss = LevelLoss(model)
    others = running_buffers(model)

    def level(
        theta: Sequence[Tensor], h: Sequence[Tensor], x: Tensor, y: Tensor, weight: float
    ) -> Tensor:
        state = dict(zip([*below, *above], [*theta, *h], strict=True))
        return loss(others | state, x, y, weight, len(x))

    weight = kl_weight if upper_kl_weight is None else upper_kl_weight
    with pyro_session(RandomStream(seed, where)):
        found = method(
            lambda theta, h: level(theta, h, held_out.x, held_out.y, weight),
            lambda theta, h: level(theta, h, train.x, train.y, kl_weight),
            [named[name] for name in below],
            [named[name] for name in above],
            lr,
        )
    return {name: value.detach() for name, value in zip(above, found, strict=True)}
