"""Prior and guide of γ on the four domains: vertices and inside of the simplex and the cube."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from bayesnas.checks import choice
from bayesnas.distributions import (
    ConcreteGate,
    GumbelSoftmax,
    HardConcrete,
    LogitNormal,
    StraightThroughBernoulli,
    StraightThroughOneHot,
)
from bayesnas.distributions.gaussian_divergence import positive_exp
from bayesnas.distributions.relaxed.hard_concrete import logits_of_active
from bayesnas.distributions.relaxed.simplex_points import simplex_point
from bayesnas.distributions.shape import Shape
from bayesnas.models.architecture.complexity_penalty import Penalty
from bayesnas.nn.graphs.edge_groups import EdgeGroup

Parameters = Callable[[str], Tensor]
"""Variational parameters of a group of edges, by name."""


class StructureGuide(abc.ABC):
    """q(γ) and p(γ) for edges of the same K operations, on one domain.

    Priors are given by logits −n/c: on the simplex P(arg max γ = k) ∝ exp(−n_k/c), in the cube
    P(γ_k > ½) = σ(−n_k/c), so that on vertices p(γ) ∝ exp(−⟨γ, n⟩/c) in both.

    Args:
        domain: one of ``domains``.

    Attributes:
        has_density: whether the prior is one, not a penalty.
    """

    domains: ClassVar[tuple[str, ...]]
    has_density: ClassVar[bool] = True

    def __init__(self, domain: str) -> None:
        """Keep the domain; see the class."""
        self.domain = domain

    @property
    def is_hard(self) -> bool:
        """Whether γ is a vertex."""
        return self.domain.endswith("-vertices")

    @property
    def is_cube(self) -> bool:
        """Whether every operation is there or not independently of the others."""
        return self.domain.startswith("cube")

    def start(self, edges: int, operations: int) -> dict[str, Tensor]:
        """Starting values of the parameters by name: the middle of the domain."""
        return {"logits": torch.zeros(edges, operations)}

    @abc.abstractmethod
    def posterior(self, parameters: Parameters, temperature: Tensor) -> TorchDistribution:
        """q(γ), one event ``[edges, K]``.

        Its ``mean`` is P(arg max γ = k) or P(γ_k > ½) where these are known, else E γ.
        """

    @abc.abstractmethod
    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """p(γ), one event ``[edges, K]``.

        Args:
            logits: −n/c, ``[edges, K]``.
            temperature: τ, the same tensor as that of the posterior.
        """


class GumbelSoftmaxGuide(StructureGuide):
    """Gumbel-Softmax inside the simplex; at its vertices the categorical that its arg max has."""

    domains: ClassVar[tuple[str, ...]] = ("simplex", "simplex-vertices")

    def posterior(self, parameters: Parameters, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        distribution: TorchDistribution
        if self.is_hard:
            distribution = StraightThroughOneHot(logits=parameters("logits"))
        else:
            distribution = _PointGumbelSoftmax(temperature, logits=parameters("logits"))
        return _event(distribution, 1)

    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        distribution: TorchDistribution = dist.OneHotCategorical(logits=logits)
        if not self.is_hard:
            distribution = GumbelSoftmax(temperature, logits=logits)
        return _event(distribution, 1)


class BinaryConcreteGuide(StructureGuide):
    """Binary concrete inside the cube; at its vertices the Bernoulli that it relaxes."""

    domains = ("cube", "cube-vertices")

    def posterior(self, parameters: Parameters, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        distribution: TorchDistribution
        if self.is_hard:
            distribution = StraightThroughBernoulli(logits=parameters("logits"))
        else:
            distribution = _PointConcreteGate(temperature, logits=parameters("logits"))
        return _event(distribution, 2)

    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        distribution: TorchDistribution = dist.Bernoulli(logits=logits)
        if not self.is_hard:
            distribution = ConcreteGate(temperature, logits=logits)
        return _event(distribution, 2)


class HardConcreteGuide(StructureGuide):
    """Hard concrete: the cube with its faces, P(γ_k > 0) in place of P(γ_k > ½)."""

    domains = ("cube",)

    def posterior(self, parameters: Parameters, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        shift = temperature * logits_of_active(0.5, 1.0)
        return _event(_PointHardConcrete(temperature, logits=parameters("logits") + shift), 2)

    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        shift = temperature * logits_of_active(0.5, 1.0)
        return _event(HardConcrete(temperature, logits=logits + shift), 2)


class LogitNormalGuide(StructureGuide):
    """Logit-normal, on the simplex by stick-breaking; against the concrete prior."""

    domains = ("simplex", "cube")

    def start(self, edges: int, operations: int) -> dict[str, Tensor]:
        """See the base class."""
        width = operations if self.is_cube else operations - 1
        return {"loc": torch.zeros(edges, width), "log_scale": torch.zeros(edges, width)}

    def posterior(self, parameters: Parameters, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        scale = positive_exp(parameters("log_scale"))
        distribution: TorchDistribution = LogitNormal(parameters("loc"), scale, domain=self.domain)
        return _event(distribution, 2 if self.is_cube else 1)

    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        distribution: TorchDistribution
        if self.is_cube:
            distribution = ConcreteGate(temperature, logits=logits)
        else:
            distribution = GumbelSoftmax(temperature, logits=logits)
        return _event(distribution, 2 if self.is_cube else 1)


class DirichletGuide(StructureGuide):
    """Dirichlet, against the Gumbel-Softmax prior."""

    domains = ("simplex",)

    def start(self, edges: int, operations: int) -> dict[str, Tensor]:
        """See the base class."""
        return {"log_concentration": torch.zeros(edges, operations)}

    def posterior(self, parameters: Parameters, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        return _event(_InnerDirichlet(parameters("log_concentration").exp()), 1)

    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        return _event(GumbelSoftmax(temperature, logits=logits), 1)


class PointMassGuide(StructureGuide):
    """γ = softmax α, or σ(α) in the cube: no divergence but the penalty ⟨γ, n⟩/c."""

    domains = ("simplex", "cube")
    has_density = False

    def posterior(self, parameters: Parameters, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        logits = parameters("logits")
        point = logits.sigmoid() if self.is_cube else logits.softmax(-1)
        distribution: TorchDistribution = dist.Delta(point)
        return _event(distribution, 2)

    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        return Penalty(logits, is_cube=self.is_cube)


class PenalisedGumbelSoftmaxGuide(GumbelSoftmaxGuide):
    """Gumbel-Softmax with the penalty ⟨softmax α, n⟩/c in place of a KL, as in DARTS-CC."""

    domains = ("simplex",)
    has_density = False

    def prior(self, logits: Tensor, temperature: Tensor) -> TorchDistribution:
        """See the base class."""
        return Penalty(logits, is_cube=False)


def _event(distribution: TorchDistribution, dims: int) -> TorchDistribution:
    """The last ``dims`` dims of a batch as one event."""
    event: TorchDistribution = distribution.to_event(dims)
    return event


GUIDES: dict[str, type[StructureGuide]] = {
    "gumbel-softmax": GumbelSoftmaxGuide,
    "penalised-gumbel-softmax": PenalisedGumbelSoftmaxGuide,
    "logit-normal": LogitNormalGuide,
    "dirichlet": DirichletGuide,
    "binary-concrete": BinaryConcreteGuide,
    "hard-concrete": HardConcreteGuide,
    "point-mass": PointMassGuide,
}
"""The guides by name; the first of a guide's domains is its default."""

