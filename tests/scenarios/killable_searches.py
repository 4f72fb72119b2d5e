"""Spaces and judges of searches whose workers are killed, which processes of their own import."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch

import bayesnas as bn
from bayesnas.inference.search import Categorical, FitJudge, Integer, SearchSpace

SPACE = SearchSpace({"seed": Integer(0, 7), "kl_weight": Categorical((0.1, 1.0))})
SWEEP = SearchSpace({"seed": Integer(0, 15), "kl_weight": Categorical((0.1, 0.3, 1.0, 3.0))})


def rows():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, 2, generator=generator)
    return x, (x[:, 0] > 0).long()


def make(candidate):
    return bn.models.GaussianNet(bn.nn.mlp([2, 2]))


def small_fit(candidate):
    options = {"steps": 3, "device": "cpu", "compile": False}
    return FitJudge(make, rows(), rows(), ("seed", "kl_weight"), options, draws=2)(candidate)


@dataclass(frozen=True)
class Killing:
    """Judges, but the first process that comes to one of some candidates is killed there."""

    folder: Path
    fatal: tuple[tuple[int, float], ...]
    after: bool = False

    def __call__(self, candidate):
        key = (candidate["seed"], candidate["kl_weight"])
        measured = small_fit(candidate) if self.after else None
        if key in self.fatal:
            try:
                (self.folder / f"{key[0]}-{key[1]}").touch(exist_ok=False)
            except FileExistsError:
                pass  # it was killed here before
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return measured or small_fit(candidate)


def kill(candidate):
    if candidate["seed"] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


def raising(candidate):
    if candidate["seed"] == 1:
        raise KeyError("no such thing")
    return 1.0
