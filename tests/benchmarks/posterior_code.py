"""Test error against bytes of networks that are coded by their posterior.

.venv/bin/python tests/benchmarks/posterior_code.py                # digits, 64-100-10
.venv/bin/python tests/benchmarks/posterior_code.py --data mnist --sizes 3000,9000 --kl-weight 3
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

import bayesnas as bn

WIDTHS = {"digits": [64, 100, 10], "mnist": [784, 300, 100, 10]}
FIT: dict[str, Any] = {"batch_size": 128, "lr": 1e-2}
CODE: dict[str, Any] = {"batch_size": 128, "lr": 5e-3, "block_bits": 10, "rounds": 30}


def main() -> None:
    """One row a seed and size; the network is the one that is read from the file again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=sorted(WIDTHS), default="digits")
    parser.add_argument("--sizes", default="350,500,700,1000")
    parser.add_argument("--steps", type=int, default=2000, help="of the fit")
    parser.add_argument("--epochs", type=int, default=100, help="before coding, and in it")
    parser.add_argument("--kl-weight", type=float, default=1.0)
    parser.add_argument("--candidate", choices=("likeliest", "sample"), default="likeliest")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    data = bn.data.load(args.data)
    print("| seed | | KL, bits | bytes on disk | test error, % |")
    print("|---|---|---|---|---|")
    for seed in range(args.seeds):
        options: dict[str, Any] = {"seed": seed, "device": "cpu", "progress": False}
        model = bn.models.GaussianNet(bn.nn.mlp(WIDTHS[args.data]), prior_scale="learned")
        post = bn.fit(
            model, data.train, steps=args.steps, kl_weight=args.kl_weight, **FIT, **options
        )
        kl = post.complexity(draws=1)["kl_bits"]
        mean = post.compact()
        dense = 4 * sum(parameter.numel() for parameter in mean.parameters())
        print(f"| {seed} | means | {kl:,.0f} | {dense:,} | {error(mean, data.test):.2f} |")
        for size in map(int, args.sizes.split(",")):
            how: dict[str, Any] = {
                "epochs": args.epochs,
                "coding_epochs": args.epochs,
                "candidate": args.candidate,
            }
            coded = bn.code(post, data.train, size=size, **how, **CODE, **options)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "net.bin"
                bytes_written = coded.encode(path)
                wrong = error(bn.decode(path), data.test)
            kl_bits = f"{coded.kl_bits:,.0f} of {coded.bits:,}"
            print(f"| {seed} | coded | {kl_bits} | {bytes_written:,} | {wrong:.2f} |", flush=True)


@torch.no_grad()
def error(net: nn.Module, test: Any) -> float:
    """Test error in %."""
    return 100 * float((net(test.x).argmax(-1) != test.y).double().mean())


if __name__ == "__main__":
    main()
