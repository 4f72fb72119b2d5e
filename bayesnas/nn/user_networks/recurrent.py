"""Recurrent layers under other weights than their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from bayesnas.nn.lazy.lazy_tensor import drawn


@contextmanager
def refreshed_flat_weights(net: nn.Module) -> Iterator[None]:
    """Let recurrent layers use the weights that ``functional_call`` puts in their places.

    They keep a list of their weights beside the parameters, which ``functional_call`` does not
    know of: without this they would go on with their own weights.

    Args:
        net: the network; it is as it was afterwards.
    """
    recurrent = [module for module in net.modules() if isinstance(module, nn.RNNBase)]
    flat_weights = [module._flat_weights for module in recurrent]
    hooks = [module.register_forward_pre_hook(_read) for module in recurrent]
    try:
        yield
    finally:
        for module, hook, weights in zip(recurrent, hooks, flat_weights, strict=True):
            hook.remove()
            module._flat_weights = weights


def _read(module: Any, _inputs: Any) -> None:
    module._flat_weights = [drawn(getattr(module, name)) for name in module._flat_weights_names]
