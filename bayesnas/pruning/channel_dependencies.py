"""What else goes when a unit or filter of a net is taken out: torch-pruning's dependency graph.

A *channel* is one unit of a linear layer or one filter of a convolution, with everything that
moves with it: its row in each layer that writes it, its entry in normalisation layers, its column
in each layer that reads it. A residual sum ties the rows of several layers into one channel.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bayesnas.nn.modules.stochastic_layers import TRANSPOSED

Side = Literal["out", "in", "through"]
Inputs = tuple[Tensor, ...]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

# Autograd nodes that give each channel from that channel alone, without the suffix "Backward0".
# fmt: off
_CHANNELWISE = frozenset({
    "abs", "adaptiveavgpool2d", "adaptiveavgpool3d", "adaptivemaxpool2d", "adaptivemaxpool3d",
    "add", "alias", "avgpool2d", "avgpool3d", "celu", "clamp", "clampmax", "clampmin", "clone",
    "constantpadnd", "cos", "div", "elu", "erf", "exp", "expm1", "gelu", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "leakyrelu", "log", "log1p", "logsigmoid",
    "maxpool2dwithindices", "maxpool3dwithindices", "mish", "mul", "neg", "pow",
    "reflectionpad1d", "reflectionpad2d", "reflectionpad3d", "relu", "replicationpad1d",
    "replicationpad2d", "replicationpad3d", "rreluwithnoise", "rsqrt", "rsub", "sigmoid", "sign",
    "silu", "sin", "softplus", "softshrink", "sqrt", "squeeze", "sub", "tanh", "threshold",
    "tocopy", "unsqueeze", "upsamplebicubic2d", "upsamplebilinear2d", "upsamplelinear1d",
    "upsamplenearest1d", "upsamplenearest2d", "upsamplenearest3d", "upsampletrilinear3d",
})
# fmt: on
_REDUCTIONS = frozenset({"mean", "sum", "amax", "amin"})


class End(NamedTuple):
    """One side of a layer: its rows ("out"), its columns ("in"), or both at once ("through")."""

    layer: str
    side: Side


class Part(NamedTuple):
    """Entries of one side of a layer, and for each the channel that it belongs to."""

    end: End
    indices: Tensor
    channels: Tensor


class Group(NamedTuple):
    """The parts of some channels, and which of these channels can't be taken out."""

    parts: list[Part]
    blocked: Tensor


class Dependencies:
    """Which rows and columns of a net's layers belong together.

    Args:
        net: a net in evaluation mode, with every parameter trainable.
        inputs: arguments to run it on once.

    Attributes:
        layers: the layers that can be edited, by name: linear and ungrouped convolution layers
            that ran, with plain parameters of their own.
    """

    def __init__(self, net: nn.Module, inputs: Inputs) -> None:
        """Trace the net; see the class."""
        self._graph = _trace(net, inputs)
        self._names = {module: name for name, module in net.named_modules()}
        self.layers = {n: m for n, m in editable_layers(net) if m in self._graph.module2node}

    def size(self, end: End) -> int:
        """How many entries this side of a layer has."""
        if end.side == "through":
            modules = {name: module for module, name in self._names.items()}
            return _entries(modules[end.layer])
        return weight_out_in(self.layers[end.layer]).shape[0 if end.side == "out" else 1]

    def group(self, root: End, indices: Sequence[int]) -> Group:
        """What goes with these entries of one side of a layer; channels are named after them."""
        layer = self.layers[root.layer]
        pruner = self._graph.get_pruner_of_module(layer)
        prune = pruner.prune_out_channels if root.side == "out" else pruner.prune_in_channels
        parts = []
        blocked = torch.zeros(self.size(root), dtype=torch.bool)
        for item in self._graph.get_pruning_group(layer, prune, list(indices)):
            end = self._end(item.dep)
            part_indices, channels = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
            if isinstance(end, End):
                # Where a sum broadcasts a single channel, torch-pruning counts past its end.
                inside = part_indices < self.size(end)
                parts.append(Part(end, part_indices[inside], channels[inside]))
                blocked[channels[~inside]] = True
            elif end == "blocks":
                blocked[channels] = True
        return Group(parts, blocked)

    def _end(self, dependency: Any) -> End | Literal["passes", "blocks"]:
        """The side of a layer that an entry of a group is about, or what its operation does."""
        module = dependency.target.module
        name = self._names.get(module)
        if name in self.layers:
            pruner = self._graph.get_pruner_of_module(module)
            return End(name, "out" if dependency.handler == pruner.prune_out_channels else "in")
        if name is not None and _entries(module):
            return End(name, "through")
        shared_slope = type(module) is nn.PReLU and module.num_parameters == 1
        return "passes" if shared_slope or _is_channelwise(dependency.target) else "blocks"


