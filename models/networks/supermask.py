"""Frozen weights and a learned mask over them: networks that are selected, not trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, flag, fraction_in, probability
from bayesnas.data.inputs import AnyInputs
from bayesnas.likelihoods import AnyLikelihood, make_likelihood
from bayesnas.models.contract.fit_defaults import FitDefaults
from bayesnas.models.networks.base import NetModel, network_outputs, observe
from bayesnas.models.networks.supermask_gates import (
    FrozenWeights,
    PointMask,
    kept_over_open,
    largest_scores,
    prior_masks,
)
from bayesnas.nn.graphs.net_spec import describe_net
from bayesnas.nn.modules.gate_groups import GateGroup, gate_groups
from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.stochastic_layers import (
    StochasticLayers,
    is_linear_or_convolution,
    reset_deterministic,
)
from bayesnas.nn.modules.variational_parameters import VariationalParameters
from bayesnas.nn.user_networks.layer_rule import Layers, layer_rule, picked_layers
from bayesnas.nn.user_networks.user_module import check_weights, copied_net
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

FrozenAt = Literal["signed-constant", "drawn"]
Selection = Literal["bernoulli", "edge-popup"]


@typed()
class SupermaskNet(NetModel):
    r"""A network whose weights are never trained, and a mask that says which of them exist.

    .. math:: m_i \sim \mathrm{Bernoulli}(\pi), \qquad y \sim p(y \mid f(x; r\, m \odot w_0)),
              \qquad q(m) = \prod_i \mathrm{Bernoulli}(\sigma(a_i))

    The weights w₀ are drawn once and frozen; what a fit trains are the logits a. r, one a layer,
    is the number of weights over that of open gates, so that a layer's outputs keep their size
    (dynamic weight rescaling). The KL(q ‖ p) is the information in the mask; at its largest,
    ln 2 a weight for π = ½, and λ says how much of it a fit may use.

    Args:
        net: the network; it is copied and never changed.
        weights: what w₀ is: ``"signed-constant"``, the sign of each initial weight times
            √(2 / inputs of a unit) (He et al. 2015), biases 0; ``"drawn"``, the initial values.
        selection: ``"bernoulli"``, gates with gradients by ReinMax; or ``"edge-popup"``, the part
            ``kept`` of the largest ``|scores|`` of a layer, scores trained straight through: q is
            that one mask, and the KL −ln p(m), which no fit changes.
        inclusion: π, in (0, 1).
        kept: for ``"edge-popup"``: share of a layer's weights, in (0, 1].
        rescale: whether weights are multiplied by r.
        stochastic: which layers are masked, as for ``GaussianNet``; they are linear and convolution
            layers. Their biases are frozen; other layers are trained by maximum likelihood.
        initial_loc: ``"random"`` draws w₀ by each layer's ``reset_parameters`` under the seed of
            the fit; ``"net"`` takes the weights of ``net``.
        likelihood, noise_scale: as for ``GaussianNet``.

    Raises:
        ValueError: naming the argument, what came and what was expected.
        TypeError: for ``stochastic`` that says of no layer whether it is.

    References:
        Zhou, Lan, Liu, Yosinski, *Deconstructing lottery tickets: zeros, signs, and the
        supermask*, NeurIPS 2019; Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari, *What's hidden
        in a randomly weighted neural network?*, CVPR 2020.

    >>> import bayesnas as bn
    >>> model = SupermaskNet(bn.nn.mlp([4, 8, 3]))
    >>> list(model.site_dims())
    ['layer1.gate', 'layer2.gate']
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        weights: FrozenAt = "signed-constant",
        selection: Selection = "bernoulli",
        inclusion: float = 0.5,
        kept: float = 0.5,
        rescale: bool = True,
        stochastic: Layers = is_linear_or_convolution,
        initial_loc: str = "random",
        likelihood: AnyLikelihood = "categorical",
        noise_scale: float | None = None,
    ) -> None:
        """Freeze the weights of a copy of ``net`` and put gates on them; see the class."""
        super().__init__()
        self._config: dict[str, Any] = {
            "weights": choice("weights", weights, ("signed-constant", "drawn")),
            "selection": choice("selection", selection, ("bernoulli", "edge-popup")),
            "inclusion": probability("inclusion", inclusion),
            "kept": fraction_in("kept", kept, "(0, 1]"),
            "rescale": flag("rescale", rescale),
            "initial_loc": choice("initial_loc", initial_loc, ("random", "net")),
        }
        self.initial_loc = initial_loc
        self.net = copied_net(net)
        rule = layer_rule(stochastic, self.net)
        check_weights(self.net, rule)
        self.layers = StochasticLayers(self.net, rule)
        self.likelihood = make_likelihood(likelihood, noise_scale).to(self.layers.dtype)
        self.task = self.likelihood.task
        self._picked = picked_layers(rule, self.layers.names, self.net)
        self.groups = gate_groups(self.layers, "weights")
        self.frozen = FrozenWeights(self.layers.initial)
        # Scores of 0 would have no gradient; those of a fit are drawn.
        start = {self._parameter(g): self.layers.initial[s] for s, g in self._gated().items()}
        self.variational = VariationalParameters(start)
        self.keep = KeepMasks({site: self.layers.shapes[site] for site in self._gated()})
        self._freeze(self.layers.initial)

    # Density ------------------------------------------------------------------------------

    def model(self, x: AnyInputs, y: Tensor | None = None) -> Tensor:
        """Sample m ~ p(m) and y ~ p(y | f(x; r m ⊙ w₀)); returns the outputs."""
        self.register_with_pyro()
        masks = self._sample_masks(self._prior)
        output = network_outputs(self.net, self._weights(masks), x)
        return observe(self.likelihood, output, x, y)

    def guide(self, x: AnyInputs, y: Tensor | None = None) -> None:
        """Sample m ~ q(m)."""
        self.register_with_pyro()
        self._sample_masks(self.mask_posterior)

    def _sample_masks(
        self, of_group: Callable[[GateGroup], TorchDistribution]
    ) -> dict[str, Tensor]:
        """Masks by weight site."""
        masks = {}
        for site, group in self._gated().items():
            kept = self.keep[site]
            one = of_group(group) if kept is None else of_group(group).mask(kept)
            mask: Tensor = pyro.sample(group.site, one.to_event(len(group.shape)))
            masks[site] = mask if kept is None else mask * kept
        return masks

    def _weights(self, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        weights = {}
        for site in self.layers.shapes:
            weights[site] = self.frozen[site]
            if site in masks:
                weights[site] = weights[site] * masks[site]
                if self._config["rescale"]:
                    weights[site] = weights[site] * kept_over_open(masks[site], self.keep[site])
        return weights

    def _prior(self, group: GateGroup) -> TorchDistribution:
        prior: TorchDistribution = prior_masks(self._config["inclusion"], self._trained(group))
        return prior

    def mask_posterior(self, group: GateGroup) -> TorchDistribution:
        """Guide of a layer's masks."""
        if self._is_drawn:
            return PointMask(logits=self._trained(group))
        point: TorchDistribution = dist.Delta(self._popped(group))
        return point

    def structure_priors(self) -> dict[str, TorchDistribution]:
        """Prior of the masks by site."""
        return {g.site: dist.Independent(self._prior(g), len(g.shape)) for g in self.groups}

    @property
    def _is_drawn(self) -> bool:
        return bool(self._config["selection"] == "bernoulli")

    def _parameter(self, group: GateGroup) -> str:
        return f"{group.site}.{'logits' if self._is_drawn else 'scores'}"

    def _trained(self, group: GateGroup) -> Tensor:
        return self.variational[self._parameter(group)]

    def _gated(self) -> dict[str, GateGroup]:
        return {site: group for group in self.groups for site in group.views}

    def _popped(self, group: GateGroup) -> Tensor:
        (site,) = group.views
        return largest_scores(self._trained(group), self.keep[site], self._config["kept"])

    # Start --------------------------------------------------------------------------------

    def reset(self) -> None:
        """Draw the frozen weights (unless ``initial_loc="net"``) and where the masks start."""
        if self.initial_loc == "random":
            self.redraw_means()
        for group in self.groups:
            noise = torch.randn(group.shape, dtype=self.dtype)
            if self._is_drawn:
                pi = self._config["inclusion"]
                noise = math.log(pi / (1 - pi)) + 0.01 * noise
            self.variational.assign(self._parameter(group), noise)

    def redraw_means(self) -> None:
        """Draw the other layers and the frozen weights by each layer's ``reset_parameters``."""
        reset_deterministic(self.net, self.layers)
        self._freeze(self.layers.redraw())

    def _freeze(self, values: dict[str, Tensor]) -> None:
        if self._config["weights"] == "signed-constant":
            gated = self._gated()
            values = {
                site: _signed_constant(value) if site in gated else torch.zeros_like(value)
                for site, value in values.items()
            }
        self.frozen.assign(values)

    def fit_defaults(self, examples: int) -> FitDefaults:
        """A learning rate at which a logit crosses 0 within some ten steps."""
        return FitDefaults(lr=0.1)

    # Reading ------------------------------------------------------------------------------

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Named dims of the masks."""
        return {group.site: group.dims for group in self.groups}

    def inclusion_of(self, group: GateGroup) -> Tensor:
        """Probability of every mask of a layer, 0 of weights that are removed; or the mask."""
        (site,) = group.views
        if not self._is_drawn:
            return self._popped(group).detach()
        share = self._trained(group).detach().sigmoid()
        kept = self.keep[site]
        return share if kept is None else share * kept

    def structure(self) -> xr.Dataset:
        """Posterior probability of every weight, one variable a layer, ``layer1.inclusion``."""
        import xarray as xr

        variables = {
            g.site.removesuffix("gate") + "inclusion": (g.dims, self.inclusion_of(g).cpu().numpy())
            for g in self.groups
        }
        return xr.Dataset(variables, attrs={"quantity": "P(mask = 1)", "events": "independent"})

    def weight_posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of m w₀, without r, of every masked weight, by site."""
        moments = {}
        for site, group in self._gated().items():
            share, size = self.inclusion_of(group), self.frozen[site]
            moments[site] = (share * size, (share * (1 - share)).sqrt() * size.abs())
        return moments

    def keep_masks(self) -> dict[str, Tensor]:
        """Which weights exist where masks are set to their likelier values, by site."""
        removed = self.keep.masks()
        return {site: (self._point(g) > 0) & removed[site] for site, g in self._gated().items()}

    def _point(self, group: GateGroup) -> Tensor:
        mean: Tensor = self.mask_posterior(group).mean
        return mean.detach()

    @torch.no_grad()
    def plain_module(self) -> nn.Module:
        """A copy of the network, its weights those of the likelier masks."""
        masks = {site: mask.to(self.frozen[site]) for site, mask in self.keep_masks().items()}
        return self.layers.filled(self.net, self._weights(masks))

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values; TypeError for a net that has no description."""
        picked = {} if self._picked is None else {"stochastic": self._picked}
        return {
            "net": describe_net(self.plain_module()),
            **(picked | self._config),
            **self.likelihood.config(),
        }


def _signed_constant(weight: Tensor) -> Tensor:
    return weight.sign() * math.sqrt(2 / max(1, weight[0].numel()))
