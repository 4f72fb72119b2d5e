"""Operations of a traced step that change no number, left out."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

from bayesnas.inference.compile.torch_private import UNSAFE_VIEW, Operator, schema

_ATEN = torch.ops.aten
_SAME_TENSOR = {_ATEN.alias.default, _ATEN.detach.default}
_RESHAPING = {_ATEN.expand.default, _ATEN.view.default, UNSAFE_VIEW}
_BROADCASTING = {_ATEN.add.Tensor, _ATEN.sub.Tensor, _ATEN.mul.Tensor, _ATEN.div.Tensor}
_OF_ONE_TENSOR = {_ATEN.neg.default, _ATEN.mul.Scalar, _ATEN.pow.Tensor_Scalar, *_BROADCASTING}


def simplify(graph: Graph) -> None:
    """Leave out of a traced step what changes no number: every operation costs microseconds.

    Gone are second names of a tensor (``alias``, ``detach``), shapes that are so already, two
    transpositions in a row, first powers, whatever nobody reads, and the expansion of a small
    tensor before an elementwise operation, which broadcasts by itself. The numbers stay what
    they are, to the bit.

    Args:
        graph: traced, with the shapes of its values; it is changed, and is to be recompiled.

    >>> from bayesnas.inference.compile.torch_private import trace_operations
    >>> traced = trace_operations(
    ...     lambda x: x.t().t().expand(2, 3).pow(1.0) + 1, [torch.ones(2, 3)])
    >>> simplify(traced.graph)
    >>> [node.name for node in traced.graph.nodes]
    ['x_1', 'add', 'output']
    """
    written = {_base(node) for writer in graph.nodes for node in _written_by(writer)}
    for node in graph.nodes:
        same = _same_as(node, written)
        if same is not None:
            node.replace_all_uses_with(same)
    for node in graph.nodes:
        if node.target is _ATEN.expand.default:
            _broadcast_instead(graph, node)
    graph.eliminate_dead_code(_has_effects)
    graph.lint()


def _same_as(node: Node, written: set[Node]) -> Node | None:
    """The node of which this one is only another name."""
    source = node.args[0] if node.op == "call_function" and node.args else None
    if not isinstance(source, Node):
        return None
    if node.target in _SAME_TENSOR:
        return source
    if node.target is _ATEN.t.default and source.target is _ATEN.t.default:
        before: Any = source.args[0]
        return before  # type: ignore[no-any-return]
    if not _same_layout(node, source):
        return None
    if node.target in _RESHAPING:
        return source
    first_power = node.target is _ATEN.pow.Tensor_Scalar and node.args[1] == 1
    # What is written to later has to be copied first.
    return source if first_power and _base(source) not in written else None


def _broadcast_instead(graph: Graph, expansion: Node) -> None:
    """Hand the small tensor to those that broadcast it."""
    small: Any = expansion.args[0]
    if _value(small) is None or _value(small).dtype not in (torch.float32, torch.float64):
        return  # of lower precision a number is not rounded as a tensor is
    for user in list(expansion.users):
        if _broadcasts(user, expansion):
            user.replace_input_with(expansion, small)
        elif _absorbs(user, expansion):
            with graph.inserting_before(user):
                result = graph.node_copy(user, {expansion: small}.__getitem__)
                expanded = graph.node_copy(expansion, {small: result}.__getitem__)
            result.meta = dict(small.meta)
            user.replace_all_uses_with(expanded)


def _broadcasts(user: Node, expansion: Node) -> bool:
    """Whether a reader of an expanded tensor would give the same without the expansion."""
    if user.target not in _BROADCASTING:
        return False
    first, second = user.args
    other = second if first is expansion else first
    return other is not expansion and isinstance(other, Node) and _same_shape(other, expansion)


def _absorbs(user: Node, expansion: Node) -> bool:
    """Whether the expansion could be left out all the way from here to where it broadcasts."""
    if _broadcasts(user, expansion):
        return True
    return _one_tensor(user) and all(_absorbs(reader, user) for reader in user.users)


def _one_tensor(node: Node) -> bool:
    """Whether a node is an elementwise function of one tensor and numbers."""
    tensors = [argument for argument in node.args if isinstance(argument, Node)]
    return node.target in _OF_ONE_TENSOR and len(tensors) == 1 and not node.kwargs


def _same_shape(a: Node, b: Node) -> bool:
    x, y = _value(a), _value(b)
    return x is not None and y is not None and (x.shape, x.dtype) == (y.shape, y.dtype)


def _same_layout(a: Node, b: Node) -> bool:
    return _same_shape(a, b) and _value(a).stride() == _value(b).stride()


def _value(node: Node) -> Any:
    """A tensor like the one a node stands for, or None where that is unknown."""
    value = node.meta.get("val")
    return value if isinstance(value, Tensor) else None


def _base(node: Node) -> Node:
    """The node that made the memory a node refers to."""
    while node.op == "call_function" and _refers(node):
        node = node.args[0]  # type: ignore[assignment]
    return node


def _refers(node: Node) -> bool:
    """Whether a node's value lies, or may lie, in the memory of its first argument."""
    if not node.args or not isinstance(node.args[0], Node):
        return False
    if node.target is operator.getitem or node.target in _RESHAPING:
        return True
    known = schema(node.target)
    return known is not None and any(r.alias_info is not None for r in known.returns)


def _written_by(node: Node) -> list[Node]:
    """Arguments of a node that it writes to."""
    known = schema(node.target)
    if known is None:
        return []
    given = {a.name: v for a, v in zip(known.arguments, node.args, strict=False)} | node.kwargs
    names = [a.name for a in known.arguments if a.alias_info and a.alias_info.is_write]
    written = [given.get(name) for name in names]
    return [argument for argument in written if isinstance(argument, Node)]


def _has_effects(node: Node) -> bool:
    """Whether a node does something even where nobody reads its value."""
    if node.op != "call_function" or node.target is operator.getitem:
        return node.op in ("placeholder", "output")
    if not isinstance(node.target, Operator):
        return True
    known = schema(node.target)
    random = torch.Tag.nondeterministic_seeded in node.target.tags
    return known.is_mutable or random or not known.returns
