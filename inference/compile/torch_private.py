"""What tracing takes from torch that torch does not promise to keep; nothing else here does.

torch has a stable way to compile a module (``torch.compile``) and one to export it
(``torch.export``), but none to get a training step, gradient and in-place updates among it, as a
graph of tensor operations that can be changed and run. These are the pieces it is made from:

- ``make_fx``, which records operations below autograd;
- a tracing context and a fake tensor mode: with one mode for all values a trace takes half as long;
- ``torch._inductor.compile``: ``torch.compile`` would trace anew and check guards at every step;
- inductor's cache of compiled C++, and the layout of a generator's state, for normal numbers;
- the mode that sees every operation, and the leaves of its arguments, to compare passes;
- the switch of oneDNN, whose recurrent layers are single operations without a rule for recording;
- the class of operators and their schemas, which say what is random and what is written to.

Where one of them changes, ``tests/inference/compile/test_torch_private.py`` fails, fits fall back
to eager steps, and the log of ``bayesnas`` says so.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._guards import TracingContext, tracing
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
from torch.utils._pytree import tree_leaves as tree_leaves

Operator = torch._ops.OpOverload
"""Class of an operator with its overload, such as ``torch.ops.aten.mul.Tensor``."""

UNSAFE_VIEW = torch.ops.aten._unsafe_view.default
"""The view of a fresh result, as after a matrix product of many dimensions."""

TO_COPY = torch.ops.aten._to_copy.default
"""What ``Tensor.to`` becomes in a trace."""


def trace_operations(
    function: Callable[..., Tensor], tensors: Sequence[Tensor]
) -> torch.fx.GraphModule:
    """Run a function of tensors once and record its operations, those of autograd included.

    >>> graph = trace_operations(lambda x: x * 2, [torch.ones(2)])
    >>> [node.target for node in graph.graph.nodes if node.op == "call_function"]
    [<OpOverload(op='aten.mul', overload='Tensor')>]
    """
    context = tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True)))
    with _recurrent_layers_in_steps(), context:
        graph: torch.fx.GraphModule = make_fx(function)(*tensors)
    return graph


@contextmanager
def _recurrent_layers_in_steps() -> Iterator[None]:
    """Let a recurrent layer be the operations of its steps: oneDNN's one can't be traced."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def compile_operations(
    graph: torch.fx.GraphModule, tensors: Sequence[Tensor]
) -> Callable[..., Tensor]:
    """Compile a traced graph for tensors of these shapes; its random numbers stay torch's.

    The graph may be changed by it, and is not to be run after.
    """
    options: dict[str, Any] = {"fallback_random": True, "layout_optimization": False}
    compiled: Callable[..., Tensor] = torch._inductor.compile(graph, list(tensors), options=options)
    return compiled


def compile_cpp(source: str) -> ctypes.CDLL:
    """Compile C++ with the compiler, the options and the cache on disk of inductor."""
    from torch._inductor.codecache import CppCodeCache  # loads inductor, which few fits need

    library: ctypes.CDLL = CppCodeCache.load(source)
    return library


def has_cpp_compiler() -> bool:
    """Whether inductor finds a C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return bool(get_cpp_compiler())
    except Exception:  # torch raises several kinds of errors where there is none
        return False


def schema(operator: Any) -> Any:
    """Name, arguments and returns of an operator; None for what is none."""
    return getattr(operator, "_schema", None)
