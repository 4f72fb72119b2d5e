"""Mean-field Gaussian posterior on the weights of any network (Graves 2011; Blundell 2015)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pyro
import torch
from torch import Tensor, nn

from bayesnas.checks import choice, positive
from bayesnas.complexity import ANY_SCALE, PriorScales, ScaleRange, smallest_kl_of_layers
from bayesnas.data.inputs import AnyInputs
from bayesnas.distributions import GaussianWeights
from bayesnas.likelihoods import AnyLikelihood, make_likelihood
from bayesnas.models.networks.base import NetModel, network_outputs, observe
from bayesnas.models.networks.linear_evidence import linear_log_evidence
from bayesnas.models.networks.prior_scale import PriorScale, layer_scales
from bayesnas.nn.graphs.net_spec import describe_net
from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.stochastic_layers import (
    StochasticLayers,
    has_weights,
)
from bayesnas.nn.modules.variational_parameters import VariationalParameters
from bayesnas.nn.user_networks.layer_rule import Layers, layer_rule, picked_layers
from bayesnas.nn.user_networks.user_module import check_weights, copied_net
from bayesnas.pruning.criteria.relative_density import relative_density
from bayesnas.scalars import is_number
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


@typed()
class GaussianNet(NetModel):
    r"""A network whose weights and biases have independent Gaussian priors and posteriors.

    .. math:: p(w) = \prod_i N(w_i; 0, s^2),\quad q(w) = \prod_i N(w_i; \mu_i, \sigma_i^2)

    The network is any ``torch.nn.Module``; every parameter of the layers that ``stochastic``
    picks becomes a Pyro site of its own name (``layer1.weight``). The other layers keep point
    estimates, trained by maximum likelihood.

    Args:
        net: the network; it is copied and never changed.
        prior_scale: prior standard deviation s: one number; one a stochastic layer, as a
            sequence in the order of ``net.named_modules()`` or a dict by layer name; or
            ``"learned"``, one a layer, or ``"ard"``, one a weight, by type-II maximum likelihood.
        likelihood: one of ``bayesnas.likelihoods.available()``, or an object of a class there or of
            one's own (``bayesnas.likelihoods.LikelihoodContract``).
        noise_scale: for ``"gaussian"``: standard deviation of the noise, None to learn it.
        estimator: ``"local"`` samples the outputs of linear and convolution layers (local
            reparameterisation), ``"weight"`` samples the weights once a batch, as those of all
            other layers (embeddings, recurrent layers, attention) are in any case.
        stochastic: which layers get a distribution: a function ``(name, module) -> bool``, names
            of layers (that of a block stands for the layers of weights in it), types of modules,
            or names and types in a sequence; by default every layer of weights
            (``bayesnas.nn.has_weights``): linear, convolution, embedding, recurrent, attention, so
            normalisation layers stay deterministic.
            Frozen parameters (``requires_grad=False``) keep their values in any case.
            ``"none"``: none, all weights are point estimates of maximum likelihood.
        initial_loc: ``"random"`` draws the initial means by each layer's own
            ``reset_parameters`` under the seed of the fit; ``"net"`` starts at the weights of
            ``net``, for a trained one.
        initial_scale: initial posterior standard deviation.

    Raises:
        ValueError: naming the argument, what came and what was expected.
        TypeError: for ``stochastic`` that says of no layer whether it is.

    Attributes:
        conditional: whether prior and posterior of the weights depend on a structure.

    >>> import torch, bayesnas as bn
    >>> model = bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]), prior_scale=0.5)
    >>> list(model.site_dims())
    ['layer1.weight', 'layer1.bias', 'layer2.weight', 'layer2.bias']
    """

    upper_level = ("log_prior_scale",)
    conditional: ClassVar[bool] = False

    def __init__(
        self,
        net: nn.Module,
        *,
        prior_scale: PriorScale = 1.0,
        likelihood: AnyLikelihood = "categorical",
        noise_scale: float | None = None,
        estimator: str = "local",
        stochastic: Layers = has_weights,
        initial_loc: str = "random",
        initial_scale: float = 0.02,
    ) -> None:
        """Build prior, guide and likelihood around a copy of ``net``; see the class."""
        super().__init__()
        choice("estimator", estimator, ("local", "weight"))
        choice("initial_loc", initial_loc, ("random", "net"))
        initial_scale = positive("initial_scale", initial_scale)
        self.estimator = estimator
        self.initial_loc = initial_loc
        self.initial_scale = initial_scale
        self.net = copied_net(net)
        rule = layer_rule(stochastic, self.net, has_weights)
        check_weights(self.net, rule)
        self.layers = StochasticLayers(self.net, rule)
        self.likelihood = make_likelihood(likelihood, noise_scale).to(self.layers.dtype)
        self.task = self.likelihood.task
        self._picked = picked_layers(rule, self.layers.names, self.net)
        self._prior_argument = prior_scale
        self._create_prior(prior_scale)
        self._create_posterior()

    def _create_prior(self, prior_scale: PriorScale) -> None:
        scales = layer_scales(prior_scale, self.layers.names)
        log_scale = torch.tensor(scales, dtype=self.layers.dtype).log()
        self.log_prior_scale: nn.Parameter | Tensor | VariationalParameters
        if prior_scale == "ard":
            initial = self.layers.initial.items()
            self.log_prior_scale = VariationalParameters(
                {site: torch.zeros_like(value) for site, value in initial}
            )
        elif isinstance(prior_scale, str):
            self.log_prior_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_prior_scale", log_scale)

    def _create_posterior(self) -> None:
        initial = {}
        for site, value in self.layers.initial.items():
            initial[f"{site}.loc"] = value
            initial[f"{site}.log_scale"] = torch.full_like(value, self.initial_scale).log()
        self.variational = VariationalParameters(initial)
        self.keep = KeepMasks(self.layers.shapes)
        self.keep.assign(self.layers.without_padding(self.net))

    def model(self, x: AnyInputs, y: Tensor | None = None) -> Tensor:
        """Sample w ~ p(w) and y ~ p(y | f(x; w)); returns the network's outputs."""
        self.register_with_pyro()
        weights = {site: pyro.sample(site, self.prior(site)) for site in self.layers.shapes}
        output = network_outputs(self.net, weights, x)
        return observe(self.likelihood, output, x, y)

    def guide(self, x: AnyInputs, y: Tensor | None = None) -> None:
        """Sample w ~ q(w)."""
        self.register_with_pyro()
        for site in self.layers.shapes:
            pyro.sample(site, self.posterior(site))

    def _check_site(self, site: str) -> None:
        if not isinstance(site, str) or site not in self.layers.shapes:
            choice("site", site, self.layers.shapes)

    def prior(self, site: str) -> GaussianWeights:
        """Prior of one weight tensor.

        Raises:
            ValueError: for a site that is none.
        """
        self._check_site(site)
        scale = self._log_prior_scale(site).exp()
        return GaussianWeights(
            scale.new_zeros(()), scale, shape=self.layers.shapes[site], keep=self.keep[site]
        )

    def _log_prior_scale(self, site: str) -> Tensor:
        given = self.log_prior_scale
        if isinstance(given, VariationalParameters):
            return given[site]
        return given[self.layers.layer_index[site]]

    def prior_parameters(self) -> tuple[str, ...]:
        """The log prior scales, where they are trained."""
        learned = isinstance(self._prior_argument, str) and bool(self.layers.names)
        return ("log_prior_scale",) if learned else ()

    def metaparameters(self) -> tuple[str, ...]:
        """``prior_scale``, where it is one number, and those of the likelihood."""
        single = is_number(self._prior_argument) and bool(self.layers.names)
        return (*(("prior_scale",) if single else ()), *super().metaparameters())

    def set_metaparameter(self, name: str, value: float) -> None:
        """Give all layers another prior scale."""
        if name == "prior_scale" and name in self.metaparameters():
            self._prior_argument = positive(name, value)
            cast(Tensor, self.log_prior_scale).fill_(math.log(value))
        else:
            super().set_metaparameter(name, value)

    def posterior(self, site: str) -> GaussianWeights:
        """Guide of one weight tensor.

        Raises:
            ValueError: for a site that is none.
        """
        self._check_site(site)
        return GaussianWeights(
            self.variational[f"{site}.loc"],
            log_scale=self.variational[f"{site}.log_scale"],
            keep=self.keep[site],
            local=self.estimator == "local" and site not in self.layers.tied,
        )

    def reset(self) -> None:
        """Draw the initial means (unless ``initial_loc="net"``) and reset the scales."""
        if self.initial_loc == "random":
            self.redraw_means()
        for site, shape in self.layers.shapes.items():
            log_scale = torch.full(shape, self.initial_scale, dtype=self.dtype).log()
            self.variational.assign(f"{site}.log_scale", log_scale)

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Named dims of every weight tensor, e.g. ``("layer1.out", "layer1.in")``."""
        return dict(self.layers.dims)

    def weight_posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of every weight, by site."""
        posteriors = {site: self.posterior(site) for site in self.layers.shapes}
        return {site: (q.loc.detach(), q.scale.detach()) for site, q in posteriors.items()}

    def weight_prior_scales(self) -> dict[str, Tensor]:
        """Prior standard deviation of every weight tensor; empty where it depends on Γ."""
        if self.conditional:
            return {}
        return {site: self._log_prior_scale(site).detach().exp() for site in self.layers.shapes}

    def set_weight_means(self, means: Mapping[str, Tensor]) -> None:
        """Give every weight, by site, another posterior mean."""
        if self.conditional:
            super().set_weight_means(means)
        for site, value in means.items():
            self.variational.assign(f"{site}.loc", value)

    def parametric_complexity(
        self, per: PriorScales = "layer", scale_range: ScaleRange = ANY_SCALE
    ) -> Tensor | None:
        """KL(q ‖ p) in nats at the best prior scales: one, one a layer or one a weight."""
        layers: dict[int, list[GaussianWeights]] = {}
        for site, layer in self.layers.layer_index.items():
            layers.setdefault(layer, []).append(self.posterior(site))
        return smallest_kl_of_layers(layers.values(), per, scale_range).detach()

    def log_evidence(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Exact for one linear layer with one output and Gaussian noise; else None."""
        scales = {site: self.prior(site).variance.detach().sqrt() for site in self.layers.shapes}
        return linear_log_evidence(self.net, self.likelihood, scales, x, y)

    def structure(self) -> xr.Dataset:
        """1 − ρ of every weight, ρ = exp(−μ²/2σ²) the relative density; 0 where removed.

        Near 1 the posterior is far from zero in units of its width: the weight matters.
        """
        import xarray as xr

        variables = {}
        for site, (loc, scale) in self.weight_posteriors().items():
            mask = self.keep[site]
            relevance = 1.0 - relative_density(loc, scale)
            relevance = relevance if mask is None else relevance * mask
            variables[site] = (self.layers.dims[site], relevance.cpu().numpy())
        return xr.Dataset(
            variables,
            attrs={"quantity": "1 − exp(−μ²/2σ²), near 1 where a weight surely differs from zero"},
        )

    def plain_module(self) -> nn.Module:
        """A copy of the network with the posterior means as ordinary parameters."""
        means = {site: self.posterior(site).mean.detach() for site in self.layers.shapes}
        return self.layers.filled(self.net, means)

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values; TypeError for a net that has no description."""
        picked: dict[str, Any] = {} if self._picked is None else {"stochastic": self._picked}
        return {
            "net": describe_net(self.plain_module()),
            "prior_scale": self._prior_argument_as_json(),
            "estimator": self.estimator,
            "initial_loc": self.initial_loc,
            "initial_scale": self.initial_scale,
            **picked,
            **self.likelihood.config(),
        }

    def _prior_argument_as_json(self) -> str | float | list[float]:
        prior = self._prior_argument
        if isinstance(prior, str):
            return prior
        if is_number(prior):
            return float(prior)
        assert isinstance(self.log_prior_scale, Tensor)
        return [float(scale) for scale in self.log_prior_scale.exp()]
