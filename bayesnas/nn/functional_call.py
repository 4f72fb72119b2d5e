"""A module run with other values of its parameters, put back as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.nn.lazy.lazy_tensor import drawn
from bayesnas.nn.torch_private import list_weights, listed_weights, names_of_weights


def functional_call(
    module: nn.Module,
    state: Mapping[str, Tensor],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Run a module with other parameters and buffers, as ``torch.func.functional_call`` does.

    torch's own replaces a layer that a module holds under two names twice, and puts back what the
    second name had replaced: the layer is left with the value of the call. Here every layer is
    replaced once, tied parameters stay tied, and recurrent layers read the values given.

    Args:
        module: left as it was.
        state: values by name; a parameter with several names takes that of any of them.
        args: positional arguments of the module, or its only one.
        kwargs: its keyword arguments.

    Returns:
        what the module returns.

    Raises:
        ValueError: two names of one parameter have different values.

    >>> layer = nn.Linear(2, 2, bias=False)
    >>> net = nn.Sequential(layer, layer)
    >>> functional_call(net, {"0.weight": 3 * torch.eye(2)}, torch.ones(1, 2))
    tensor([[9., 9.]])
    >>> isinstance(layer.weight, nn.Parameter)
    True
    """
    names = _names(module)
    values, others = dict[int, Tensor](), dict[str, Tensor]()
    for name, value in state.items():
        if name not in names:
            others[name] = value
        elif values.setdefault(names[name], value) is not value:
            raise ValueError(f"state must have one value for tied parameters, got another: {name}")
    once = {
        f"{path}.{name}" if path else name: values[id(tensor)]
        for path, layer in module.named_modules()
        for name, tensor in _tensors(layer, recurse=False)
        if id(tensor) in values
    }
    given = args if isinstance(args, tuple) else (args,)
    named = None if kwargs is None else dict(kwargs)
    with _refreshed_flat_weights(module):
        return torch.func.functional_call(module, once | others, given, named, tie_weights=False)


def _names(module: nn.Module) -> dict[str, int]:
    """The identity of every parameter and buffer, under each of its names."""
    return {name: id(tensor) for name, tensor in _tensors(module, recurse=True)}


def _tensors(module: nn.Module, *, recurse: bool) -> Sequence[tuple[str, Tensor]]:
    return [
        *module.named_parameters(recurse=recurse, remove_duplicate=False),
        *module.named_buffers(recurse=recurse, remove_duplicate=False),
    ]


@contextmanager
def _refreshed_flat_weights(net: nn.Module) -> Iterator[None]:
    """Let recurrent layers read their parameters anew: they keep a list of them beside."""
    recurrent = [module for module in net.modules() if isinstance(module, nn.RNNBase)]
    flat_weights = [listed_weights(module) for module in recurrent]
    hooks = [module.register_forward_pre_hook(_read) for module in recurrent]
    try:
        yield
    finally:
        for module, hook, weights in zip(recurrent, hooks, flat_weights, strict=True):
            hook.remove()
            list_weights(module, weights)


def _read(module: Any, _inputs: Any) -> None:
    list_weights(module, [drawn(getattr(module, name)) for name in names_of_weights(module)])
