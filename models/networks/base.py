"""What models of the weights of a network share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import pyro
import torch
from torch import Tensor, nn

from bayesnas.checks import tensor
from bayesnas.data.inputs import AnyInputs, Inputs, call_with, leaves_of, shapes_of
from bayesnas.likelihoods import Likelihood
from bayesnas.models.base import BayesianModel
from bayesnas.models.contract.fit_defaults import FitDefaults
from bayesnas.models.site_kinds import DATA_PLATE, OBSERVED
from bayesnas.nn.functional_call import functional_call
from bayesnas.nn.graphs.net_spec import build_net
from bayesnas.nn.lazy.gaussian_tensor import GaussianTensor
from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.stochastic_layers import (
    StochasticLayers,
    is_linear_or_convolution,
    reset_deterministic,
)
from bayesnas.nn.modules.variational_parameters import VariationalParameters
from bayesnas.nn.torch_private import times_written
from bayesnas.nn.user_networks.point_estimates import start_of, summary_of


class NetModel(BayesianModel):
    """A prior and a guide on the weights of a network's stochastic layers; a base class.

    The variational mean of the weights of a site is ``variational["<site>.loc"]``.

    Attributes:
        net: the network, placeholders in the place of its stochastic parameters.
        layers: its stochastic layers.
        likelihood: of the targets given the outputs.
        variational: parameters of the guide.
        keep: masks of kept weights, by site.
        initial_loc: ``"random"`` or ``"net"``: whether a fit draws the initial means anew.
        usual_warmup: share of the steps over which λ rises in a fit that does not say.
    """

    net: nn.Module
    layers: StochasticLayers
    likelihood: Likelihood
    variational: VariationalParameters
    keep: KeepMasks
    initial_loc: str
    usual_warmup: float = 0.0
    takes_several_inputs = True
    runs_a_network = True

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights that have a posterior; inputs are cast to it."""
        first = next(self.variational.parameters(), None)
        return super().dtype if first is None else first.dtype

    def redraw_means(self) -> None:
        """Draw the deterministic layers and the means by each layer's ``reset_parameters``."""
        reset_deterministic(self.net, self.layers)
        for site, value in self.layers.redraw().items():
            self.variational.assign(f"{site}.loc", value)

    def gaussian_parameters(self) -> dict[str, str]:
        """Those of the sites of weights that have both."""
        pairs = {f"{site}.loc": f"{site}.log_scale" for site in self.layers.shapes}
        known = set(self.variational)
        return {
            f"variational.{loc}": f"variational.{log_scale}"
            for loc, log_scale in pairs.items()
            if loc in known and log_scale in known
        }

    def describe(self) -> str:
        """Name and network, e.g. ``GaussianNet 784–50–10``; and what has no posterior, if any.

        A network of which not every parameter has one: ``GaussianNet R, 34 of 1,378 parameters
        have a posterior; point estimates: lstm (1,344)``.
        """
        return f"{self._name()} {summary_of(self._outline(), self.layers)}"

    def _outline(self) -> nn.Module:
        """The network with parameters that have shapes and no values."""
        shapes = self.layers.shapes.items()
        return self.layers.filled(
            self.net, {s: torch.empty(shape, device="meta") for s, shape in shapes}
        )

    def _name(self) -> str:
        return type(self).__name__

    def starting_point(self) -> str:
        """What a fit starts from: which parameters are drawn anew, and which keep their values."""
        return start_of(self._outline(), self.layers, drawn=self.initial_loc == "random")

    def input_dtype(self, x: AnyInputs) -> torch.dtype:
        """Inputs have the type of the parameters; whole numbers stay, if there is an embedding."""
        if isinstance(x, Inputs):
            return self.dtype
        embeds = any(isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in self.net.modules())
        return x.dtype if embeds and not x.is_floating_point() else self.dtype

    def check(self, x: AnyInputs, y: Tensor, classes: int | None = None) -> None:
        """Run the posterior-mean network on two examples and compare its output with ``y``."""
        module = self.plain_module().eval()
        _check_types(module, x)
        few = x[:2].map(torch.clone) if isinstance(x, Inputs) else x[:2].clone()
        try:
            with torch.no_grad():
                output = call_with(module, few)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"net does not take inputs x of shape {shapes_of(x)}: {error}"
            ) from error
        _check_unwritten(few, [0] * len(leaves_of(few)))
        shape = one_tensor(output).shape
        if shape[:1] != (len(few),):
            raise ValueError(
                f"net must return one row of outputs for every row of x, got {list(shape)} for "
                f"{len(few)} rows"
            )
        self.likelihood.check(shape, y, classes)

    def fit_defaults(self, examples: int) -> FitDefaults:
        """A learning rate at which scales reach the prior's in a fit of the usual length."""
        return FitDefaults(lr=0.01, kl_warmup=self.usual_warmup)

    def keep_masks(self) -> dict[str, Tensor]:
        """Which weights are kept, by site."""
        return self.keep.masks()

    def set_keep_masks(self, masks: Mapping[str, Tensor]) -> None:
        """Remove the weights whose mask is false: exactly zero, and out of the KL."""
        self.keep.assign(masks)

    def likelihood_config(self) -> dict[str, Any]:
        """Arguments that say the likelihood."""
        return self.likelihood.arguments()

    def metaparameters(self) -> tuple[str, ...]:
        """Those of the likelihood."""
        return self.likelihood.metaparameters()

    def set_metaparameter(self, name: str, value: float) -> None:
        """Give one of the likelihood another value."""
        if name not in self.likelihood.metaparameters():
            super().set_metaparameter(name, value)
        self.likelihood.set_metaparameter(name, value)

    def size_for(self, classes: int | None) -> None:
        """Give a likelihood that left the number of classes open that of the training data."""
        self.likelihood.size_for(classes)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild from what :meth:`config` gave."""
        given = {k: v for k, v in config.items() if k != "net"}
        return cls(build_net(config["net"]), **{"stochastic": is_linear_or_convolution, **given})


def observe(likelihood: Likelihood, output: Tensor, x: AnyInputs, y: Tensor | None) -> Tensor:
    """Sample the targets of inputs ``[n, ...]`` given a network's outputs, which it returns."""
    target = None if y is None else likelihood.observed(y, output)
    with pyro.plate(DATA_PLATE, len(x), dim=-1):
        pyro.sample(OBSERVED, likelihood(output), obs=target)
    return output


