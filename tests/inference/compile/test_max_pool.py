"""Max pooling kept from inductor gives what torch's own operator gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from bayesnas.inference.compile.max_pool import keep_pooling, max_pool2d


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 2), "stride": 1, "padding": 1},
        {"kernel_size": 3, "stride": (2, 1), "dilation": 2, "ceil_mode": True},
    ],
)
def test_a_graph_gives_the_same_gradient(options: dict[str, object]) -> None:
    def gradient(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(F.max_pool2d(x, **options).square().sum(), x)[0]  # type: ignore[arg-type]

    x = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    traced = make_fx(gradient)(torch.zeros_like(x))
    keep_pooling(traced.graph)
    traced.recompile()
    targets = [str(node.target) for node in traced.graph.nodes]
    assert {"bayesnas.max_pool2d.default", "bayesnas.max_pool2d_backward.default"} <= set(targets)
    assert not any("aten.max_pool" in target for target in targets)
    assert torch.equal(traced(x), gradient(x))


def test_the_operator_is_described_to_compilers() -> None:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.library.opcheck(max_pool2d, (x, [2, 2], [], [0, 0], [1, 1], False))
