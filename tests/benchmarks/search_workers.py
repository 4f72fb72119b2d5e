"""How much sooner two workers finish a sweep than one does.

    python tests/benchmarks/search_workers.py [--pairs 5] [--trials 64] [--steps 150] [--workers 2]

A pair is the same sweep by one worker, which is the process itself, and by several, in an order
that alternates from pair to pair: what disturbs the machine for minutes disturbs both of a pair.
Every trial is a fit on digits with one thread, on one journal file; wall time, in which several
workers start their processes, import torch and read the data. Wants as many idle cores as workers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
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


def quartiles(values: Sequence[float], unit: str) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.2f}{unit} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds(1, 1, args.steps)  # what is imported and compiled at first use
    times: dict[int, list[float]] = {1: [], args.workers: []}
    for pair in range(args.pairs):
        for workers in (1, args.workers) if pair % 2 == 0 else (args.workers, 1):
            times[workers].append(seconds(workers, args.trials, args.steps))
    ratios = [one / several for one, several in zip(*times.values(), strict=True)]
    print(f"{args.pairs} pairs of {args.trials} fits of {args.steps} steps, {os.cpu_count()} cores")
    print("medians and quartiles:")
    for workers, took in times.items():
        print(f"{workers} worker{'s' * (workers > 1)} {quartiles(took, ' s')}")
    print(f"ratio {quartiles(ratios, ' x')}; of each pair {', '.join(f'{r:.2f}' for r in ratios)}")


if __name__ == "__main__":
    main()
