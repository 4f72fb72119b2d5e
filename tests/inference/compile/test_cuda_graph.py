"""Steps as CUDA graphs, as far as a machine without a GPU can tell; see test_cuda.py."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import bayesnas as bn
from bayesnas.inference.compile.cuda_graph import CapturedStep
from bayesnas.inference.compile.trace import StepGraph
from bayesnas.inference.optim.step_tensors import StepInputs


def test_a_graph_needs_a_gpu() -> None:
    x, y = torch.zeros(6, 4), torch.zeros(6, dtype=torch.long)
    model = bn.models.GaussianNet(bn.nn.mlp([4, 3, 2]))
    with pytest.raises(ValueError, match=r"compile='cudagraph' needs a GPU, got device='cpu'"):
        bn.fit(model, (x, y), steps=1, device="cpu", compile="cudagraph", progress=False)


def test_a_step_that_cannot_be_captured_is_taken_as_traced(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubled(leaf: Tensor, x: Tensor, y: Tensor, scalars: Tensor) -> Tensor:
        leaf.add_(scalars[0])
        return 2 * x + y

    def impossible(self: CapturedStep, inputs: StepInputs) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(CapturedStep, "_captured", impossible)
    leaf, one = torch.zeros(2), torch.ones(2)
    step = CapturedStep(StepGraph(make_fx(doubled)(leaf.clone(), one, one, one)))
    inputs = StepInputs([leaf], [], [], [], [], [], x=one, y=one, scalars=one)
    with caplog.at_level(logging.WARNING, logger="bayesnas"):
        outputs = [step(inputs) for _ in range(3)]
    assert torch.equal(torch.stack(outputs), torch.full((3, 2), 3.0))
    assert torch.equal(leaf, torch.full((2,), 3.0))
    assert len(caplog.records) == 1
    assert "not permitted when stream is capturing" in caplog.text