def network_outputs(net: nn.Module, weights: Mapping[str, Tensor], x: AnyInputs) -> Tensor:
    """f(x; w): run a network with weights in the places of its stochastic layers.

    Raises:
        TypeError: it returns something else than one tensor.
        ValueError: the network writes into its inputs.
        RuntimeError: a weight is read after a layer has integrated it out by local
            reparameterisation, so that the two would see different weights.
    """
    for leaf in leaves_of(x):
        if not isinstance(leaf, Tensor):
            tensor("x", leaf)
    parameters, versions = dict(weights), _versions(x)
    output = call_with(lambda *args, **named: functional_call(net, parameters, args, named), x)
    _check_unwritten(x, versions)
    for site, weight in weights.items():
        if isinstance(weight, GaussianTensor) and weight.is_inconsistent:
            raise RuntimeError(
                f"the Gaussian weight {site!r} is used by a layer and again by another operation "
                "of one forward pass. Local reparameterisation would give each its own draw: "
                "build the model with estimator='weight'"
            )
    return one_tensor(output)


def _versions(x: AnyInputs) -> list[int]:
    """How often every input was written into, as far as torch counts it."""
    return [0 if leaf.is_inference() else times_written(leaf) for leaf in leaves_of(x)]


def _check_unwritten(x: AnyInputs, versions: list[int]) -> None:
    """Raise ValueError where inputs have been written into: they are views of the data."""
    if _versions(x) != versions:
        raise ValueError(
            "net must leave its inputs as they are, got one that writes into them (an operation "
            "such as x.mul_(), or a first layer with inplace=True): the data would be other ones "
            "at the next pass. Let its forward begin with x = x.clone()"
        )


def one_tensor(output: object) -> Tensor:
    """The output of a network, if it is one tensor.

    Raises:
        TypeError: it is something else; the message says what and what to do.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        got, which = f"a {type(output).__name__} with {list(output)}", "net(x)[key]"
    elif isinstance(output, (tuple, list)):
        got, which = f"a {type(output).__name__} of {len(output)}", "net(x)[0]"
    else:
        got, which = f"a {type(output).__name__}", "the tensor in it"
    raise TypeError(
        f"net must return one tensor, the outputs [n, ...] that the likelihood takes, got {got}: "
        f"give a module whose forward returns {which}"
    )


def _check_types(net: nn.Module, x: AnyInputs) -> None:
    """Raise ValueError where floating-point inputs are of another type than all parameters."""
    types = {p.dtype for p in net.parameters() if p.is_floating_point()}
    for leaf in leaves_of(x):
        if leaf.is_floating_point() and types and leaf.dtype not in types:
            have = ", ".join(sorted(str(dtype) for dtype in types))
            raise ValueError(
                f"net has parameters of {have}, but inputs x reach it as {leaf.dtype}: "
                "convert one of them, e.g. net.to(x.dtype)"
            )
