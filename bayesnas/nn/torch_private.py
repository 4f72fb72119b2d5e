"""What tensors and modules are asked that torch does not promise to keep.

- A tensor that stands for a draw needs a shape, a type and a device but no memory, and has to be
  asked for these without starting the draw. torch's notes on extending it use
  ``_make_wrapper_subclass`` and ``DisableTorchFunctionSubclass`` for subclasses of that kind.
- Whether a tensor was written into since: autograd counts it and has no public name for the count.
- A recurrent layer keeps a list of its weights beside its parameters, and reads that.
- A module with hooks, compiled or pruned by ``torch.nn.utils``, computes more than its class says.

Where one of them changes, ``tests/bayesnas/nn/test_torch_private.py`` fails.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

make_wrapper = torch.Tensor._make_wrapper_subclass
"""A tensor of a class, with shape, type and device, without memory."""

without_torch_function = torch._C.DisableTorchFunctionSubclass
"""Context in which ``__torch_function__`` of subclasses is not called."""

times_written: Callable[[Tensor], int] = operator.attrgetter("_version")
"""How often a tensor was written into, as far as autograd counts it; none of inference mode."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def listed_weights(layer: nn.RNNBase) -> list[Any]:
    """The list that a recurrent layer reads its weights from."""
    return cast(list[Any], layer._flat_weights)


def list_weights(layer: nn.RNNBase, weights: Sequence[Any]) -> None:
    """Have a recurrent layer read these."""
    layer._flat_weights = list(weights)


def names_of_weights(layer: nn.RNNBase) -> list[str]:
    """Names of the parameters that a recurrent layer lists, in its order.

    >>> names_of_weights(nn.RNN(2, 3, bias=False))
    ['weight_ih_l0', 'weight_hh_l0']
    """
    return layer._flat_weights_names


def forward_pre_hooks(module: nn.Module) -> Iterator[Any]:
    """What is called before the forward pass of a module."""
    yield from module._forward_pre_hooks.values()


def is_hooked(module: nn.Module) -> bool:
    """Whether something is called around a pass of a module.

    >>> is_hooked(nn.ReLU())
    False
    """
    return any(getattr(module, kind) for kind in _HOOKS)


def pruned_name(hook: prune.BasePruningMethod) -> str:
    """The parameter that a hook of ``torch.nn.utils.prune`` makes."""
    return hook._tensor_name


def forget_compiled(module: nn.Module) -> None:
    """Undo ``module.compile()``."""
    module._compiled_call_impl = None


def inside_compiled(module: nn.Module) -> nn.Module | None:
    """What ``torch.compile`` wraps; None of a module that is no wrapper of it."""
    if type(module).__name__ != "OptimizedModule":  # asking for the class loads a compiler
        return None
    return module.get_submodule("_orig_mod")
