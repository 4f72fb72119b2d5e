"""Deep Compression of LeNet-300-100: test error and bytes on disk after each step.

.venv/bin/python tests/benchmarks/deep_compression.py                # MNIST, three seeds
.venv/bin/python tests/benchmarks/deep_compression.py --data digits --seeds 1
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

import bayesnas as bn
from bayesnas.data import Split

WIDTHS = {"digits": [64, 100, 50, 10], "mnist": [784, 300, 100, 10]}
DENSE: dict[str, Any] = {"epochs": 15, "lr": 1e-3, "batch_size": 128, "l2": 1e-5}
ROUNDS: dict[str, Any] = {"rounds": 4, "epochs": 4, "lr": 1e-3, "batch_size": 128, "l2": 1e-5}
KEPT = 0.08  # 12 times fewer weights, as in the source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=sorted(WIDTHS), default="mnist")
    parser.add_argument("--by", default="magnitude")
    parser.add_argument(
        "--kept", type=float, default=KEPT, help="share of the weights (%(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    data = bn.data.load(args.data)
    # Flat: a sample of images without their height and width.
    train = Split(data.train.x.flatten(1), data.train.y, data.train.info)
    print("| seed | step | weights kept, % | bytes on disk | times smaller | test error, % |")
    print("|---|---|---|---|---|---|")
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        net = bn.nn.mlp(WIDTHS[args.data])
        options: dict[str, Any] = {"seed": seed, "progress": False, "device": "cpu"}
        dense = bn.prune(net, train, fraction=0.0, **DENSE, **options)
        show(seed, "dense", dense, dense.module, data.test)
        sparse = bn.prune(
            dense.module, train, by=args.by, fraction=1 - args.kept, **ROUNDS, **options
        )
        show(seed, f"pruned by {args.by}", sparse, dense.module, data.test)
        del options["progress"]
        shared = bn.quantise(sparse.module, train, bits=5, epochs=3, **options)
        show(seed, "shared, 5 bits", shared, dense.module, data.test)


def show(
    seed: int, step: str, small: bn.inference.Pruned, dense: nn.Module, test: Split | None
) -> None:
    """One row; the network is the one that is read from the file again."""
    assert test is not None
    with tempfile.TemporaryDirectory() as folder:
        size = small.encode(Path(folder, "net.bin"))
        net = bn.decode(Path(folder, "net.bin"))
    with torch.no_grad():
        error = float((net(test.x.flatten(1)).argmax(-1) != test.y).double().mean())
    times = 4 * sum(p.numel() for p in dense.parameters()) / size
    figures = f"{100 * small.kept:.1f} | {size:,} | {times:.1f} | {100 * error:.2f}"
    print(f"| {seed} | {step} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
