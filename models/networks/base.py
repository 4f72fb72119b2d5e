"""What models of the weights of a network share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import pyro
import torch
from torch import Tensor, nn

from bayesnas.likelihoods import Likelihood
from bayesnas.models.base import DATA_PLATE, OBSERVED, BayesianModel
from bayesnas.nn.graphs.net_spec import build_net
from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.stochastic_layers import StochasticLayers, reset_deterministic
from bayesnas.nn.modules.variational_parameters import VariationalParameters


class NetModel(BayesianModel):
    """A prior and a guide on the weights of a network's stochastic layers; a base class.

    The variational mean of the weights of a site is ``variational["<site>.loc"]``.

    Attributes:
        net: the network, placeholders in the place of its stochastic parameters.
        layers: its stochastic layers.
        likelihood: of the targets given the outputs.
        variational: parameters of the guide.
        keep: masks of kept weights, by site.
    """

    net: nn.Module
    layers: StochasticLayers
    likelihood: Likelihood
    variational: VariationalParameters
    keep: KeepMasks

    def redraw_means(self) -> None:
        """Draw the deterministic layers and the means by each layer's ``reset_parameters``."""
        reset_deterministic(self.net, self.layers)
        for site, value in self.layers.redraw().items():
            self.variational.assign(f"{site}.loc", value)

    def check(self, x: Tensor, y: Tensor, classes: int | None = None) -> None:
        """Run the posterior-mean network on two examples and compare its output with ``y``."""
        module = self.plain_module().eval()
        try:
            with torch.no_grad():
                output = module(x[:2])
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"net does not take inputs x of shape {['n', *x.shape[1:]]}: {error}"
            ) from error
        self.likelihood.check(output.shape, y, classes)

    def keep_masks(self) -> dict[str, Tensor]:
        """Which weights are kept, by site."""
        return self.keep.masks()

    def set_keep_masks(self, masks: Mapping[str, Tensor]) -> None:
        """Remove the weights whose mask is false: exactly zero, and out of the KL."""
        self.keep.assign(masks)

    def likelihood_config(self) -> dict[str, Any]:
        """Arguments that say the likelihood."""
        return dict(self.likelihood.config())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild from what :meth:`config` gave."""
        return cls(build_net(config["net"]), **{k: v for k, v in config.items() if k != "net"})


def observe(likelihood: Likelihood, output: Tensor, x: Tensor, y: Tensor | None) -> Tensor:
    """Sample the targets of inputs ``[n, ...]`` given a network's outputs, which it returns."""
    target = None if y is None else likelihood.target(y)
    with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
        pyro.sample(OBSERVED, likelihood(output), obs=target)
    return output
