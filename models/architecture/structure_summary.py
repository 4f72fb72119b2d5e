"""What the posterior of a graph of operations says: probabilities, networks, weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.distributions import GaussianWeights
from bayesnas.models.architecture.guides import StructureGuide
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.nn.graphs.discretisation import likely_operations
from bayesnas.nn.graphs.edge_groups import EdgeGroup, Gamma, by_edge, operations_dataset
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import Edge
from bayesnas.nn.graphs.weighted_graph import WeightedGraph

if TYPE_CHECKING:
    import xarray as xr


class StructureSummary(GaussianNet):
    """Summarises structure and weights of a model with a latent structure; a base class.

    Attributes:
        groups: mixed edges by their operations.
        family: guide of γ.
    """

    groups: tuple[EdgeGroup, ...]
    family: StructureGuide

    @property
    def graph(self) -> Graph:
        """The graph; registered once, as ``net``."""
        return cast("Graph", self.net)

    def structure_posterior(self, group: EdgeGroup) -> TorchDistribution:
        """Guide of γ of a group of edges, one event ``[edges, operations]``."""
        raise NotImplementedError

    def posterior_given(self, site: str, gamma: Gamma) -> GaussianWeights:
        """Guide of one weight tensor given γ."""
        raise NotImplementedError

    @torch.no_grad()
    def probabilities(self) -> dict[Edge, Tensor]:
        """By mixed edge, ``[K]``: P(arg max γ = k) or P(γ_k > ½) where known, else E γ."""
        means = {g.site: self.structure_posterior(g).mean.detach() for g in self.groups}
        return by_edge(self.groups, means)

    def structure(self) -> xr.Dataset:
        """Probabilities of the operations, edge × operation, a variable for every edge group."""
        events = "independent" if self.family.is_cube else "exclusive"
        return operations_dataset(self.groups, self.probabilities()).assign_attrs(events=events)

    def architecture(self) -> Graph:
        """The likeliest network, with the means of w given γ = 1, without dead edges.

        On the simplex the likeliest operation of every edge; in the cube all that are likelier
        than ½, added up, or the likeliest where none is. ``Graph.without_dead_edges`` says which
        edges are dead; leaving them out changes no value.
        """
        probabilities = self.probabilities()
        present = {edge: torch.ones_like(values) for edge, values in probabilities.items()}
        choice = likely_operations(self.graph, probabilities, several=self.family.is_cube)
        return self._filled(present).discrete(choice).without_dead_edges()

    def plain_module(self) -> nn.Module:
        """The graph at the posterior means of w, its operations weighted by their probabilities."""
        gamma = self.probabilities()
        return WeightedGraph(self._filled(gamma), gamma)

    def weight_posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of every weight where γ is at its probabilities."""
        gamma = self.probabilities()
        posteriors = {site: self.posterior_given(site, gamma) for site in self.layers.shapes}
        return {site: (q.loc.detach(), q.scale.detach()) for site, q in posteriors.items()}

    def _filled(self, gamma: Gamma) -> Graph:
        """The graph at the means of w given γ."""
        means = {s: self.posterior_given(s, gamma).mean.detach() for s in self.layers.shapes}
        return cast("Graph", self.layers.filled(self.graph, means))
