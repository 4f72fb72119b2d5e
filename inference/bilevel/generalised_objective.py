"""The generalised objective: two functionals whose coefficients are metaparameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from bayesnas.checks import finite, non_negative, shown
from bayesnas.inference.bilevel.hyper_terms import HyperTerms, StructurePrior
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.models.base import BayesianModel
from bayesnas.typed import typed

_START = 0.2  # by then θ is near its optimum, which implicit hypergradients take it to be at
_EVERY = 10  # ten products with the Hessian cost as much as ten steps of θ


@typed(unchecked=("structure_weights", "structure_priors", "hyperprior", "upper"))
@dataclass(frozen=True)
class GeneralisedObjective:
    r"""Two functionals, L of the parameters θ of the guide and Q of the hyperparameters h.

    .. math::
        \theta^*(h) &= \arg\max_\theta L, \qquad
        L = E_q \log p(y | X, w, \Gamma)
            - \lambda^{prior}_L\, KL(q \,\|\, p(w, \Gamma | h)) \\
        h^* &= \arg\max_h Q(\theta^*(h), h), \\
        Q &= \lambda^{lik}_Q\, E_q \log p(y | X, w, \Gamma)
            - \lambda^{prior}_Q\, KL(q \,\|\, p(w, \Gamma | h))
            - \sum_{p' \in \mathfrak P} \lambda^{struct}_{p'}\, KL(p(\Gamma | h) \,\|\, p')
            + \log p(h)

    Both are full sums in nats over the training data. The coefficients are metaparameters: all 1
    and no 𝔓 is the evidence lower bound, λ^prior_L = 0 maximum likelihood, λ^prior_Q → 0 a bound on
    the evidence at hyperparameters of maximum likelihood; docs/generalised-objective.md has the
    properties, each with its test.

    Where λ^prior_Q = λ^lik_Q λ^prior_L, Q is λ^lik_Q L and a function of h alone, so h and θ are
    trained together on L + [Q − λ^lik_Q L] / λ^lik_Q, in one step. Elsewhere h moves by a
    hypergradient of Q and then θ by the gradient of L, on the same batch.

    Attributes:
        kl_weight_lower: λ^prior_L ≥ 0.
        likelihood_weight: λ^lik_Q ≥ 0.
        kl_weight_upper: λ^prior_Q ≥ 0.
        structure_weights: λ^struct, one a prior in 𝔓; negative ones drive the structure away from
            it. Q has no maximum then, but in a bounded set of h, or under a ``hyperprior``.
        structure_priors: 𝔓, each a distribution of the shape of p(Γ | h) or of its last dims; by
            site where a model has several.
        hyperprior: log p(h) as densities of the parameters as they stand in the model (of logits
            and log scales), by the beginning of their names.
        upper: how h is trained: a :class:`~bayesnas.Bilevel` without a KL weight of its own. None
            for one joint step where that is possible, else for implicit hypergradients, one in
            ten steps of θ from the fifth part of the steps on, with schedule and optimiser of the
            fit and five times its learning rate: half of it a step of θ, so that θ keeps up with h.

    Raises:
        ValueError, TypeError: naming the option.

    References:
        Bakhteev, Strijov, *Deep learning model selection of suboptimal complexity*, 2018;
        Bakhteev, *Meta-optimisation and structure*, lecture, MIPT, 2019.

    >>> import torch, bayesnas as bn
    >>> x = torch.linspace(-1, 1, 40)[:, None]
    >>> model = bn.models.ArdRegression(1, noise_scale=0.1)
    >>> objective = GeneralisedObjective(kl_weight_lower=2.0, kl_weight_upper=2.0)
    >>> objective.is_joint
    True
    >>> post = bn.fit(model, (x, 2 * x[:, 0]), objective=objective, steps=300, lr=0.05)
    >>> round(float(post.model.prior_variance().sqrt()), 1)  # w² + its variance
    2.0
    """

    kl_weight_lower: float = 1.0
    likelihood_weight: float = 1.0
    kl_weight_upper: float = 1.0
    structure_weights: Sequence[float] = ()
    structure_priors: Sequence[StructurePrior] = ()
    hyperprior: Mapping[str, Distribution] = field(default_factory=dict)
    upper: Bilevel | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("kl_weight_lower", "likelihood_weight", "kl_weight_upper"):
            object.__setattr__(self, name, non_negative(name, getattr(self, name)))
        self._check_structure()
        if not isinstance(self.hyperprior, Mapping) or not all(
            isinstance(name, str) and isinstance(density, Distribution)
            for name, density in self.hyperprior.items()
        ):
            raise TypeError(
                "hyperprior must be a mapping from names of parameters to distributions, "
                f"got {shown(self.hyperprior)}"
            )
        if self.upper is None:
            return
        if not isinstance(self.upper, Bilevel):
            raise TypeError(f"upper must be a bayesnas.Bilevel, got {shown(self.upper)}")
        if self.upper.kl_weight is not None or self.upper.likelihood_weight != 1.0:
            raise ValueError(
                "upper must have no kl_weight and no likelihood_weight of its own: they are "
                f"kl_weight_upper and likelihood_weight, got {self.upper.kl_weight!r} and "
                f"{self.upper.likelihood_weight!r}"
            )

    def _check_structure(self) -> None:
        for name in ("structure_weights", "structure_priors"):
            value = getattr(self, name)
            if isinstance(value, Tensor) and value.ndim == 1:
                value = value.tolist()
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise TypeError(f"{name} must be a sequence, got {shown(value)}")
            object.__setattr__(self, name, tuple(value))
        weights = tuple(
            finite(f"structure_weights[{i}]", value)
            for i, value in enumerate(self.structure_weights)
        )
        object.__setattr__(self, "structure_weights", weights)
        if len(weights) != len(self.structure_priors):
            raise ValueError(
                "structure_weights must have one number for each of structure_priors, got "
                f"{len(weights)} for {len(self.structure_priors)}"
            )
        for i, prior in enumerate(self.structure_priors):
            several = list(prior.values()) if isinstance(prior, Mapping) else [prior]
            if not all(isinstance(each, Distribution) for each in several):
                raise TypeError(
                    f"structure_priors[{i}] must be a distribution or a mapping from sites to "
                    f"distributions, got {shown(prior)}"
                )

    @property
    def is_joint(self) -> bool:
        """Whether h and θ are trained in one step: λ^prior_Q = λ^lik_Q λ^prior_L, no ``upper``."""
        product = self.likelihood_weight * self.kl_weight_lower
        same = math.isclose(self.kl_weight_upper, product, rel_tol=1e-9)
        return self.upper is None and self.likelihood_weight > 0 and same

    def upper_level(self, model: BayesianModel, lr: float, **defaults: Any) -> Bilevel | None:
        """How the hyperparameters of a model are trained; None where jointly.

        Args:
            model: to fit.
            lr: learning rate of θ.
            defaults: further options of ``Bilevel`` where ``upper`` is None.

        Raises:
            ValueError: for a model without trained hyperparameters.
        """
        names = model.prior_parameters()
        if not names:
            raise ValueError(
                "objective needs a model with trained hyperparameters h of its prior, got "
                f"{model.describe()}, which has none: build it with learned ones, such as "
                "prior_scale='learned'"
            )
        if self.is_joint:
            return None
        level = self.upper
        if level is None:
            level = Bilevel("implicit", start=_START, every=_EVERY, lr=lr * _EVERY / 2, **defaults)
        return dataclasses.replace(
            level,
            parameters=names if level.parameters is None else level.parameters,
            kl_weight=self.kl_weight_upper,
            likelihood_weight=self.likelihood_weight,
        )

    def hyper_terms(self, model: BayesianModel, device: torch.device) -> HyperTerms | None:
        """The terms of Q in h alone, for the bound that is trained; None where there are none.

        Args:
            model: to fit.
            device: where.
        """
        if not self.structure_priors and not self.hyperprior:
            return None
        return HyperTerms(
            model,
            self.structure_weights,
            self.structure_priors,
            self.hyperprior,
            1 / self.likelihood_weight if self.is_joint else 1.0,
            device,
        )

    def config(self) -> dict[str, Any]:
        """What decides the numbers of a fit, as JSON values."""
        return {
            "kl_weight_lower": self.kl_weight_lower,
            "likelihood_weight": self.likelihood_weight,
            "kl_weight_upper": self.kl_weight_upper,
            "structure_weights": list(self.structure_weights),
            "structure_priors": [
                {site: describe(p) for site, p in prior.items()}
                if isinstance(prior, Mapping)
                else describe(prior)
                for prior in self.structure_priors
            ],
            "hyperprior": {name: describe(density) for name, density in self.hyperprior.items()},
            "joint": self.is_joint,
        }


def describe(distribution: Any) -> dict[str, Any]:
    """Class and tensors of a distribution, as JSON values.

    >>> describe(torch.distributions.Normal(0.0, 2.0))
    {'class': 'Normal', 'loc': 0.0, 'scale': 2.0}
    """
    description: dict[str, Any] = {"class": type(distribution).__name__}
    for name, value in vars(distribution).items():
        if isinstance(value, Distribution):
            description[name.strip("_")] = describe(value)
        elif isinstance(value, Tensor) and not name.startswith("_"):
            description[name] = value.detach().tolist()
        elif name == "transforms":
            description[name] = [repr(transform) for transform in value]
    return description
