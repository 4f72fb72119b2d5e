"""Fixtures of the tests of fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import bayesnas as bn

SCRIPT = Path(__file__).with_name("killable_fits.py")
# One thread, and no GPU: a process whose autograd has threads can't be forked.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


class FitProcesses:
    """Runs the fits of ``killable_fits.py``, each in a process forked for it."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("w") as errors:
            self._server = subprocess.Popen(
                [sys.executable, str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=ENVIRONMENT,
            )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n", log.read_text()

    def __call__(self, fit: str, out: Path, kill: dict[str, Any] | None = None) -> dict[str, Any]:
        """How the process ended: its exit status (negative: signal), and after how many seconds."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        order = {"fit": fit, "out": str(out), "kill": kill}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def finish(self, fit: str, out: Path) -> bytes:
        """Fit, or go on with a fit, to the end; the bytes of the result."""
        answer = self(fit, out)
        assert answer["status"] == 0, self.log.read_text()
        return (out / "posterior.safetensors").read_bytes()

    def close(self) -> None:
        self._server.communicate()  # no more orders: it ends


@pytest.fixture(scope="session")
def fit_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FitProcesses]:
    processes = FitProcesses(tmp_path_factory.mktemp("fits") / "log")
    yield processes
    processes.close()


@pytest.fixture
def xy() -> tuple[torch.Tensor, torch.Tensor]:
    """27 rows of 4 features in 3 classes that a linear net can tell apart."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(27, 4, generator=generator)
    return x, x[:, :3].argmax(1)


@pytest.fixture
def net() -> bn.models.GaussianNet:
    return bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)


def _numbers(post: bn.Posterior) -> dict[str, bytes]:
    found = {}
    for chain, record in enumerate(post.records()):
        found[f"{chain} nll"] = repr(record.validation_nll).encode()
        for name, value in {**record.state, "history": record.history}.items():
            found[f"{chain} {name}"] = value.contiguous().numpy().tobytes()
    return found


@pytest.fixture
def numbers() -> Any:
    """Function from a posterior to the bytes of all its parameters, buffers and histories."""
    return _numbers
