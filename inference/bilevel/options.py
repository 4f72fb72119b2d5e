"""Bilevel problems: what stands on the upper level, its losses, and their hypergradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bayesnas.checks import fraction_in, names_of, non_negative, positive, step_count, whole_number
from bayesnas.inference.bilevel.hypergradients import Hypergradient, make_hypergradient
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.schedules import Schedule, learning_rate_factor
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.typed import typed


@typed(unchecked=("parameters",))
@dataclass(frozen=True)
class Bilevel:
    r"""The upper level of a bilevel fit: h is trained on validation data, θ on training data.

    .. math:: h^* = \arg\max_h\ \mathcal L_{val}(\theta^*(h), h), \qquad
        \theta^*(h) = \arg\max_\theta\ \mathcal L_{train}(\theta, h)

    with :math:`\mathcal L = E_q \log p - \lambda\, KL` over each sample. A step updates h by a
    hypergradient on a batch of the validation data, then θ on a batch of the training data; with
    ``every`` above 1, most steps update θ alone.

    Attributes:
        hypergradient: ``"greedy"``, ``"unrolled"``, ``"implicit"``, or one of
            ``bayesnas.inference.Greedy``, ``Unrolled`` and ``Implicit`` with its options.
        parameters: h, as names of parameters of the model or their first parts; None for what
            the model says itself, its ``upper_level``.
        kl_weight: λ of the upper level; None for that of the step.
        likelihood_weight: of the expected log-likelihood on the upper level.
        optimizer: makes the optimiser of h: ``optimizer(parameters, lr=lr)``.
        lr: learning rate of h at the start.
        schedule: of it, as in ``bayesnas.fit``.
        batch_size: of the validation sample; None for as many as of the training data.
        start: fraction of the steps before h moves at all.
        every: steps of θ to a step of h, from ``start`` on; what a hypergradient costs is paid
            once for so many.

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
    likelihood_weight: float = 1.0
    optimizer: OptimizerFactory = torch.optim.Adam
    lr: float = 1e-3
    schedule: Schedule = "constant"
    batch_size: int | None = None
    start: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "hypergradient", make_hypergradient(self.hypergradient))
        if self.parameters is not None:
            object.__setattr__(self, "parameters", tuple(names_of("parameters", self.parameters)))
        if self.kl_weight is not None:
            check_kl_weight(self.kl_weight)
            object.__setattr__(self, "kl_weight", float(self.kl_weight))
        weight = non_negative("likelihood_weight", self.likelihood_weight)
        object.__setattr__(self, "likelihood_weight", weight)
        object.__setattr__(self, "lr", positive("lr", self.lr))
        learning_rate_factor(self.schedule, 0.0)
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", whole_number("batch_size", self.batch_size, 1))
        object.__setattr__(self, "start", fraction_in("start", self.start, "[0, 1)"))
        object.__setattr__(self, "every", step_count("every", self.every))

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
            "likelihood_weight": self.likelihood_weight,
            "optimizer": optimizer,
            "lr": self.lr,
            "schedule": self.schedule if isinstance(self.schedule, str) else "custom",
            "batch_size": self.batch_size,
            "start": self.start,
            "every": self.every,
        }
