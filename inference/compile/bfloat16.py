"""Matrix products of a traced step in bfloat16, all else in float32."""

from __future__ import annotations

import torch

from bayesnas.inference.compile.torch_private import TO_COPY, UNSAFE_VIEW

_ATEN = torch.ops.aten
_PRODUCTS = frozenset(
    {
        _ATEN.mm.default,
        _ATEN.addmm.default,
        _ATEN.bmm.default,
        _ATEN.baddbmm.default,
        _ATEN.convolution.default,
        _ATEN.convolution_backward.default,
    }
)
_VIEWS = frozenset(
    {
        _ATEN.alias.default,
        _ATEN.detach.default,
        _ATEN.t.default,
        _ATEN.transpose.int,
        _ATEN.permute.default,
        _ATEN.view.default,
        UNSAFE_VIEW,
        _ATEN.expand.default,
        _ATEN.unsqueeze.default,
        _ATEN.squeeze.dim,
    }
)


def round_products(graph: torch.fx.Graph) -> int:
    """Take the matrix products and convolutions of a graph in bfloat16.

    Their float32 arguments are rounded, and their results float32 again, as under
    ``torch.autocast``; sums, densities, KL terms and the optimiser see float32 alone. A product
    that has a square among its factors is left as it is: those are the variances x²σ² of local
    reparameterisation (Kingma, Salimans, Welling 2015) and their gradients, which a rounding of
    both factors would make wrong by up to 1 %.

    Args:
        graph: traced, with the values of its nodes in ``meta["val"]``; it is changed.

    Returns:
        how many products are in bfloat16.
    """
    products = [node for node in graph.nodes if node.target in _PRODUCTS and _is_single(node)]
    rounded = [node for node in products if not any(map(_is_square, node.all_input_nodes))]
    for node in rounded:
        with graph.inserting_before(node):
            node.args = torch.fx.map_arg(node.args, lambda value: _to(value, torch.bfloat16))
        several = not isinstance(node.meta["val"], torch.Tensor)
        for result in list(node.users) if several else [node]:
            if result.meta.get("val") is None:  # a gradient nobody asked for
                continue
            with graph.inserting_after(result):
                single = _to(result, torch.float32)
            result.replace_all_uses_with(
                single, delete_user_cb=lambda user, cast=single: user != cast
            )
    return len(rounded)


def _is_single(node: torch.fx.Node) -> bool:
    return all(value.meta["val"].dtype == torch.float32 for value in node.all_input_nodes)


def _is_square(node: torch.fx.Node) -> bool:
    while node.target in _VIEWS:
        node = node.all_input_nodes[0]
    return node.target is _ATEN.pow.Tensor_Scalar and bool(node.args[1] == 2)


def _to(node: torch.fx.Node, dtype: torch.dtype) -> torch.fx.Node:
    cast_node: torch.fx.Node = node.graph.call_function(TO_COPY, (node,), {"dtype": dtype})
    cast_node.meta = dict(node.meta)
    return cast_node
