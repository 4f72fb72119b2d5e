"""Which layers of a network get a distribution on their weights, and where it is put in."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.nn.torch_private import list_weights, names_of_weights
from bayesnas.typed import typed

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_OTHERS = (
    nn.Embedding,
    nn.EmbeddingBag,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_SPACE = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}

Rule = Callable[[str, nn.Module], bool]


@typed()
def is_linear_or_convolution(name: str, module: nn.Module) -> bool:
    """Return whether ``module`` is a linear or (transposed) convolution layer.

    The default rule of models with gates or groups, which are inputs and filters of such layers.

    Raises:
        TypeError: naming an argument of another type.

    >>> from torch import nn
    >>> is_linear_or_convolution("fc", nn.Linear(2, 3))
    True
    >>> is_linear_or_convolution("norm", nn.BatchNorm1d(3))
    False
    """
    return isinstance(module, (nn.Linear, *_CONVOLUTIONS))


@typed()
def has_weights(name: str, module: nn.Module) -> bool:
    """Return whether ``module`` is a layer of weights: all but normalisation.

    The default rule for which layers are stochastic: linear and (transposed) convolution layers,
    embeddings, recurrent layers and cells, and attention, whose joint projection of queries, keys
    and values is its own (``in_proj_weight``). The scales and offsets of normalisation layers are
    point estimates, unless ``stochastic`` names them.

    Raises:
        TypeError: naming an argument of another type.

    >>> from torch import nn
    >>> [has_weights("", layer) for layer in (nn.LSTM(2, 3), nn.Embedding(5, 2), nn.LayerNorm(3))]
    [True, True, False]
    """
    return isinstance(module, _OTHERS) or is_linear_or_convolution(name, module)


def no_layer(name: str, module: nn.Module) -> bool:
    """The rule of a network whose weights are all point estimates."""
    return False


@typed()
class StochasticLayers:
    """The stochastic layers of a network: their sites, shapes and dims.

    The network is changed in place: the trainable parameters of its stochastic layers become
    placeholders without storage, to be put in by ``torch.func.functional_call`` under the
    names of the sites. A parameter that is frozen (``requires_grad=False``) stays what it is. One
    that several modules share is one site, of the first stochastic layer that holds it, and its
    placeholder stands in all of them, stochastic or not.

    Args:
        net: the network to change.
        rule: ``(name, module) -> bool``, true for a layer that becomes stochastic.

    Raises:
        ValueError: if the rule picks no layer that has trainable parameters, and is not
            :func:`no_layer`.

    Attributes:
        names: layer names, in the order of ``net.named_modules()``.
        initial: parameter values of ``net``, by site.
        shapes: shape of every site.
        layer_index: position in ``names`` of every site's layer.
        dims: names of the dims of every site, ``("layer1.out", "layer1.in")``.
        dtype: of the first site, else of the first parameter of ``net``.
        tied: the sites that more than one module holds.

    >>> from bayesnas.nn import StochasticLayers, is_linear_or_convolution, mlp
    >>> layers = StochasticLayers(mlp([4, 3, 2]), is_linear_or_convolution)
    >>> layers.names, layers.shapes["layer1.weight"]
    (['layer1', 'layer2'], torch.Size([3, 4]))
    """

    def __init__(self, net: nn.Module, rule: Rule) -> None:
        """Take the parameters out of the stochastic layers; see the class."""
        self.names: list[str] = []
        self.initial: dict[str, Tensor] = {}
        self.layer_index: dict[str, int] = {}
        self.dims: dict[str, tuple[str, ...]] = {}
        self._site_of: dict[str, str] = {}  # by full name, those of tied parameters all
        self._modules = {
            name: module
            for name, module in net.named_modules()
            if rule(name, module) and any(True for _ in trainable_of(module))
        }
        self.names += self._modules
        uses = _uses(net)
        for name, module in self._modules.items():
            for leaf, parameter in list(trainable_of(module)):
                self._take(name, module, leaf, parameter, uses[id(parameter)])
        if not self.initial and rule is not no_layer:
            raise ValueError(
                "net must have a layer with parameters that the rule 'stochastic' picks "
                "(by default a linear or convolution layer) and that are not frozen, "
                f"got {type(net).__name__} without one"
            )
        self.shapes = {site: value.shape for site, value in self.initial.items()}
        tensors = (*self.initial.values(), *net.parameters())
        floats = (value.dtype for value in tensors if value.is_floating_point())
        self.dtype = next(floats, torch.get_default_dtype())
        sites = Counter(self._site_of.values())
        self.tied = frozenset(site for site, count in sites.items() if count > 1)

    def _take(
        self, name: str, module: nn.Module, leaf: str, parameter: nn.Parameter, uses: list[_Use]
    ) -> None:
        site = dotted(name, leaf)
        self.initial[site] = parameter.detach().clone()
        self.layer_index[site] = self.names.index(name)
        self.dims[site] = _dims(name, module, leaf, parameter.ndim)
        # A tied parameter keeps one placeholder, so functional_call ties it too.
        placeholder = parameter.new_zeros(()).expand(parameter.shape)
        for user, other, full_name in uses:
            self._site_of[full_name] = site
            delattr(user, other)
            user.register_buffer(other, placeholder, persistent=False)

    def without_padding(self, net: nn.Module) -> dict[str, Tensor]:
        """By site of an embedding with ``padding_idx`` a mask that leaves out the row of that.

        No example trains the row, so under a posterior padding would be noise of the prior's width.
        """
        masks = {}
        for name in self.names:
            module = net.get_submodule(name)
            place = getattr(module, "padding_idx", None)
            site = self._site_of.get(dotted(name, "weight"))
            if place is not None and site is not None and site not in self.tied:
                masks[site] = torch.ones(self.shapes[site], dtype=torch.bool)
                masks[site][place] = False
        return masks

    def redraw(self) -> dict[str, Tensor]:
        """Draw fresh weights by every layer's own ``reset_parameters``, by site.

        Layers without that method keep the values they had, and so do frozen parameters.
        """
        fresh: dict[str, Tensor] = {}
        for name, module in self._modules.items():
            clone = copy.deepcopy(module)
            sites = self._sites_of(name, module)
            for leaf, site in sites.items():
                delattr(clone, leaf)
                clone.register_parameter(leaf, nn.Parameter(self.initial[site].clone()))
            reset(clone)
            for leaf, site in sites.items():
                if site == joined(name, leaf):  # a tied parameter is drawn by its first layer
                    fresh[site] = clone.get_parameter(leaf).detach()
        return fresh

    def _sites_of(self, name: str, module: nn.Module) -> dict[str, str]:
        buffers = module.named_buffers(recurse=False, remove_duplicate=False)
        names = {leaf: dotted(name, leaf) for leaf, _ in buffers}
        return {leaf: self._site_of[full] for leaf, full in names.items() if full in self._site_of}

    def filled(self, net: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
        """Return a copy of ``net`` with ``values`` as ordinary parameters of its layers."""
        plain = copy.deepcopy(net)
        parameters = {site: nn.Parameter(value.clone()) for site, value in values.items()}
        for full_name, site in self._site_of.items():
            name, _, leaf = full_name.rpartition(".")
            module = plain.get_submodule(name)
            delattr(module, leaf)
            module.register_parameter(leaf, parameters[site])
        refresh_flat_weights(plain)
        return plain


_Use = tuple[nn.Module, str, str]


def _uses(net: nn.Module) -> dict[int, list[_Use]]:
    """Where every parameter is: module, leaf and full name, by its id."""
    uses: dict[int, list[_Use]] = {}
    for name, module in net.named_modules():
        for leaf, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            uses.setdefault(id(parameter), []).append((module, leaf, joined(name, leaf)))
    return uses


def trainable_of(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a module itself, not of its children, that are not frozen, by name."""
    parameters = module.named_parameters(recurse=False, remove_duplicate=False)
    return ((leaf, parameter) for leaf, parameter in parameters if parameter.requires_grad)