DOMAINS = ("simplex", "simplex-vertices", "cube", "cube-vertices")


def structure_guide(guide: str, domain: str | None) -> StructureGuide:
    """A guide on a domain, on its first one by default.

    Raises:
        ValueError: for an unknown guide or domain, or a guide that lives elsewhere.

    >>> structure_guide("binary-concrete", None).domain
    'cube'
    """
    choice("guide", guide, list(GUIDES))
    known = GUIDES[guide].domains
    if domain is not None:
        choice("domain", domain, list(DOMAINS))
    if domain is not None and domain not in known:
        raise ValueError(f"domain must be one of {list(known)} for guide={guide!r}, got {domain!r}")
    return GUIDES[guide](domain or known[0])


def starting_values(family: StructureGuide, groups: Sequence[EdgeGroup]) -> dict[str, Tensor]:
    """Where the variational parameters of Γ start, by ``<site>.<name>``.

    Args:
        family: the guide.
        groups: edges of the same operations.
    """
    return {
        f"{group.site}.{name}": value
        for group in groups
        for name, value in family.start(*group.shape).items()
    }


# For each of these the operations' probabilities stand where latents are set to their means.


class _PointGumbelSoftmax(GumbelSoftmax):
    @property
    def mean(self) -> Tensor:
        return self.probs


class _PointConcreteGate(ConcreteGate):
    @property
    def mean(self) -> Tensor:
        return self.probs


class _PointHardConcrete(HardConcrete):
    @property
    def mean(self) -> Tensor:
        return self.prob_active


class _InnerDirichlet(dist.Dirichlet):
    """A Dirichlet whose draws stay off the faces, where float32 rounds them to."""

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        draw: Tensor = super().rsample(torch.Size(sample_shape))
        return simplex_point(draw.clamp_min(torch.finfo(draw.dtype).tiny).log())
