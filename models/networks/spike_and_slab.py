"""Gates on the weights, neurons or filters of any network, with Gaussian weights behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, instance, positive, probability
from bayesnas.distributions import GaussianWeights, SpikeAndSlab
from bayesnas.distributions.weights.gated_weights import GatedWeights
from bayesnas.likelihoods import AnyLikelihood, make_likelihood
from bayesnas.models.networks.base import network_outputs, observe
from bayesnas.models.networks.gate_relaxations import GateDistribution, GatePrior, RelaxedGates
from bayesnas.models.networks.slabs import SlabModel
from bayesnas.nn import VariationalParameters
from bayesnas.nn.graphs.net_spec import describe_net
from bayesnas.nn.modules.gate_groups import GateGroup, gate_groups
from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.stochastic_layers import StochasticLayers, is_linear_or_convolution
from bayesnas.nn.user_networks.layer_rule import Layers, layer_rule, picked_layers
from bayesnas.nn.user_networks.user_module import check_weights, copied_net
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


@typed()
class SpikeAndSlabNet(SlabModel):
    r"""A network with gates: weights, neurons or filters are in it with some probability.

    .. math::
        z_g \sim p(z; \pi), \qquad w_i \mid z \sim N(0, s^2)\ \text{if}\ z_{g(i)} > 0,
        \ \text{else}\ \delta_0, \qquad y \sim p(y \mid f(x; z \odot w))

    A gate that is shut takes its weights out of the network and out of the KL divergence. What a
    gate is drawn from, in prior and guide, is a relaxed Bernoulli variable:

    - ``"hard-concrete"`` is 0 (or 1) with positive probability, so gates do shut; π is P(z > 0).
      Gates that are 0 at test time are 0 in ``plain_module()``, and gone from ``compact()``.
    - ``"binary-concrete"`` comes near 0 and 1; π is P(z > ½). Remove small gates by ``prune``.

    Args:
        net: the network; it is copied and never changed.
        gates: what one gate multiplies: ``"weights"``, ``"neurons"`` (inputs of linear layers)
            or ``"filters"`` (outputs of convolutions), or both of these in a sequence; see
            :func:`~bayesnas.nn.modules.gate_groups.gate_groups`.
        inclusion: prior probability π, in (0, 1), or ``"learned"``, one a layer by type-II maximum
            likelihood. Gates that the data say nothing of come to rest at it: below about 0.3 a
            hard concrete gate at rest is shut at test time.
        slab_scale: s > 0, or ``"learned"``, one a layer by type-II maximum likelihood.
        relaxation: ``"hard-concrete"`` or ``"binary-concrete"``.
        temperature: of the gates, > 0.
        initial_inclusion: probability at which the gates of the guide start, in (0, 1).
        stochastic: which layers have gates and a distribution, as for ``GaussianNet``.
        likelihood, noise_scale, estimator, initial_loc, initial_scale: as for ``GaussianNet``.

    Raises:
        ValueError: naming the argument, what came and what was expected; also for a net without
            layers of the kind that ``gates`` asks for.

    References:
        Louizos, Welling, Kingma, *Learning sparse neural networks through L0 regularization*,
        2018; Titsias, Lázaro-Gredilla, *Spike and slab variational inference*, 2011.

    >>> import bayesnas as bn
    >>> model = SpikeAndSlabNet(bn.nn.mlp([4, 8, 3]), gates="neurons")
    >>> list(model.site_dims())[:2]
    ['layer1.gate', 'layer2.gate']
    """

    usual_warmup = 0.5  # a whole λ would shut the gates before their weights are of use

    def __init__(
        self,
        net: nn.Module,
        gates: str | Sequence[str] = "weights",
        *,
        inclusion: float | str = 0.1,
        slab_scale: float | str = 1.0,
        relaxation: str = "hard-concrete",
        temperature: float = 2 / 3,
        initial_inclusion: float = 0.95,
        likelihood: AnyLikelihood = "categorical",
        noise_scale: float | None = None,
        estimator: str = "local",
        stochastic: Layers = is_linear_or_convolution,
        initial_loc: str = "random",
        initial_scale: float = 0.02,
    ) -> None:
        """Build gates, prior, guide and likelihood around a copy of ``net``; see the class."""
        super().__init__()
        choice("estimator", estimator, ("local", "weight"))
        choice("initial_loc", initial_loc, ("random", "net"))
        self._initial_log_scale = math.log(positive("initial_scale", initial_scale))
        initial_inclusion = probability("initial_inclusion", initial_inclusion)
        slab_scale = slab_scale if slab_scale == "learned" else positive("slab_scale", slab_scale)
        self.gates = RelaxedGates(relaxation, temperature)
        self.initial_loc = initial_loc
        self.net = copied_net(net)
        rule = layer_rule(stochastic, self.net)
        check_weights(self.net, rule)
        self.layers = StochasticLayers(self.net, rule)
        self.likelihood = make_likelihood(likelihood, noise_scale).to(self.layers.dtype)
        self.task = self.likelihood.task
        self._picked = picked_layers(rule, self.layers.names, self.net)
        self.groups = gate_groups(self.layers, gates)
        self._gate_of = {site: group for group in self.groups for site in group.views}
        sites = [group.site for group in self.groups]
        self.gate_prior_logits = GatePrior(self.gates, inclusion, sites, self.layers.dtype)
        self._config: dict[str, Any] = {
            "gates": gates if isinstance(gates, str) else list(gates),
            "inclusion": self.gate_prior_logits.argument,
            "slab_scale": slab_scale,
            "relaxation": relaxation,
            "temperature": temperature,
            "initial_inclusion": initial_inclusion,
            "estimator": estimator,
            "initial_loc": initial_loc,
            "initial_scale": initial_scale,
        }
        self._create_parameters(slab_scale)

    def _create_parameters(self, slab_scale: float | str) -> None:
        self.create_slab_scale(slab_scale)
        dtype = self.layers.dtype
        initial = {f"{g.site}.logits": torch.zeros(g.shape, dtype=dtype) for g in self.groups}
        self.variational = VariationalParameters(initial | self._initial_slabs())
        self.keep = KeepMasks(self.layers.shapes)

    def model(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Sample z ~ p(z), w ~ p(w | z) and y ~ p(y | f(x; z ⊙ w)); returns the outputs."""
        self.register_with_pyro()
        gates = self._sample_gates(self.gate_prior)
        weights = {}
        for site in self.layers.shapes:
            weight = pyro.sample(site, self.prior(site, gates))
            weights[site] = weight * gates[site] if site in gates else weight
        output = network_outputs(self.net, weights, x)
        return observe(self.likelihood, output, x, y)

    def guide(self, x: Any, y: Tensor | None = None) -> None:
        """Sample z ~ q(z) and w ~ q(w | z)."""
        self.register_with_pyro()
        gates = self._sample_gates(self.gate_posterior)
        for site in self.layers.shapes:
            pyro.sample(site, self.posterior(site, gates))

    def _sample_gates(self, of_group: Callable[[GateGroup], GateDistribution]) -> dict[str, Tensor]:
        """Gates in [0, 1] by weight site, each broadcastable to its weights."""
        gates: dict[str, Tensor] = {}
        for group in self.groups:
            event = self.gates.event(of_group(group), group, self.keep)
            gate = self.gates.gate(pyro.sample(group.site, event))
            gates |= {site: gate.reshape(view) for site, view in group.views.items()}
        return gates

    def gate_prior(self, group: GateGroup) -> GateDistribution:
        """Prior of a layer's gates."""
        return self.gates.distribution(self.gate_prior_logits(group.site, self._logits(group)))

    def structure_priors(self) -> dict[str, TorchDistribution]:
        """Prior of the gates by site, also of those whose weights are all removed."""
        return {g.site: dist.Independent(self.gate_prior(g), len(g.shape)) for g in self.groups}

    def prior_parameters(self) -> tuple[str, ...]:
        """The logits of the gates and the log slab scales, where they are trained."""
        names = () if self.gate_prior_logits.logits is None else ("gate_prior_logits",)
        return (*names, *super().prior_parameters())

    def gate_posterior(self, group: GateGroup) -> GateDistribution:
        """Guide of a layer's gates."""
        return self.gates.distribution(self._logits(group))

    def _logits(self, group: GateGroup) -> Tensor:
        return self.variational[f"{group.site}.logits"]

    def prior(self, site: str, gates: Mapping[str, Tensor]) -> GaussianWeights:
        """Prior of one weight tensor given the gates by site, whose shapes broadcast to its own.

        Raises:
            ValueError, TypeError: for a site that is none, or gates that are no mapping.
        """
        choice("site", site, self.layers.shapes)
        instance("gates", gates, Mapping, "mapping by site")
        scale = self.log_slab_scale[self.layers.layer_index[site]].exp()
        shape, keep = self.layers.shapes[site], self.keep[site]
        if site in gates and self.gates.shuts:
            is_open = (gates[site] > 0).expand(shape)
            keep = is_open if keep is None else is_open & keep
        return GaussianWeights(scale.new_zeros(()), scale, shape=shape, keep=keep)

    def posterior(self, site: str, gates: Mapping[str, Tensor]) -> GaussianWeights:
        """Guide of one weight tensor given the gates by site, whose shapes broadcast to its own.

        Raises:
            ValueError, TypeError: for a site that is none, or gates that are no mapping.
        """
        choice("site", site, self.layers.shapes)
        instance("gates", gates, Mapping, "mapping by site")
        loc, log_scale = (self.variational[f"{site}.{name}"] for name in ("loc", "log_scale"))
        local = self._config["estimator"] == "local" and site not in self.layers.tied
        if site not in gates or not self.gates.shuts:
            return GaussianWeights(loc, log_scale=log_scale, keep=self.keep[site], local=local)
        is_open = (gates[site] > 0).expand(loc.shape)
        prob, keep = self._inclusion(site), self.keep[site]
        return GatedWeights(loc, None, is_open, prob, keep, local, log_scale)

    def _inclusion(self, site: str) -> Tensor:
        """Gate probabilities of a weight site, broadcastable to it."""
        group = self._gate_of[site]
        return self.gates.inclusion(self._logits(group)).reshape(group.views[site])

    def reset(self) -> None:
        """Open the gates, draw the initial means (unless ``initial_loc="net"``)."""
        self._reset_slabs()
        start = self.gates.location(self._config["initial_inclusion"])
        for group in self.groups:
            logits = start + 0.01 * torch.randn(group.shape, dtype=self.dtype)
            self.variational.assign(f"{group.site}.logits", logits)

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Named dims of the gates, then of every weight tensor."""
        return {group.site: group.dims for group in self.groups} | self.layers.dims

    def structure(self) -> xr.Dataset:
        """Posterior probability of every gate, one variable a layer, ``layer1.inclusion``.

        P(z > 0) for hard concrete gates, P(z > ½) for binary concrete ones; 0 for a gate all of
        whose weights are removed.
        """
        import xarray as xr

        variables = {}
        for group in self.groups:
            kept = group.any_kept(self.keep.masks())
            values = (self.gates.inclusion(self._logits(group)).detach() * kept).cpu().numpy()
            variables[group.site.removesuffix("gate") + "inclusion"] = (group.dims, values)
        return xr.Dataset(variables, attrs={"quantity": "P(gate is open)", "events": "independent"})

    def weight_posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of every weight as a spike and slab, by site."""
        moments = {}
        for site in self.layers.shapes:
            loc, scale = (value.detach() for value in self._slab(site))
            if site in self._gate_of:
                weight = SpikeAndSlab(self._inclusion(site).detach(), loc, scale)
                loc, scale = weight.mean, weight.variance.sqrt()
            moments[site] = (loc, scale)
        return moments

    def keep_masks(self) -> dict[str, Tensor]:
        """Which weights are kept, by site; those behind a gate that is 0 at test time are not."""
        masks = self.keep.masks()
        if self.gates.shuts:
            for group in self.groups:
                is_open = self.gates.point(self._logits(group)) > 0
                for site, view in group.views.items():
                    masks[site] &= is_open.reshape(view)
        return masks

    @torch.no_grad()
    def plain_module(self) -> nn.Module:
        """A copy of the network with gate times posterior mean as ordinary parameters."""
        values = {site: self._slab(site)[0].detach().clone() for site in self.layers.shapes}
        for group in self.groups:
            point = self.gates.point(self._logits(group))
            for site, view in group.views.items():
                values[site] *= point.reshape(view)
        for site, mask in self.keep.masks().items():
            values[site] *= mask
        return self.layers.filled(self.net, values)

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values; TypeError for a net that has no description."""
        picked = {} if self._picked is None else {"stochastic": self._picked}
        return {
            "net": describe_net(self.plain_module()),
            **(picked | self._config),
            **self.likelihood.config(),
        }
