"""The operations of a traced step, called by torch's own functions."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from bayesnas.inference.compile.torch_private import Operator, schema


def by_bindings(traced: GraphModule) -> GraphModule:
    """Return the same graph with ``torch.mul`` for ``torch.ops.aten.mul.Tensor``, and so on.

    Both come to the same operator; the function is there in half the time, since it knows its
    arguments beforehand and does not compare them with a schema. Operators that torch has no
    function or method for stay as they are.

    Args:
        traced: traced graph of tensor operations; it is left as it is, and its constants are
            shared.

    >>> from bayesnas.inference.compile.torch_private import trace_operations
    >>> traced = trace_operations(lambda x: (x + 1).view(-1), [torch.zeros(2, 2)])
    >>> [node.target for node in by_bindings(traced).graph.nodes if "call" in node.op]
    [<built-in method add of type object at ...>, 'view']
    """
    graph, copies = Graph(), dict[Node, Node]()
    for node in traced.graph.nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        target = node.target
        if isinstance(target, Operator) and target.namespace == "aten":
            copies[node].op, copies[node].target = _binding(target)
    return GraphModule(traced, graph)


def _binding(operator: Operator) -> tuple[str, Callable[..., Any] | str]:
    """How a node calls an operator: what it calls, and whether as a function or a method."""
    name = schema(operator).name.removeprefix("aten::")
    function = getattr(torch, name, None)
    if isinstance(function, types.BuiltinFunctionType):
        return "call_function", function
    if isinstance(getattr(torch.Tensor, name, None), types.MethodDescriptorType):
        return "call_method", name
    return "call_function", operator
