"""Bayesian compression: scale priors on whole units and filters (Louizos et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from bayesnas.checks import choice, positive
from bayesnas.data.inputs import AnyInputs
from bayesnas.distributions import GaussianWeights, GroupScales
from bayesnas.distributions.gaussian_divergence import positive_exp
from bayesnas.likelihoods import AnyLikelihood, make_likelihood
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.models.compression.scale_bounds import bounded, layer_bounds
from bayesnas.models.compression.scale_priors import (
    GroupPrior,
    HorseshoeScales,
    NormalJeffreysScales,
    TruncatedLogUniformScales,
)
from bayesnas.models.contract.fit_defaults import FitDefaults
from bayesnas.models.networks.base import network_outputs, observe
from bayesnas.nn import VariationalParameters
from bayesnas.nn.graphs.net_spec import describe_net
from bayesnas.nn.modules.initial_values import StartingValues
from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.nn.modules.stochastic_layers import StochasticLayers, is_linear_or_convolution
from bayesnas.nn.modules.weight_groups import Groups, find_groups
from bayesnas.nn.user_networks.layer_rule import Layers, layer_rule, picked_layers
from bayesnas.nn.user_networks.user_module import check_weights, copied_net
from bayesnas.typed import typed

_LARGEST_LOG_SCALE = 5.0
_FEW = 1000  # examples; see docs/defaults.md

PRIORS = ("normal-jeffreys", "horseshoe", "log-uniform-truncated")


@typed()
class BayesianCompressionNet(GroupedWeights):
    r"""A network in which every input unit or filter of a layer has a random scale.

    .. math:: w_{gi} = z_g \tilde w_{gi},\quad \tilde w \sim N(0, 1),\quad z_g \sim p(z)

    The groups g are the input units of a linear layer and the filters of a convolution (a
    filter's bias is in its group). The prior of z has much mass at 0, so that whole groups
    lose all but noise, and can be removed. The guide is :math:`q(\tilde w) = N(\mu, \sigma^2)`
    with

    - ``"normal-jeffreys"``: :math:`p(z) \propto 1/|z|`, :math:`q(z) = N(\mu_z, \alpha\mu_z^2)`,
    - ``"horseshoe"``: z half-Cauchy, with a half-Cauchy scale for each layer, as products of
      Gamma and inverse Gamma variables with log-normal guides,
    - ``"log-uniform-truncated"``: ln z uniform on an interval, q(z) truncated log-normal.

    A fit that is not told ``kl_weight`` takes λ = 1 for fewer than 1,000 examples, and 0.1 from
    there on: at 1 the network underfits many examples, at 0.1 it is too sure of what few say.

    Args:
        net: any network of linear and convolution layers; it is copied and never changed.
        prior: of z, one of the three above.
        likelihood: one of ``bayesnas.likelihoods.available()``, or an object of a class there or of
            one's own (``bayesnas.likelihoods.LikelihoodContract``).
        noise_scale: for ``"gaussian"``: standard deviation of the noise, None to learn it.
        global_scale: τ of the half-Cauchy prior on a layer's scale, for ``"horseshoe"``.
        estimator: ``"local"`` draws z and the outputs of the layers for every example (local
            reparameterisation), ``"weight"`` draws z and the weights once a batch.
        stochastic: which layers have the prior, as for ``GaussianNet``; by default every linear
            and convolution layer.
        initial_loc: ``"random"`` draws the initial means by each layer's own
            ``reset_parameters`` under the seed of the fit; ``"net"`` starts at the weights of
            ``net``, for a trained one, and every fit begins there anew (``Posterior.refine`` goes
            on from a fit).
        initial_scale: initial posterior standard deviation of w̃ and of z (of ln z).
        max_scale: upper bound of the posterior standard deviation of w̃: None, one number, or a
            dict by layer name. It keeps the first layers from being lost to noise.

    Raises:
        ValueError: naming the argument, what came and what was expected.
        TypeError: for ``stochastic`` that says of no layer whether it is.

    References:
        Louizos, Ullrich, Welling, *Bayesian compression for deep learning*, NIPS 2017.

    >>> import bayesnas as bn
    >>> model = bn.models.BayesianCompressionNet(bn.nn.mlp([4, 8, 3]))
    >>> model.group_names()
    {'layer1': 'layer1.in', 'layer2': 'layer2.in'}
    """

    def __init__(
        self,
        net: nn.Module,
        prior: str = "normal-jeffreys",
        *,
        likelihood: AnyLikelihood = "categorical",
        noise_scale: float | None = None,
        global_scale: float = 1e-5,
        estimator: str = "local",
        stochastic: Layers = is_linear_or_convolution,
        initial_loc: str = "random",
        initial_scale: float = math.exp(-4.5),
        max_scale: float | Mapping[str, float] | None = None,
    ) -> None:
        """Build prior, guide and likelihood around a copy of ``net``; see the class."""
        super().__init__()
        choice("prior", prior, PRIORS)
        choice("estimator", estimator, ("local", "weight"))
        choice("initial_loc", initial_loc, ("random", "net"))
        self.estimator = estimator
        self.initial_loc = initial_loc
        self.initial_scale = positive("initial_scale", initial_scale)
        self.global_scale = positive("global_scale", global_scale)
        self.net = copied_net(net)
        rule = layer_rule(stochastic, self.net)
        check_weights(self.net, rule)
        groups = find_groups(self.net, rule)
        self.layers = StochasticLayers(self.net, rule)
        self.likelihood = make_likelihood(likelihood, noise_scale).to(self.layers.dtype)
        self.task = self.likelihood.task
        # A layer whose weight is tied to another's is in the groups of that one.
        untied = {n: g for n, g in groups.items() if dotted(n, "weight") in self.layers.shapes}
        self.groups: dict[str, Groups] = untied
        self.scale_prior = _scale_prior(prior, self.global_scale)
        self._picked = picked_layers(rule, self.layers.names, self.net)
        self._max_scale = layer_bounds(max_scale, self.layers.names)
        self._create_posterior()

    def _create_posterior(self) -> None:
        initial = {}
        for name, groups in self.groups.items():
            for variable, loc in self.scale_prior.initial_locs(groups.count).items():
                site = dotted(name, variable)
                initial[f"{site}.loc"] = loc = loc.to(self.layers.dtype)
                initial[f"{site}.log_scale"] = self._initial_log_scale(loc)
        for site, value in self.layers.initial.items():
            initial[f"{site}.loc"] = value
            initial[f"{site}.log_scale"] = self._initial_log_scale(value)
        self.variational = VariationalParameters(initial)
        from_net = {**self.layers.initial, **dict(self.net.named_parameters())}
        self.start = StartingValues(from_net if self.initial_loc == "net" else {})
        self.keep = KeepMasks(self.layers.shapes)
        self.keep_groups = KeepMasks({n: torch.Size([g.count]) for n, g in self.groups.items()})

    def _initial_log_scale(self, like: Tensor) -> Tensor:
        return torch.full_like(like, math.log(self.initial_scale))

    # The density and its guide --------------------------------------------------------------

    def model(self, x: AnyInputs, y: Tensor | None = None) -> Tensor:
        """Sample z, w̃ and y ~ p(y | f(x; z w̃)); returns the network's outputs."""
        self.register_with_pyro()
        scales = {name: self._sample_scales(name) for name in self.groups}
        weights = {}
        for site in self.layers.shapes:
            weight = pyro.sample(site, self.prior(site))
            weights[site] = self._times_scale(site, weight, scales)
        output = network_outputs(self.net, weights, x)
        return observe(self.likelihood, output, x, y)

    def guide(self, x: AnyInputs, y: Tensor | None = None) -> None:
        """Sample q(z) and q(w̃)."""
        self.register_with_pyro()
        for name in self.groups:
            for variable in self.scale_prior.variables:
                pyro.sample(dotted(name, variable), self.scale_posterior(name, variable))
        for site in self.layers.shapes:
            pyro.sample(site, self.posterior(site))

    def _sample_scales(self, name: str) -> Tensor:
        values = {}
        for variable in self.scale_prior.variables:
            site = dotted(name, variable)
            like = self.variational[f"{site}.loc"].detach()
            prior = GroupScales(self.scale_prior.prior(variable, like), self._kept(name, like))
            values[variable] = pyro.sample(site, prior)
        return self.scale_prior.join(values)

    def _kept(self, name: str, like: Tensor) -> Tensor | None:
        return self.keep_groups[name] if like.ndim else None

    def prior(self, site: str) -> GaussianWeights:
        """Prior N(0, 1) of one tensor w̃.

        Raises:
            ValueError: for a site that is none.
        """
        choice("site", site, self.layers.shapes)
        one = torch.ones_like(self.variational[f"{site}.loc"][..., :1]).flatten()[0]
        return GaussianWeights(
            torch.zeros_like(one), one, shape=self.layers.shapes[site], keep=self.keep[site]
        )

    def posterior(self, site: str) -> GaussianWeights:
        """Guide of one tensor w̃.

        Raises:
            ValueError: for a site that is none.
        """
        choice("site", site, self.layers.shapes)
        log_scale = self.variational[f"{site}.log_scale"]
        bound = self._max_scale[self.layers.layer_index[site]]
        if bound is not None:
            log_scale = bounded(log_scale, math.log(bound))
        return GaussianWeights(
            self.variational[f"{site}.loc"],
            log_scale=log_scale,
            keep=self.keep[site],
            local=self.estimator == "local" and site not in self.layers.tied,
        )

    @typed()
    def scale_posterior(self, name: str, variable: str) -> GroupScales:
        """Guide of one of a layer's scale variables.

        Raises:
            TypeError: naming an argument of another type.
            KeyError: for a layer or a variable that there is none of.
        """
        site = dotted(name, variable)
        loc, log_scale = self.variational[f"{site}.loc"], self.variational[f"{site}.log_scale"]
        # A group without any data would drift to infinity, where its KL is flat.
        scale = positive_exp(bounded(log_scale, _LARGEST_LOG_SCALE))
        base = self.scale_prior.guide(variable, loc, scale)
        return GroupScales(base, self._kept(name, loc), local=self.estimator == "local")

    def fit_defaults(self, examples: int) -> FitDefaults:
        """Steps enough for groups to part, and a λ that rises as weights find their use."""
        return FitDefaults(
            lr=0.02,
            batch_size=max(32, min(256, examples // 16)),
            kl_weight=1.0 if examples < _FEW else 0.1,
            kl_warmup=0.5,
        )

    def reset(self) -> None:
        """Draw the initial means (or go back to the net's), reset scales and z; masks stay."""
        if self.initial_loc == "net":
            self._restore_net()
        else:
            self.redraw_means()
        for name, groups in self.groups.items():
            for variable, loc in self.scale_prior.initial_locs(groups.count).items():
                self.variational.assign(f"{dotted(name, variable)}.loc", loc)
        for parameter in self.variational:
            if parameter.endswith(".log_scale"):
                initial = self._initial_log_scale(self.variational[parameter])
                self.variational.assign(parameter, initial)

    @torch.no_grad()
    def _restore_net(self) -> None:
        for name in self.start:
            if name in self.layers.shapes:
                self.variational.assign(f"{name}.loc", self.start[name])
            else:
                self.net.get_parameter(name).copy_(self.start[name])

    # Files ------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values; TypeError for a net that has no description."""
        picked = {} if self._picked is None else {"stochastic": self._picked}
        bounds = dict(zip(self.layers.names, self._max_scale, strict=True))
        return {
            "net": describe_net(self.plain_module()),
            "prior": self.scale_prior.name,
            "global_scale": self.global_scale,
            "estimator": self.estimator,
            "initial_loc": self.initial_loc,
            "initial_scale": self.initial_scale,
            "max_scale": {name: bound for name, bound in bounds.items() if bound is not None},
            **picked,
            **self.likelihood.config(),
        }

    def _name(self) -> str:
        return f"{type(self).__name__} ({self.scale_prior.name})"


def _scale_prior(prior: str, global_scale: float) -> GroupPrior:
    if prior == "horseshoe":
        return HorseshoeScales(global_scale)
    return NormalJeffreysScales() if prior == "normal-jeffreys" else TruncatedLogUniformScales()
