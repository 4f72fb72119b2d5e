"""Strangers' networks from a fit to a file: loaded, pruned, compact, exported, alike throughout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import bayesnas as bn


class Encoder(nn.Module):
    """A transformer encoder that classifies by a token of its own."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.embed = nn.Linear(4, width)
        layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        token = self.token.expand(x.shape[0], 1, self.width)
        return self.head(self.encoder(torch.cat([token, self.embed(x)], 1))[:, 0])


def resnet18() -> nn.Module:
    return torchvision.models.resnet18(num_classes=3)


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "encoder": (Encoder, (5, 4)),
    "resnet18": (resnet18, (3, 32, 32)),
}
KINDS: dict[str, Callable[[nn.Module], Any]] = {
    "GaussianNet": bn.models.GaussianNet,
    "SpikeAndSlabNet": bn.models.SpikeAndSlabNet,
    "BayesianCompressionNet": bn.models.BayesianCompressionNet,
    "SupermaskNet": bn.models.SupermaskNet,
}


def data(shape: tuple[int, ...], n: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return torch.randn(n, *shape, generator=generator) + 0.7 * y.reshape(-1, *[1] * len(shape)), y


@pytest.mark.slow_except("GaussianNet-encoder")
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_net_says_the_same_loaded_compact_and_exported(
    kind: str, net: str, tmp_path: Any
) -> None:
    make, shape = NETS[net]
    x, y = data(shape, 24, seed=0)
    new, _ = data(shape, 7, seed=1)
    post = bn.fit(KINDS[kind](make()), (x, y), batch_size=8, epochs=2, lr=1e-3, progress=False)
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert torch.equal(loaded.predict(new, 3), post.predict(new, 3))
    assert loaded.evaluate((x, y), draws=2) == post.evaluate((x, y), draws=2)

    for share in (0.0, 0.5, 0.9):
        smaller = post.prune(by="density", fraction=share) if share else post
        compact = smaller.compact()
        with torch.no_grad():
            expected = smaller.model.plain_module().eval()(new)
            assert torch.allclose(compact(new), expected, atol=1e-5, rtol=1e-4)

    with torch.no_grad():
        expected = compact(new)
    smaller.export(tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2").module()
    for rows in (1, 7):
        assert torch.allclose(program(new[:rows]), expected[:rows], atol=1e-5, rtol=1e-5)
    runtime = pytest.importorskip("onnxruntime")
    smaller.export(tmp_path / "net.onnx")
    outputs = runtime.InferenceSession(tmp_path / "net.onnx").run(None, {"x": new.numpy()})[0]
    assert torch.allclose(torch.tensor(outputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_so_does_a_graph_of_encoders(tmp_path: Any) -> None:
    (x, y), (new, _) = data((5, 4), 24, seed=0), data((5, 4), 7, seed=1)
    edges = {("x", "h"): [Encoder(), Encoder()], ("h", "y"): nn.Linear(3, 3)}
    graph = bn.nn.Graph(edges, example=x[:2])
    post = bn.fit(bn.models.LatentStructureNet(graph), (x, y), batch_size=8, epochs=2)
    compact = post.compact()
    post.export(tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2").module()
    assert torch.allclose(program(new), compact(new), atol=1e-5, rtol=1e-5)
