"""A network whose operations are latent: p(w, Γ) on a graph, and q(w) q(Γ)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyro
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.func import functional_call

from bayesnas.distributions import GaussianWeights, GumbelSoftmax, LogitNormal
from bayesnas.models.checks import check_choice, check_positive
from bayesnas.models.gaussian import GaussianNet, PriorScale
from bayesnas.models.net import observe
from bayesnas.nn.edge_groups import EdgeGroup, edge_groups, owner_of
from bayesnas.nn.graph import Graph
from bayesnas.nn.layers import is_linear_or_convolution, no_layer
from bayesnas.nn.spec import UndescribableNetError
from bayesnas.nn.variational import VariationalParameters
from bayesnas.nn.weighed_graph import WeighedGraph

if TYPE_CHECKING:
    import xarray as xr

COSTS = ("parameters", "multiply-adds")
GUIDES = ("gumbel-softmax", "logit-normal")
COUPLINGS = ("independent", "power")
WEIGHTS = ("gaussian", "point")


class LatentStructureNet(GaussianNet):
    r"""A graph whose operations γ and weights w are both random.

    .. math::
        \gamma^{e} \sim GS(\tau, \ln s^e = -n^e / c), \qquad
        w^{e}_k \mid \gamma \sim N(0, \max(\gamma^e_k, \epsilon)^2 s_w^2), \qquad
        y \sim p(y \mid f(x; w, \gamma))

    with n the cost of each operation, so that P(arg max γ = k) ∝ exp(−n_k / c): on the vertices of
    the simplex the prior is p(Γ) ∝ exp(−⟨γ, n⟩/c), and the KL weight of a fit is the coefficient
    of complexity of DARTS-CC. The guide is q(Γ) q(w | Γ) with

    .. math:: q(w^e_k \mid \gamma) = N(\mu\, g^a, \sigma^2 g^{2a}), \qquad
        g = \max(\gamma^e_k, \epsilon)

    and the exponent a either 0, the source's guide, or learned, one an operation. The data
    determine products γw rather than w, so a guide that does not couple the two (a = 0) has to
    keep γ within the relative width of w, at a cost in the bound. The KL of the weights is in
    closed form given γ, and that of Γ too for the Gumbel-Softmax guide. Γ is drawn once a batch.

    An operation with a small γ has a narrow prior on its weights. ε > 0 bounds that from below:
    E γ⁻² is infinite for τ (K − 1) ≤ 2, and with ε = 0 so would be the KL divergence.

    Args:
        graph: the graph; it is copied and never changed.
        guide: ``"gumbel-softmax"``, or ``"logit-normal"`` (stick-breaking).
        cost: n: ``"parameters"``, ``"multiply-adds"``, or None for equally probable operations.
        cost_scale: c > 0, in units of n.
        temperature: τ > 0 of the prior and of the Gumbel-Softmax guide.
        gamma_floor: ε in (0, 1].
        coupling: of w and Γ in the guide: ``"independent"``, a = 0, or ``"power"``, a learned.
        weights: ``"gaussian"``, or ``"point"``: w are plain parameters without a prior, as in
            DARTS, and only Γ is random.
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
    >>> graph = bn.nn.Graph(
    ...     {("x", "h"): nn.Linear(4, 4), ("h", "y"): [nn.Linear(4, 3), nn.Linear(4, 3)]},
    ...     example=torch.zeros(2, 4),
    ... )
    >>> LatentStructureNet(graph).structure()["gamma.inclusion"].values
    array([[0.5, 0.5]], dtype=float32)
    """

    upper_level = ("structural",)

    def __init__(
        self,
        graph: Graph,
        guide: str = "gumbel-softmax",
        *,
        cost: str | None = None,
        cost_scale: float = 1000.0,
        temperature: float = 0.5,
        gamma_floor: float = 0.1,
        coupling: str = "independent",
        weights: str = "gaussian",
        prior_scale: PriorScale = 1.0,
        likelihood: str = "categorical",
        noise_scale: float | None = None,
        estimator: str = "local",
        initial_loc: str = "random",
        initial_scale: float = 0.02,
    ) -> None:
        """Build prior and guide around a copy of ``graph``; see the class."""
        check_choice("guide", guide, GUIDES)
        check_choice("coupling", coupling, COUPLINGS)
        check_choice("weights", weights, WEIGHTS)
        if cost is not None:
            check_choice("cost", cost, COSTS)
        for name, value in (("cost_scale", cost_scale), ("temperature", temperature)):
            check_positive(name, value)
        check_positive("gamma_floor", gamma_floor)
        if gamma_floor > 1:
            raise ValueError(f"gamma_floor must be in (0, 1], got {gamma_floor!r}")
        if not isinstance(graph, Graph) or not graph.mixed:
            raise ValueError(
                "graph must be a bayesnas.nn.Graph with an edge of two or more primitives, "
                f"got {type(graph).__name__}"
            )
        super().__init__(
            graph,
            prior_scale=prior_scale,
            likelihood=likelihood,
            noise_scale=noise_scale,
            estimator=estimator,
            stochastic=no_layer if weights == "point" else is_linear_or_convolution,
            initial_loc=initial_loc,
            initial_scale=initial_scale,
        )
        self.guide_kind, self.temperature, self.gamma_floor = guide, temperature, gamma_floor
        self.coupling = coupling
        self._spec: dict[str, Any] | UndescribableNetError
        try:
            self._spec = graph.to_dict()
        except UndescribableNetError as error:
            self._spec = error
        self._options: dict[str, Any] = {
            "guide": guide, "cost": cost, "cost_scale": cost_scale, "temperature": temperature,
            "gamma_floor": gamma_floor, "coupling": coupling, "weights": weights,
            "initial_scale": initial_scale,
        }  # fmt: skip
        self.groups = edge_groups(graph)
        self._create_structure(cost, cost_scale)

    @property
    def graph(self) -> Graph:
        """The graph; registered once, as ``net``."""
        return self.net  # type: ignore[return-value]

    def _create_structure(self, cost: str | None, cost_scale: float) -> None:
        """Prior logits −n/c as buffers, the guide's parameters at the centre of the simplex."""
        initial = {}
        for group in self.groups:
            logits = torch.zeros(group.shape)
            if cost is not None:
                by_edge = self.graph.parameter_counts
                by_edge = self.graph.multiply_adds if cost == "multiply-adds" else by_edge
                counts = torch.tensor([by_edge[edge] for edge in group.edges], dtype=logits.dtype)
                logits = -counts / cost_scale
            self.register_buffer(f"prior_{group.site}", logits)
            if self.guide_kind == "gumbel-softmax":
                initial[f"{group.site}.logits"] = torch.zeros(group.shape)
            else:
                edges, operations = group.shape
                initial[f"{group.site}.loc"] = torch.zeros(edges, operations - 1)
                initial[f"{group.site}.log_scale"] = torch.zeros(edges, operations - 1)
            if self.coupling == "power":
                initial[f"{group.site}.exponent"] = torch.zeros(group.shape)
        self.structural = VariationalParameters(initial)
        self._start = initial

    # Density ------------------------------------------------------------------------------

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Sample Γ ~ p(Γ), w ~ p(w | Γ) and y ~ p(y | f(x; w, Γ)); returns the outputs."""
        self.register_with_pyro()
        drawn = {g.site: pyro.sample(g.site, self.structure_prior(g)) for g in self.groups}
        gamma = self._by_edge(drawn)
        weights = {
            site: pyro.sample(site, self.prior_given(site, gamma)) for site in self.layers.shapes
        }
        output: Tensor = functional_call(self.graph, weights, (x, gamma), {"check": False})
        return observe(self.likelihood, output, x, y)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Sample Γ ~ q(Γ) and w ~ q(w | Γ)."""
        self.register_with_pyro()
        drawn = {}
        for group in self.groups:
            law: TorchDistribution = self.structure_posterior(group)
            drawn[group.site] = pyro.sample(group.site, law.to_event(1))
        gamma = self._by_edge(drawn)
        for site in self.layers.shapes:
            pyro.sample(site, self.posterior_given(site, gamma))

    def _by_edge(self, drawn: Mapping[str, Tensor]) -> dict[tuple[str, str], Tensor]:
        """A value ``[edges, operations]`` a group as one ``[operations]`` an edge."""
        return {e: drawn[g.site][i] for g in self.groups for i, e in enumerate(g.edges)}

    def structure_prior(self, group: EdgeGroup) -> TorchDistribution:
        """Prior of γ of a group of edges, one event ``[edges, operations]``."""
        logits = self.get_buffer(f"prior_{group.site}")
        law: TorchDistribution = GumbelSoftmax(self.temperature, logits=logits)
        found: TorchDistribution = law.to_event(1)
        return found

    def structure_posterior(self, group: EdgeGroup) -> GumbelSoftmax | LogitNormal:
        """Guide of γ of a group of edges, batch ``[edges]``, event ``[operations]``."""
        site = group.site
        if self.guide_kind == "gumbel-softmax":
            return GumbelSoftmax(self.temperature, logits=self.structural[f"{site}.logits"])
        scale = self.structural[f"{site}.log_scale"].exp()
        return LogitNormal(self.structural[f"{site}.loc"], scale, domain="simplex")

    def prior_given(self, site: str, gamma: Mapping[tuple[str, str], Tensor]) -> GaussianWeights:
        """Prior of one weight tensor given γ; that of a fixed edge has γ = 1."""
        scale = self.log_prior_scale[self.layers.layer_index[site]].exp()
        edge, position = owner_of(self.graph, site)
        if edge in gamma:
            scale = scale * gamma[edge][position].clamp_min(self.gamma_floor)
        shape, keep = self.layers.shapes[site], self.keep[site]
        return GaussianWeights(scale.new_zeros(()), scale, shape=shape, keep=keep)

    def posterior_given(
        self, site: str, gamma: Mapping[tuple[str, str], Tensor]
    ) -> GaussianWeights:
        """Guide of one weight tensor given γ: N(μ gᵃ, σ² g²ᵃ)."""
        law = self.posterior(site)
        edge, position = owner_of(self.graph, site)
        if self.coupling == "independent" or edge not in gamma:
            return law
        exponents = self._by_edge(
            {g.site: self.structural[f"{g.site}.exponent"] for g in self.groups}
        )
        share = gamma[edge][position].clamp_min(self.gamma_floor).pow(exponents[edge][position])
        return GaussianWeights(law.loc * share, law.scale * share, keep=law.keep, local=law.local)

    def reset(self) -> None:
        """Draw the initial means, and start Γ near the centre."""
        super().reset()
        for name, value in self._start.items():
            noise = 0.01 * torch.randn(value.shape)
            self.structural.assign(name, value + noise)

    # Reading ------------------------------------------------------------------------------

    @torch.no_grad()
    def probabilities(self) -> dict[tuple[str, str], Tensor]:
        """By mixed edge, ``[K]``: P(arg max γ = k) of a Gumbel-Softmax, E γ of a logit-normal."""
        found: dict[tuple[str, str], Tensor] = {}
        for group in self.groups:
            law = self.structure_posterior(group)
            values = law.probs if isinstance(law, GumbelSoftmax) else law.mean
            found |= dict(zip(group.edges, values.detach().unbind(0), strict=True))
        return found

    def structure(self) -> xr.Dataset:
        """Probabilities of the operations, edge × operation, a variable for every edge group."""
        import xarray as xr

        probabilities = self.probabilities()
        variables, coords = {}, dict[str, list[str]]()
        for group in self.groups:
            values = torch.stack([probabilities[edge] for edge in group.edges])
            variables[f"{group.site}.inclusion"] = (group.dims, values.cpu().numpy())
            coords |= group.coords()
        return xr.Dataset(variables, coords, {"quantity": "posterior probability of an operation"})

    def architecture(self) -> Graph:
        """The likeliest operation of every edge, with the means of w given γ = 1 as its weights."""
        choice: dict[tuple[str | int, str | int], str | Tensor] = dict(self.probabilities().items())
        return self._filled({}).discrete(choice)

    def plain_module(self) -> nn.Module:
        """The graph at the posterior means of w, its operations weighed by their probabilities."""
        gamma = self.probabilities()
        return WeighedGraph(self._filled(gamma), gamma)

    def weight_posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of every weight where γ is at its probabilities."""
        gamma = self.probabilities()
        found = {site: self.posterior_given(site, gamma) for site in self.layers.shapes}
        return {site: (q.loc.detach(), q.scale.detach()) for site, q in found.items()}

    def _filled(self, gamma: Mapping[tuple[str, str], Tensor]) -> Graph:
        """The graph at the means of w given γ; γ is 1 on the edges that are not in it."""
        means = {s: self.posterior_given(s, gamma).mean.detach() for s in self.layers.shapes}
        filled: Graph = self.layers.filled(self.graph, means)  # type: ignore[assignment]
        return filled

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Named dims of Γ, edge and operation, then of every weight tensor."""
        return {group.site: group.dims for group in self.groups} | dict(self.layers.dims)

    def parametric_complexity(self) -> None:  # type: ignore[override]
        """Not known: the prior of the weights depends on Γ."""
        return

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values; TypeError for a graph that has no description."""
        if isinstance(self._spec, UndescribableNetError):
            raise self._spec
        prior = self._prior_argument
        return {
            "graph": self._spec,
            **self._options,
            "prior_scale": prior if isinstance(prior, (int, float, str)) else self._prior_list(),
            "estimator": self.estimator,
            "initial_loc": self.initial_loc,
            **self.likelihood.config(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LatentStructureNet:
        """Rebuild from what :meth:`config` gave."""
        options = {name: value for name, value in config.items() if name != "graph"}
        return cls(Graph.from_dict(config["graph"]), **options)

    def describe(self) -> str:
        """Name and size of the graph."""
        edges = len(self.graph.mixed)
        return f"LatentStructureNet, {edges} mixed edge{'s' if edges > 1 else ''}"
