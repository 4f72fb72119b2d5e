"""A network of any class as JSON: its import path, its constructor's arguments, what differs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.nn.rebuilding.module_classes import class_of, path_of, recorded_arguments
from bayesnas.nn.rebuilding.module_comparison import difference as difference_of
from bayesnas.nn.rebuilding.module_comparison import differs_in, hidden_tensors, tensor_kinds
from bayesnas.nn.rebuilding.module_spec import UndescribableNetError, build, describe
from bayesnas.nn.rebuilding.plain_values import as_plain, has_hooks, is_plain
from bayesnas.nn.rebuilding.torch_arguments import READERS
from bayesnas.nn.rebuilding.torchvision_builders import build_torchvision, find_builder

FORMAT = 1
ADVICE = "pass model= to bn.load to load the run"

_DTYPES = {str(d).removeprefix("torch."): d for d in (torch.float16, torch.bfloat16)}
_DTYPES |= {str(d).removeprefix("torch."): d for d in (torch.float32, torch.float64)}


def describe_imported(net: nn.Module) -> dict[str, Any]:
    """A JSON description of a network by the import path of its class; no weights, no code.

    The arguments of the constructor are those that :func:`~bayesnas.nn.register_module` noted, or
    the attributes of the same names. Submodules that differ from those that the constructor makes
    (a new head) are described by themselves. A description is tried out: the network built from
    it has the same modules, settings, parameters, buffers and ties.

    Args:
        net: the network; it is not changed.

    Raises:
        UndescribableNetError: with what stands in the way and what to do.

    >>> from torch import nn
    >>> describe_imported(nn.LSTM(3, 4))["arguments"]["hidden_size"]
    4
    """
    _refuse_hooks(net)
    spec = {"format": FORMAT, "type": "import", **_described(net, "")}
    kinds = {str(p.dtype).removeprefix("torch.") for p in net.parameters() if p.is_floating_point()}
    if len(kinds) == 1:
        spec["dtype"] = kinds.pop()
    frozen = [name for name, p in net.named_parameters() if not p.requires_grad]
    if frozen:
        spec["frozen"] = frozen
    try:
        with torch.device("meta"):
            twin = build_imported(spec)
    except Exception as error:  # whatever a constructor of the user's does
        raise _undescribable(net, "", f"it can't be built again ({error})") from error
    difference = difference_of(net, twin)
    if not difference and tensor_kinds(net) != tensor_kinds(twin):
        difference = "its parameters or buffers would come back of other types"
    if not difference and (hidden := hidden_tensors(net)):
        again = hidden_tensors(build_imported(spec))  # not on "meta", which has no values
        other = [key for key, t in hidden.items() if not torch.equal(t.cpu(), again[key].cpu())]
        difference = f"its {other[0]!r}, which no state_dict holds, is another" if other else ""
    if difference:
        raise _undescribable(net, "", difference)
    return spec


def build_imported(spec: Mapping[str, Any]) -> nn.Module:
    """The network that :func:`describe_imported` described, freshly initialised.

    Classes are those of ``torch.nn``, torchvision's models, and such as the program has imported,
    registered or trusts; see :func:`~bayesnas.nn.rebuilding.module_classes.class_of`. Nothing else
    that a description names is imported or run.

    Raises:
        ValueError: the description is of another format, or names a class that is not there.
    """
    if spec.get("format") != FORMAT:
        raise ValueError(f"spec must be of format {FORMAT}, got {spec.get('format')!r}")
    try:
        with torch.random.fork_rng(devices=[]):
            net = _built(spec)
        if "dtype" in spec:
            net.to(_DTYPES[spec["dtype"]])
        frozen = set(spec.get("frozen", ()))
    except ValueError:
        raise
    except Exception as error:  # whatever a constructor says to arguments that are not its own
        raise ValueError(
            f"the net can't be made from its description: {type(error).__name__}: {error}"
        ) from error
    for name, parameter in net.named_parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(name not in frozen)
    return net


def _described(net: nn.Module, name: str) -> dict[str, Any]:
    """The class of a module, its arguments, and the submodules that are others."""
    builder = find_builder(net)
    if builder is not None:
        spec: dict[str, Any] = {"builder": builder[0], "arguments": builder[1]}
    else:
        cls = type(net)
        spec = {"class": path_of(cls, lambda why: _undescribable(net, name, why))}
        spec["arguments"] = _arguments(net, name)
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            twin = _built(spec)
    except Exception as error:  # whatever a constructor of the user's does
        raise _undescribable(net, name, f"it can't be built again ({error})") from error
    others: dict[str, Any] = {}
    _describe_others(net, twin, name, "", others)
    return {**spec, "others": others} if others else spec


def _describe_others(
    net: nn.Module, twin: nn.Module, name: str, path: str, others: dict[str, Any]
) -> None:
    """Describe the submodules of a net that differ from those of its twin, by path in it."""
    mine, its = dict(net.named_children()), dict(twin.named_children())
    for key, child in mine.items():
        where = f"{path}.{key}".lstrip(".")
        if key in its and not difference_of(child, its[key]):
            continue
        alike = key in its and type(child) is type(its[key]) and not differs_in(child, its[key], "")
        if alike and dict(child.named_children()).keys() == dict(its[key].named_children()).keys():
            _describe_others(child, its[key], name, where, others)
            continue
        others[where] = _described_part(child, f"{name}.{where}".lstrip("."))


def _described_part(module: nn.Module, name: str) -> dict[str, Any]:
    try:
        return describe(module)
    except UndescribableNetError:
        return {"type": "import", **_described(module, name)}


def _built(spec: Mapping[str, Any]) -> nn.Module:
    arguments = {key: _argument_value(value) for key, value in spec["arguments"].items()}
    if "builder" in spec:
        net = build_torchvision(spec["builder"], arguments)
    else:
        net = class_of(spec["class"])(**arguments)
    for path, other in spec.get("others", {}).items():
        parent, _, leaf = path.rpartition(".")
        part = _built(other) if other.get("type") == "import" else build(other)
        setattr(net.get_submodule(parent), leaf, part)
    return net


def _argument_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _built(value) if value.get("type") == "import" else build(value)
    return tuple(_argument_value(v) for v in value) if isinstance(value, list) else value


def _arguments(net: nn.Module, name: str) -> dict[str, Any]:
    """Arguments of the constructor as JSON values: noted, known of torch's classes, or read."""
    noted = recorded_arguments(net)
    reader = READERS.get(type(net))
    if noted is None and reader is not None:
        noted = reader(net)
    if noted is None:
        noted = _read(net, name)
    arguments = {}
    for key, value in noted.items():
        if isinstance(value, nn.Module):
            arguments[key] = _described_part(value, name)
            continue
        plain = as_plain(value)
        if not is_plain(plain):
            raise _undescribable(
                net, name, f"its argument {key!r} is a {type(value).__name__}, not numbers or words"
            )
        arguments[key] = plain
    return arguments


def _read(net: nn.Module, name: str) -> dict[str, Any]:
    """Arguments from the attributes of the same names, else their defaults."""
    values = {}
    for parameter in list(inspect.signature(type(net).__init__).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        key = parameter.name
        value = getattr(net, key, parameter.default)
        if isinstance(value, (nn.Module, Tensor)) or not is_plain(as_plain(value)):
            value = parameter.default  # an attribute of that name that is another thing
        if value is parameter.empty:
            raise _undescribable(
                net,
                name,
                f"its argument {key!r} is not kept: set self.{key} = {key} in its constructor, or "
                "put @bn.nn.register_module before the class",
            )
        if value != parameter.default or not is_plain(as_plain(parameter.default)):
            values[key] = value
    return {key: value for key, value in values.items() if is_plain(as_plain(value))}


def _refuse_hooks(net: nn.Module) -> None:
    for name, module in net.named_modules():
        if has_hooks(module):
            raise _undescribable(module, name, "it has hooks or a forward of its own")


def _undescribable(net: nn.Module, name: str, why: str) -> UndescribableNetError:
    where = f"layer {name!r}" if name else "the net"
    return UndescribableNetError(
        f"{where} is a {type(net).__name__} that can't be written to a run: {why}; or {ADVICE}"
    )
