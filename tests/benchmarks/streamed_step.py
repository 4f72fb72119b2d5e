"""Speed of a fit whose rows are read when they are needed, against one of data in memory.

80,000 rows of 784 numbers (240 MiB), written to a temporary file and read once before, so that the
system holds it; batch 256, compiled steps, one after the other in turns. ``--quick`` takes few.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from interleaved import interleaved
from torch.utils.data import TensorDataset

import bayesnas as bn
from bayesnas.data.streams import file_rows
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.config.inputs import split_of
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.training.chains.trainer import ChainTrainer

ROWS, WIDTH, BATCH = 80_000, 784, 256
NETS = {"784–100–10": ([784, 100, 10], 300), "784–1000–1000–10": ([784, 1000, 1000, 10], 12)}


def ways(path: Path, x: torch.Tensor, y: torch.Tensor) -> dict[str, AnySplit]:
    """The same rows by how they are held."""
    splits: dict[str, AnySplit] = {
        "tensors in memory": bn.data.Split.of((x, y), classes=10),
        "file, mapped": bn.data.from_dataset((path, y)),
    }
    with mock.patch.object(file_rows, "available_memory", return_value=0.0):  # as if none fitted
        splits["file, row by row"] = bn.data.from_dataset((path, y))
        splits["file, row by row, 1 worker"] = bn.data.from_dataset((path, y), workers=1)
    rows = TensorDataset(x, y)
    splits["Dataset"] = bn.data.from_dataset(rows, classes=10)
    splits["Dataset, 1 worker"] = bn.data.from_dataset(rows, classes=10, workers=1)
    return splits


def fit(sizes: list[int], data: AnySplit) -> Callable[[int], None]:
    """A fit that takes so many steps when it is called."""
    model = bn.models.GaussianNet(bn.nn.mlp(sizes))
    settings = make_settings(
        examples=ROWS, kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None, steps=10**6,
        batch_size=BATCH, lr=1e-3, schedule="constant", clip=None, restarts=1, patience=None,
        seed=0, compile="inductor",
    )  # fmt: skip
    sample = split_of(model, data)
    return ChainTrainer(model, sample, settings, 0, torch.optim.Adam, "constant").advance


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--net", choices=list(NETS), action="append")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = np.random.default_rng(0)
    numbers = generator.standard_normal((ROWS, WIDTH), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        np.save(path, numbers)
        x, y = torch.from_numpy(numbers), torch.arange(ROWS) % 10
        for net in args.net or NETS:
            sizes, steps = NETS[net]
            steps = 3 if args.quick else steps
            fits = {name: fit(sizes, data) for name, data in ways(path, x, y).items()}
            taken = {name: partial(advance, steps) for name, advance in fits.items()}
            # The first round compiles.
            seconds = interleaved(taken, args.rounds, warm_up=1, clock=time.perf_counter)
            times = {name: [t / steps * 1e3 for t in each] for name, each in seconds.items()}
            print(f"\n{net}, batch {BATCH}, {args.threads} threads, {args.rounds} rounds\n")
            print("| rows | ms a step | quartiles | speed against memory |\n|---|---|---|---|")
            base = statistics.median(times["tensors in memory"])
            for name, turns in times.items():
                low, median, high = statistics.quantiles(turns, n=4)
                print(f"| {name} | {median:.2f} | {low:.2f}–{high:.2f} | {base / median:.0%} |")


if __name__ == "__main__":
    main()
