"""What ``bn.compress`` leaves of a network, without an option: share of the weights and test error.

.venv/bin/python tests/benchmarks/compress.py                  # the digits, both priors
.venv/bin/python tests/benchmarks/compress.py --data mnist     # LeNet-300-100
"""

from __future__ import annotations

import argparse

import torch
from torch import nn

import bayesnas as bn
from bayesnas.data import Split

WIDTHS = {"digits": [64, 100, 50, 10], "mnist": [784, 300, 100, 10]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=sorted(WIDTHS), default="digits")
    parser.add_argument("--prior", nargs="+", default=["horseshoe", "normal-jeffreys"])
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    data = bn.data.load(args.data)
    print("| prior | seed | weights kept, % | parameters kept, % | test error, % |")
    print("|---|---|---|---|---|")
    for prior in args.prior:
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            net = bn.nn.mlp(WIDTHS[args.data])
            small = bn.compress(net, data.train, prior=prior, seed=seed)
            kept = 100 * _size(small.module) / _size(net)
            error = 100 * _error(small.module, data.test)
            print(f"| {prior} | {seed} | {100 * small.kept:.1f} | {kept:.1f} | {error:.2f} |")


def _size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def _error(net: nn.Module, part: Split | None) -> float:
    assert part is not None
    device = next(net.parameters()).device
    return float((net(part.x.to(device)).argmax(-1).cpu() != part.y).double().mean())


if __name__ == "__main__":
    main()
