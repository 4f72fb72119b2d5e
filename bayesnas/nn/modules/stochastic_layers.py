"""Which layers of a network get a distribution on their weights, and where it is put in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from bayesnas.nn.modules.parameter_names import dotted

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_SPACE = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}

Rule = Callable[[str, nn.Module], bool]


def is_linear_or_convolution(name: str, module: nn.Module) -> bool:
    """Return whether ``module`` is a linear or (transposed) convolution layer.

    The default rule for which layers are stochastic; normalisation layers are not.

    >>> from torch import nn
    >>> is_linear_or_convolution("fc", nn.Linear(2, 3))
    True
    >>> is_linear_or_convolution("norm", nn.BatchNorm1d(3))
    False
    """
    return isinstance(module, (nn.Linear, *_CONVOLUTIONS))


def no_layer(name: str, module: nn.Module) -> bool:
    """The rule of a network whose weights are all point estimates."""
    return False


class StochasticLayers:
    """The stochastic layers of a network: their sites, shapes and dims.

    The network is changed in place: the parameters of its stochastic layers become
    placeholders without storage, to be put in by ``torch.func.functional_call`` under the
    names of the sites.

    Args:
        net: the network to change.
        rule: ``(name, module) -> bool``, true for a layer that becomes stochastic.

    Raises:
        ValueError: if the rule picks no layer that has parameters, and is not :func:`no_layer`.

    Attributes:
        names: layer names, in the order of ``net.named_modules()``.
        initial: parameter values found in ``net``, by site.
        shapes: shape of every site.
        layer_index: position in ``names`` of every site's layer.
        dims: names of the dims of every site, ``("layer1.out", "layer1.in")``.
    """

    def __init__(self, net: nn.Module, rule: Rule) -> None:
        """Take the parameters out of the stochastic layers; see the class."""
        self.names: list[str] = []
        self.initial: dict[str, Tensor] = {}
        self.layer_index: dict[str, int] = {}
        self.dims: dict[str, tuple[str, ...]] = {}
        self._modules: dict[str, nn.Module] = {}
        self._placed: set[str] = set()
        placeholders: dict[int, Tensor] = {}
        for name, module in net.named_modules():
            if rule(name, module) and any(True for _ in module.parameters(recurse=False)):
                self._take(name, module, placeholders)
        if not self.initial and rule is not no_layer:
            raise ValueError(
                "net must have a layer with parameters that the rule 'stochastic' picks "
                f"(by default a linear or convolution layer), got {type(net).__name__} without one"
            )
        self.shapes = {site: value.shape for site, value in self.initial.items()}

    def _take(self, name: str, module: nn.Module, placeholders: dict[int, Tensor]) -> None:
        self._modules[name] = module
        self.names.append(name)
        for leaf, parameter in list(module.named_parameters(recurse=False)):
            site = dotted(name, leaf)
            self._placed.add(site)
            if id(parameter) not in placeholders:
                placeholders[id(parameter)] = parameter.new_zeros(()).expand(parameter.shape)
                self.initial[site] = parameter.detach().clone()
                self.layer_index[site] = len(self.names) - 1
                self.dims[site] = _dims(name, module, leaf, parameter.ndim)
            # A tied parameter keeps one placeholder, so functional_call ties it too.
            delattr(module, leaf)
            module.register_buffer(leaf, placeholders[id(parameter)], persistent=False)

    def redraw(self) -> dict[str, Tensor]:
        """Draw fresh weights by every layer's own ``reset_parameters``, by site.

        Layers without that method keep the values they had.
        """
        fresh = {}
        for name, module in self._modules.items():
            clone = copy.copy(module)
            clone._buffers = dict(module._buffers)
            clone._parameters = dict(module._parameters)
            sites = self._sites_of(name, module)
            for leaf, site in sites.items():
                value = self.initial.get(site, clone._buffers.pop(leaf))
                assert value is not None
                clone.register_parameter(leaf, nn.Parameter(value.clone()))
            _reset(clone)
            for leaf, site in sites.items():
                if site in self.initial:
                    fresh[site] = clone.get_parameter(leaf).detach()
        return fresh

    def _sites_of(self, name: str, module: nn.Module) -> dict[str, str]:
        names = {leaf: dotted(name, leaf) for leaf in module._buffers}
        return {leaf: site for leaf, site in names.items() if site in self._placed}

    def filled(self, net: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
        """Return a copy of ``net`` with ``values`` as ordinary parameters of its layers."""
        plain = copy.deepcopy(net)
        parameters: dict[int, nn.Parameter] = {}  # a tied placeholder becomes a tied parameter
        for name in self.names:
            module = plain.get_submodule(name)
            for leaf, site in self._sites_of(name, module).items():
                placeholder = id(module._buffers.pop(leaf))
                if placeholder not in parameters:
                    parameters[placeholder] = nn.Parameter(values[site].clone())
                module.register_parameter(leaf, parameters[placeholder])
        return plain


def reset_deterministic(net: nn.Module, layers: StochasticLayers) -> None:
    """Call ``reset_parameters`` of every module that is not stochastic and has one."""
    stochastic = set(layers.names)
    for name, module in net.named_modules():
        if name not in stochastic:
            _reset(module)


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


def _dims(name: str, module: nn.Module, leaf: str, ndim: int) -> tuple[str, ...]:
    if leaf == "bias" and ndim == 1:
        axes: tuple[str, ...] = ("out",)
    elif isinstance(module, nn.Linear) and ndim == 2:
        axes = ("out", "in")
    elif isinstance(module, _CONVOLUTIONS) and ndim > 2:
        channels = ("in", "out") if isinstance(module, TRANSPOSED) else ("out", "in")
        axes = (*channels, *_SPACE[ndim - 2])
    else:
        axes = tuple(f"{leaf}_{axis}" for axis in range(ndim))
    return tuple(dotted(name, axis) for axis in axes)
