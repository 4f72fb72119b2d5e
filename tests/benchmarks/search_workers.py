"""How much sooner two workers finish a sweep than one does.

    python tests/benchmarks/search_workers.py [--trials 32] [--steps 2000] [--workers 2]

Every trial is a fit on digits with one thread, on one journal file; wall time with the start of the
processes. Wants as many idle cores as workers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

import bayesnas as bn
from bayesnas.inference.search import Candidate, FitJudge, Integer


def make(candidate: Candidate) -> bn.models.GaussianNet:
    return bn.models.GaussianNet(bn.nn.mlp([64, 100, 10]))


def seconds(workers: int, trials: int, steps: int) -> float:
    data = bn.data.load("digits", validation=0.2)
    assert data.validation is not None
    options = {"steps": steps, "device": "cpu", "compile": False}
    judge = FitJudge(make, data.train, data.validation, ("seed",), options)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = bn.search(
            {"seed": Integer(0, trials - 1)},
            judge,
            "grid",
            objectives="nll",
            storage=Path(folder) / "study.journal",
            workers=workers,
        )
        took = time.perf_counter() - began
    assert len(result.complete) == trials
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds(1, 1, args.steps)  # what is imported and compiled at first use
    one = seconds(1, args.trials, args.steps)
    several = seconds(args.workers, args.trials, args.steps)
    print(f"{args.trials} fits of {args.steps} steps, {os.cpu_count()} cores")
    print(f"1 worker {one:.1f} s, {args.workers} workers {several:.1f} s: {one / several:.2f} x")


if __name__ == "__main__":
    main()