def editable_layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Linear and ungrouped convolution layers with plain parameters of their own, by name."""
    tied = _tied_parameters(net)
    for name, layer in net.named_modules():
        ungrouped = type(layer) in CONVOLUTIONS and getattr(layer, "groups", 0) == 1
        parameters = dict(layer.named_parameters(recurse=False))
        free = "weight" in parameters and not any(
            id(parameter) in tied for parameter in parameters.values()
        )
        if free and (ungrouped or type(layer) is nn.Linear):
            yield name, layer


def weight_out_in(layer: nn.Module) -> Tensor:
    """The layer's weight as `out x in x ...`, a view; transposed convolutions store `in x out`."""
    weight = layer.get_parameter("weight")
    return weight.transpose(0, 1) if type(layer) in TRANSPOSED else weight


def output_tensors(outputs: Any) -> list[Tensor]:
    """The tensors in what a net returns: one, or a list, tuple or dict of them."""
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        return [tensor for output in outputs for tensor in output_tensors(output)]
    raise TypeError(f"net must return tensors, got {type(outputs).__name__}")


def _trace(net: nn.Module, inputs: Inputs) -> Any:
    """Torch-pruning's graph, with a node at the end of every path to an output."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import torch_pruning

        def run(module: nn.Module, arguments: Inputs) -> list[Tensor]:
            outputs = output_tensors(module(*arguments))
            # The copy is an operation of its own, which ends the path even after a layer.
            return [output.clone() for output in outputs if output.requires_grad]

        with torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(
                net, inputs, forward_fn=run, verbose=False
            )


def _is_channelwise(node: Any) -> bool:
    """Whether an operation of the traced net gives each channel from that channel alone."""
    from torch_pruning import ops

    if node.type in (ops.OPTYPE.RESHAPE, ops.OPTYPE.CONCAT):
        return True
    if node.type != ops.OPTYPE.ELEMENTWISE or node.grad_fn is None:
        return False
    name = _operation(node)
    if name in _REDUCTIONS:
        rank = len(getattr(node.grad_fn, "_saved_self_sym_sizes", ()))
        dims = getattr(node.grad_fn, "_saved_dim", ())
        return rank > 1 and len(dims) > 0 and all(_signed(dim) % rank != 1 for dim in dims)
    return name in _CHANNELWISE or _is_inside_linear(node)


def _is_inside_linear(node: Any) -> bool:
    """Whether the operation is one of those that a linear layer is traced as: W^T, or W x + b.

    The layer itself stands in the graph as its last operation: the product for inputs of two
    dimensions, a change of shape after the product for more.
    """
    if _operation(node) == "t":
        return not node.inputs
    reader = node.outputs[0] if len(node.outputs) == 1 else None
    return (
        _operation(node) in ("addmm", "mm")
        and reader is not None
        and type(reader.module) is nn.Linear
        and _operation(reader) not in ("addmm", "mm")
    )


def _operation(node: Any) -> str:
    """The name of a node's operation: "relu" for ReluBackward0."""
    return str(node.grad_fn.name()).lower().split("backward")[0]


def _signed(dim: int) -> int:
    """A dimension that autograd saved as an unsigned 64-bit number."""
    return dim - 2**64 if dim >= 2**63 else dim


def _entries(module: Any) -> int:
    """Entries of a layer that treats each channel by itself; 0 for any other layer."""
    if type(module) in BATCH_NORMS:
        return int(module.num_features)
    if type(module) is nn.PReLU and module.num_parameters > 1:
        return int(module.num_parameters)
    if type(module) in CONVOLUTIONS and module.groups > 1:
        depthwise = module.in_channels == module.out_channels == module.groups
        return int(module.groups) if depthwise else 0
    return 0


def _tied_parameters(net: nn.Module) -> set[int]:
    owners = Counter(
        id(parameter) for m in net.modules() for parameter in m.parameters(recurse=False)
    )
    return {key for key, count in owners.items() if count > 1}
