"""A network whose operations are latent: p(w, Γ) on a graph, and q(w) q(Γ)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import pyro
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import positive
from bayesnas.distributions import GaussianWeights, linear_temperature
from bayesnas.distributions.deferred.per_example import EveryExample, for_examples
from bayesnas.likelihoods import AnyLikelihood
from bayesnas.models.architecture.conditional_weights import posterior_given, prior_given
from bayesnas.models.architecture.guides import starting_values, structure_guide
from bayesnas.models.architecture.operation_costs import Cost, operation_costs
from bayesnas.models.architecture.option_checks import (
    check_graph,
    check_options,
    check_prior,
    start_and_end,
)
from bayesnas.models.architecture.structure_summary import StructureSummary
from bayesnas.models.networks.base import observe
from bayesnas.models.networks.prior_scale import PriorScale
from bayesnas.nn.functional_call import functional_call
from bayesnas.nn.graphs.edge_groups import EdgeGroup, Gamma, by_edge, edge_groups, owner_of
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.net_spec import build_net, describe_net
from bayesnas.nn.graphs.topology import Edge, edge_name
from bayesnas.nn.modules.stochastic_layers import is_linear_or_convolution
from bayesnas.nn.modules.variational_parameters import VariationalParameters
from bayesnas.typed import typed


@typed(unchecked=("graph", "temperature"))
class LatentStructureNet(StructureSummary):
    r"""A graph whose operations γ and weights w are both random.

    .. math::
        \gamma^{e} \sim p_\tau(\gamma;\, \ln s^e = -n^e / c), \qquad
        w^{e}_k \mid \gamma \sim N(0, g^2 s_w^2),\ g = \max(\gamma^e_k, \epsilon), \qquad
        y \sim p(y \mid f(x; w, \gamma))

    with n the cost of each operation: on the vertices of the simplex or the cube the prior is
    p(Γ) ∝ exp(−⟨γ, n⟩/c), and inside it is the concrete distribution whose arg max (or γ > ½) has
    these probabilities. So the KL weight of a fit is the coefficient of complexity of DARTS-CC.

    On vertices q(w | γ) is a free Gaussian for the operations that are there; the weights of the
    others are read by nothing and count nothing. Inside simplex and cube it is one of

    .. math:: q(w^e_k) = N(\mu, \sigma^2), \qquad
        q(w^e_k \mid \gamma) \propto p(w^e_k \mid \gamma)\, N(\gamma^e_k w^e_k;\, \mu, \sigma^2)

    the first of them the source's. The data determine products γw: in the first γ has to keep
    within the relative width of w, at a cost in the bound; the second is the posterior where
    outputs are linear in w and features uncorrelated. The KL of w given γ is in closed form; ε > 0
    keeps it finite, since E γ⁻² is infinite for τ (K − 1) ≤ 2.

    Args:
        graph: the graph; it is copied and never changed.
        guide, domain: q(γ), on the first domain by default: ``"gumbel-softmax"`` (``"simplex"``,
            ``"simplex-vertices"``), ``"logit-normal"`` (``"simplex"``, ``"cube"``), ``"dirichlet"``
            (``"simplex"``), ``"binary-concrete"`` (``"cube"``, ``"cube-vertices"``),
            ``"hard-concrete"`` (``"cube"``); or, with the penalty ⟨E γ, n⟩/c in place of a KL,
            ``"point-mass"``, γ = softmax α or σ(α), and ``"penalised-gumbel-softmax"``.
        structure_prior: ``"cost"``, ln s = −n/c, or ``"learned"``: ln s is a hyperparameter that
            starts there and is trained like a learned prior scale.
        cost: n: ``"parameters"``, ``"multiply-adds"``, ``"latency"`` (microseconds, measured when
            the model is built and saved with it), numbers by edge, or None for zeros.
        cost_scale: c > 0, in units of n.
        temperature: τ > 0 of prior and guide; or (start, end), from one to the other over the
            steps of a fit.
        sample: Γ drawn once a ``"batch"``, or for every ``"example"``, which estimates the same
            bound with less variance.
        gamma_floor: ε in (0, 1].
        coupling: of w and Γ in the guide: ``"independent"``, the first of the two, or
            ``"conjugate"``, the second, inside simplex and cube with ``sample="batch"``.
        weights: ``"gaussian"``, or ``"point"``: plain parameters without a prior, as in DARTS.
        prior_scale, likelihood, noise_scale, estimator, initial_loc, initial_scale: as for
            ``GaussianNet``.

    Raises:
        ValueError: naming the argument; also for a graph without mixed edges.

    References:
        Bakhteev, Strijov, *Comprehensive analysis of gradient-based hyperparameter optimization
        algorithms*, 2020; Yakovlev, Grebenkova, Bakhteev, Strijov, *Neural architecture search
        with structure complexity control*, 2022.

    >>> import torch, bayesnas as bn
    >>> from torch import nn
    >>> edges = {("x", "h"): nn.Linear(4, 4), ("h", "y"): [nn.Linear(4, 3), nn.Linear(4, 3)]}
    >>> model = LatentStructureNet(bn.nn.Graph(edges, example=torch.zeros(2, 4)))
    >>> model.structure()["gamma.inclusion"].values
    array([[0.5, 0.5]], dtype=float32)
    """

    upper_level = ("structural",)
    conditional = True
    temperature: Tensor

    def __init__(
        self,
        graph: Graph,
        guide: str = "gumbel-softmax",
        *,
        domain: str | None = None,
        structure_prior: str = "cost",
        cost: Cost = None,
        cost_scale: float = 1000.0,
        temperature: float | tuple[float, float] = 0.5,
        sample: str = "batch",
        gamma_floor: float = 0.1,
        coupling: str = "independent",
        weights: str = "gaussian",
        prior_scale: PriorScale = 1.0,
        likelihood: AnyLikelihood = "categorical",
        noise_scale: float | None = None,
        estimator: str = "local",
        initial_loc: str = "random",
        initial_scale: float = 0.02,
    ) -> None:
        """Build prior and guide around a copy of ``graph``; see the class."""
        family = structure_guide(guide, domain)
        check_options(family, sample, coupling, weights, gamma_floor)
        check_prior(structure_prior, prior_scale, family, sample)
        cost_scale = positive("cost_scale", cost_scale)
        start, end = start_and_end(temperature)
        super().__init__(
            check_graph(graph),
            prior_scale=prior_scale,
            likelihood=likelihood,
            noise_scale=noise_scale,
            estimator=estimator,
            stochastic="none" if weights == "point" else is_linear_or_convolution,
            initial_loc=initial_loc, initial_scale=initial_scale,
        )  # fmt: skip
        self.family, self.coupling, self.sample = family, coupling, sample
        self.gamma_floor = float(gamma_floor)
        dtype = self.layers.dtype
        self.register_buffer("temperature", torch.tensor(start, dtype=dtype))
        self._annealed = linear_temperature(start, end, 1)
        costs = operation_costs(graph, cost)
        self._options: dict[str, Any] = {
            "guide": guide, "domain": family.domain, "cost_scale": cost_scale,
            "structure_prior": structure_prior,
            "cost": None if cost is None else {edge_name(e): list(n) for e, n in costs.items()},
            "temperature": [start, end], "sample": sample, "gamma_floor": gamma_floor,
            "coupling": coupling, "weights": weights, "initial_scale": initial_scale,
        }  # fmt: skip
        self.groups = edge_groups(graph)
        for group in self.groups:
            counts = torch.tensor([costs[edge] for edge in group.edges], dtype=torch.float64)
            logits = (-counts / cost_scale).to(dtype)
            if structure_prior == "learned":
                self.register_parameter(f"prior_{group.site}", nn.Parameter(logits))
            else:
                self.register_buffer(f"prior_{group.site}", logits)
        self._start = {n: v.to(dtype) for n, v in starting_values(family, self.groups).items()}
        self.structural = VariationalParameters(self._start)

    def anneal(self, progress: float) -> None:
        """Set the temperature that belongs to a fraction of the steps."""
        self.temperature.fill_(self._annealed(progress))

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Sample Γ ~ p(Γ), w ~ p(w | Γ) and y ~ p(y | f(x; w, Γ)); returns the outputs."""
        self.register_with_pyro()
        gamma = self._sampled(self.structure_prior, len(x))
        weights = {s: pyro.sample(s, self.prior_given(s, gamma)) for s in self.layers.shapes}
        output: Tensor = functional_call(self.graph, weights, (x, gamma), {"check": False})
        return observe(self.likelihood, output, x, y)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Sample Γ ~ q(Γ) and w ~ q(w | Γ)."""
        self.register_with_pyro()
        gamma = self._sampled(self.structure_posterior, len(x))
        for site in self.layers.shapes:
            pyro.sample(site, self.posterior_given(site, gamma))

    def _sampled(
        self, distribution: Callable[[EdgeGroup], TorchDistribution], examples: int
    ) -> dict[Edge, Tensor]:
        """Sample γ of every group, and give it by edge."""
        drawn = {
            group.site: for_examples(pyro.sample(group.site, distribution(group)), examples)
            for group in self.groups
        }
        return by_edge(self.groups, drawn)

    def structure_prior(self, group: EdgeGroup) -> TorchDistribution:
        """Prior of γ of a group of edges, one event ``[edges, operations]``."""
        prior = self.family.prior(getattr(self, f"prior_{group.site}"), self.temperature)
        return EveryExample(prior, deferred=False) if self.sample == "example" else prior

    def structure_priors(self) -> dict[str, TorchDistribution]:
        """Prior of γ by site, of one draw."""
        logits = {group.site: getattr(self, f"prior_{group.site}") for group in self.groups}
        return {site: self.family.prior(s, self.temperature) for site, s in logits.items()}

    def prior_parameters(self) -> tuple[str, ...]:
        """The logits of γ and the log prior scales, where they are trained."""
        learned = self._options["structure_prior"] == "learned"
        sites = tuple(f"prior_{group.site}" for group in self.groups) if learned else ()
        return (*sites, *super().prior_parameters())

    def structure_posterior(self, group: EdgeGroup) -> TorchDistribution:
        """Guide of γ of a group of edges, one event ``[edges, operations]``."""
        distribution = self.family.posterior(
            lambda name: self.structural[f"{group.site}.{name}"], self.temperature
        )
        return EveryExample(distribution) if self.sample == "example" else distribution

    def prior_given(self, site: str, gamma: Gamma) -> GaussianWeights:
        """Prior of one weight tensor given γ; that of a fixed edge has γ = 1."""
        distribution, share = self.prior(site), self._share(site, gamma)
        if share is None:
            return distribution
        return prior_given(distribution, share, is_hard=self.family.is_hard, floor=self.gamma_floor)

    def posterior_given(self, site: str, gamma: Gamma) -> GaussianWeights:
        """Guide of one weight tensor given γ."""
        distribution, share = self.posterior(site), self._share(site, gamma)
        if share is None:
            return distribution
        return posterior_given(
            distribution,
            self.prior(site),
            share,
            coupled=self.coupling == "conjugate",
            is_hard=self.family.is_hard,
            floor=self.gamma_floor,
        )

    def _share(self, site: str, gamma: Gamma) -> Tensor | None:
        """γ of the operation that a weight belongs to, ``[]`` or ``[n]``; None on a fixed edge."""
        edge, position = owner_of(self.graph, site)
        return gamma[edge][..., position] if edge in gamma else None

    def reset(self) -> None:
        """Draw the initial means, and start Γ near the centre."""
        super().reset()
        self.anneal(0.0)
        for name, value in self._start.items():
            self.structural.assign(name, value + 0.01 * torch.randn_like(value))

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Named dims of Γ, edge and operation, then of every weight tensor."""
        return {group.site: group.dims for group in self.groups} | dict(self.layers.dims)

    def parametric_complexity(self, *_: object, **__: object) -> None:
        """Not known: the prior of the weights depends on Γ."""

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values; TypeError for a graph that has no description."""
        return {
            "net": describe_net(self._filled({})),
            **self._options,
            "prior_scale": self._prior_argument_as_json(),
            "estimator": self.estimator,
            "initial_loc": self.initial_loc,
            **self.likelihood.config(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild from what :meth:`config` gave."""
        graph = cast("Graph", build_net(config["net"]))  # which the constructor checks
        return cls(graph, **{k: v for k, v in config.items() if k != "net"})

    def describe(self) -> str:
        """Name and size of the graph."""
        return f"LatentStructureNet, mixed edges: {len(self.graph.mixed)}"