def refresh_flat_weights(net: nn.Module) -> None:
    """Let recurrent layers, which keep a list of their weights, list those they have now."""
    for module in net.modules():
        if isinstance(module, nn.RNNBase):
            list_weights(module, [getattr(module, n, None) for n in names_of_weights(module)])


def reset_deterministic(net: nn.Module, layers: StochasticLayers) -> None:
    """Call ``reset_parameters`` of every module that is not stochastic and has parameters.

    Frozen parameters keep their values, and so does a module all of whose parameters are frozen.
    """
    stochastic = set(layers.names)
    frozen = {n: p.detach().clone() for n, p in net.named_parameters() if not p.requires_grad}
    for name, module in net.named_modules():
        if name not in stochastic and any(True for _ in trainable_of(module)):
            reset(module)
    with torch.no_grad():
        for name, value in frozen.items():
            net.get_parameter(name).copy_(value)


def resets(module: nn.Module) -> bool:
    """Whether a module draws its own parameters anew."""
    attends = isinstance(module, nn.MultiheadAttention)
    return attends or callable(getattr(module, "reset_parameters", None))


def reset(module: nn.Module) -> None:
    """Call ``reset_parameters`` of a module that has it; attention, which has not, is drawn too."""
    reset_parameters = getattr(module, "reset_parameters", None)
    if callable(reset_parameters):
        reset_parameters()
    elif isinstance(module, nn.MultiheadAttention):
        for leaf, parameter in trainable_of(module):
            _reset_attention(leaf, parameter)


def _reset_attention(leaf: str, parameter: nn.Parameter) -> None:
    """As torch begins: projections by Xavier, uniform, their offsets zero."""
    if leaf.endswith("weight"):
        nn.init.xavier_uniform_(parameter)
    elif leaf == "in_proj_bias":
        nn.init.zeros_(parameter)
    else:  # bias_k and bias_v
        nn.init.xavier_normal_(parameter)


def joined(name: str, leaf: str) -> str:
    """Dotted name of a leaf of a layer; the net itself has the name ``""``."""
    return f"{name}.{leaf}" if name else leaf


def _dims(name: str, module: nn.Module, leaf: str, ndim: int) -> tuple[str, ...]:
    if leaf == "bias" and ndim == 1:
        axes: tuple[str, ...] = ("out",)
    elif isinstance(module, nn.Linear) and ndim == 2:
        axes = ("out", "in")
    elif isinstance(module, _CONVOLUTIONS) and ndim > 2:
        channels = ("in", "out") if isinstance(module, TRANSPOSED) else ("out", "in")
        if isinstance(module, TRANSPOSED) and module.groups > 1:  # of one group alone
            channels = ("in", "out_of_group")
        axes = (*channels, *_SPACE[ndim - 2])
    else:
        axes = tuple(f"{leaf}_{axis}" for axis in range(ndim))
    return tuple(dotted(name, axis) for axis in axes)
