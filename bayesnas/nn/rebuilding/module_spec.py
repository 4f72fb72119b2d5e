"""A net as JSON: what a saved run keeps of it instead of a pickle."""

from __future__ import annotations

import inspect
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.nn.modules.gaussian_noise import GaussianNoise
from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.nn.modules.select_inputs import SelectInputs
from bayesnas.nn.rebuilding.module_comparison import ties
from bayesnas.nn.rebuilding.plain_values import as_plain, has_hooks, is_plain

FORMAT = 1

_DTYPES = {str(d).removeprefix("torch."): d for d in (torch.float16, torch.bfloat16)}
_DTYPES |= {str(d).removeprefix("torch."): d for d in (torch.float32, torch.float64)}
_CONTAINERS = {"Container", "DataParallel", "Module", "ModuleDict", "ModuleList"}
_CONTAINERS |= {"ParameterDict", "ParameterList", "Sequential"}
_OF_BAYESNAS: dict[str, type[nn.Module]] = {
    "GaussianNoise": GaussianNoise,
    "SelectInputs": SelectInputs,
}
_SHARED = "Shared"
"""Stands in the place of a layer's class where the layer was described before."""
_ADVICE = "pass model= to bn.load to load the run"


class UndescribableNetError(TypeError):
    """The net can't be written as JSON, so that a saved run needs it handed back on loading."""


def describe(net: nn.Module) -> dict[str, Any]:
    """A JSON description of a net, from which :func:`build` makes a net of the same structure.

    Describable are layers of ``torch.nn`` that keep their constructor arguments as attributes
    (linear, convolution, normalisation, pooling, activation, dropout, shape and padding layers),
    :class:`~bayesnas.nn.GaussianNoise`, and ``torch.nn.Sequential`` of these, nested at will. The
    description holds the layers' names, classes and arguments, no weights. It is checked here: the
    net built from it has the same parameters, buffers and settings, shared where they were shared.

    Args:
        net: the net; it is not changed.

    Returns:
        A dict of strings, numbers, booleans, None, lists and dicts.

    Raises:
        UndescribableNetError: a submodule is of another class, has hooks, or doesn't come out of
            its description as it was.

    >>> describe(nn.Sequential(nn.Flatten(), nn.Dropout(0.2)))["children"][1]
    ['1', {'type': 'Dropout', 'arguments': {'p': 0.2}}]
    """
    spec = {"format": FORMAT, **_describe(net, "", {})}
    if tied := [[name, first] for first, *others in ties(net) for name in others]:
        spec["tied"] = tied
    with torch.device("meta"):
        rebuilt = build(spec)
    if _tensors(rebuilt) != _tensors(net):
        raise UndescribableNetError(
            f"a {type(net).__name__} holds parameters or buffers outside its layers, which can't "
            f"be written to a run; {_ADVICE}"
        )
    return spec


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The net that a description stands for, freshly initialised, in training mode.

    Only layers of ``torch.nn`` and our own are made, from numbers and strings: nothing that a
    description names is imported or run. The global random state is left as it was.

    Args:
        spec: what :func:`describe` returned, possibly after a round trip through JSON.

    Returns:
        A new net on the current default device.

    Raises:
        ValueError: the description is of another format, or names what ``torch.nn`` hasn't.

    >>> build(describe(nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))))
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=2, bias=False)
    )
    """
    if spec.get("format") != FORMAT:
        raise ValueError(
            f"spec must be a net description of format {FORMAT}, got {spec.get('format')!r}"
        )
    with torch.random.fork_rng(devices=[]):
        net = _build(spec, "", {})
    for name, other in spec.get("tied", ()):
        path, _, key = name.rpartition(".")
        try:
            net.get_submodule(path).register_parameter(key, net.get_parameter(other))
        except (AttributeError, KeyError) as error:
            raise ValueError(f"spec must tie parameters of its layers: {error}") from error
    return net


def summary(net: nn.Module) -> str:
    """A short name of a net for captions: its widths if it is an MLP, else class and size.

    >>> summary(nn.Sequential(nn.Flatten(), nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10)))
    '784–50–10'
    >>> summary(nn.Conv2d(1, 20, 5))
    'Conv2d, 520 parameters'
    """
    layers = list(net.modules()) if isinstance(net, nn.Sequential) else []
    weighted = [m for m in layers if any(True for _ in m.parameters(recurse=False))]
    linear = [m for m in weighted if isinstance(m, nn.Linear)]
    chained = all(a.out_features == b.in_features for a, b in itertools.pairwise(linear))
    if linear and len(linear) == len(weighted) and chained:
        return "–".join(str(w) for w in [linear[0].in_features, *(m.out_features for m in linear)])
    size = sum(parameter.numel() for parameter in net.parameters())
    return f"{type(net).__name__}, {size:,} parameters"


def _describe(module: nn.Module, name: str, described: dict[int, str]) -> dict[str, Any]:
    """A module's description; ``described`` has the names of those that came before it."""
    _refuse_hooks(module, name)
    if id(module) in described:
        return {"type": _SHARED, "with": described[id(module)]}
    if any(True for _ in module.state_dict()):
        described[id(module)] = name
    if type(module) is nn.Sequential:
        children = [
            [key, _describe(m, dotted(name, key), described)] for key, m in _children(module)
        ]
        return {"type": "Sequential", "children": children}
    return _describe_layer(module, name)


def _describe_layer(module: nn.Module, name: str) -> dict[str, Any]:
    cls = type(module)
    if _layer_class(cls.__name__) is not cls:
        raise UndescribableNetError(
            f"{_where(name)} is a {cls.__module__}.{cls.__qualname__}, which can't be written to a "
            f"run: only layers of torch.nn in torch.nn.Sequential can; {_ADVICE}"
        )
    arguments = {}
    for parameter in _constructor_parameters(cls):
        value = _argument_value(module, parameter, name)
        if value != as_plain(parameter.default):
            arguments[parameter.name] = value
    spec: dict[str, Any] = {"type": cls.__name__, "arguments": arguments}
    dtypes = [t.dtype for t in module.parameters(recurse=False) if t.is_floating_point()]
    if dtypes:
        spec["dtype"] = str(dtypes[0]).removeprefix("torch.")
    frozen = [key for key, p in module.named_parameters() if not p.requires_grad]
    if frozen:
        spec["frozen"] = frozen
    _refuse_difference(module, spec, name)
    return spec


def _argument_value(module: nn.Module, parameter: inspect.Parameter, name: str) -> Any:
    """The value of a constructor argument, read from the attribute of the same name."""
    key = parameter.name
    value = getattr(module, key, parameter.default)
    if key == "bias" and (value is None or isinstance(value, Tensor)):
        # A normalisation layer without a weight has no bias either, whatever was asked for.
        without_weight = getattr(module, "weight", None) is None
        value = parameter.default if without_weight else value is not None
    value = as_plain(value)
    if value is inspect.Parameter.empty or not is_plain(value):
        raise UndescribableNetError(
            f"{_where(name)} is a {type(module).__name__} whose argument {key!r} can't be written "
            f"to a run; {_ADVICE}"
        )
    return value


def _build(spec: Mapping[str, Any], name: str, built: dict[str, nn.Module]) -> nn.Module:
    """The module of a description; ``built`` has those that came before it, by name."""
    if spec.get("type") == _SHARED:
        if spec.get("with") not in built:
            raise ValueError(f"spec must share a layer that came before, got {spec.get('with')!r}")
        return built[spec["with"]]
    if spec.get("type") == "Sequential":
        children = (
            (str(key), _build(child, dotted(name, str(key)), built))
            for key, child in spec["children"]
        )
        built[name] = nn.Sequential(OrderedDict(children))
    else:
        built[name] = _build_layer(spec)
    return built[name]


def _build_layer(spec: Mapping[str, Any]) -> nn.Module:
    cls = _layer_class(spec.get("type"))
    if cls is None:
        raise ValueError(f"spec must name layers of torch.nn, got {spec.get('type')!r}")
    known = {parameter.name for parameter in _constructor_parameters(cls)}
    unknown = sorted(set(spec["arguments"]) - known)
    if unknown:
        raise ValueError(
            f"spec must give {cls.__name__} arguments that torch {torch.__version__} knows, "
            f"got {', '.join(unknown)}"
        )
    arguments = {key: _tuples(value) for key, value in spec["arguments"].items()}
    if "dtype" in spec:
        if spec["dtype"] not in _DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, got {spec['dtype']!r}")
        arguments["dtype"] = _DTYPES[spec["dtype"]]
    layer: nn.Module = cls(**arguments)
    for key in spec.get("frozen", ()):
        layer.get_parameter(key).requires_grad_(False)
    return layer


def _layer_class(name: object) -> type[nn.Module] | None:
    """The layer class of this name, ours or of ``torch.nn``, if it is one and no container."""
    if not isinstance(name, str) or name in _CONTAINERS:
        return None
    cls = _OF_BAYESNAS.get(name) or getattr(nn, name, None)
    return cls if isinstance(cls, type) and issubclass(cls, nn.Module) else None


def _constructor_parameters(cls: type[nn.Module]) -> list[inspect.Parameter]:
    """Arguments that make a layer what it is; ``*args`` of layers without settings are ignored."""
    ignored = {"self", "device", "dtype"}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        parameter
        for parameter in inspect.signature(cls.__init__).parameters.values()
        if parameter.name not in ignored
        and not parameter.name.startswith("_")
        and parameter.kind not in variable
    ]


def _refuse_hooks(module: nn.Module, name: str) -> None:
    if has_hooks(module):
        raise UndescribableNetError(
            f"{_where(name)} is a {type(module).__name__} with hooks or a forward of its own, "
            f"which can't be written to a run; {_ADVICE}"
        )


def _refuse_difference(module: nn.Module, spec: Mapping[str, Any], name: str) -> None:
    """Raise where the layer built from a description differs in tensors or settings."""
    problem = f"{_where(name)} is a {type(module).__name__} that can't be written to a run"
    try:
        with torch.device("meta"):
            twin = _build_layer(spec)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UndescribableNetError(f"{problem} ({error}); {_ADVICE}") from error
    settings = {k: v for k, v in vars(twin).items() if not k.startswith("_") and k != "training"}
    different = [key for key, value in settings.items() if getattr(module, key, None) != value]
    if _tensors(module) != _tensors(twin):
        different.append("parameters or buffers")
    if different:
        raise UndescribableNetError(
            f"{problem} (its {', '.join(different)} would come back different); {_ADVICE}"
        )


def _tensors(module: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype, bool]]:
    """Shape, type and trainability of every parameter and buffer, by name."""
    everything = [*module.named_parameters(), *module.named_buffers()]
    return {name: (t.shape, t.dtype, t.requires_grad) for name, t in everything}


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Children by name, a layer that is used twice both times."""
    everything = module.named_modules(remove_duplicate=False)
    return [(name, child) for name, child in everything if name and "." not in name]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _where(name: str) -> str:
    return f"layer {name!r}" if name else "the net"
