"""A compression net of the digits fitted with no option, and pruned by held-out rows.

.venv/bin/python tests/benchmarks/groups_by_default.py                 # both priors, seeds 0 to 4

64-100-50-10, a fifth of the training part held out to choose what goes; figures of the test part.
"""

from __future__ import annotations

import argparse

import torch

import bayesnas as bn
from bayesnas.data import Split

PRIORS = ("horseshoe", "normal-jeffreys")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", nargs="+", choices=PRIORS, default=PRIORS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    args = parser.parse_args()
    data = bn.data.load("digits", validation=0.2)
    assert data.test is not None
    print("| prior | seed | parameters kept, % | accuracy | before | ECE before |")
    print("|---|---|---|---|---|---|")
    for prior in args.prior:
        for seed in args.seeds:
            model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 100, 50, 10]), prior=prior)
            post = bn.fit(model, data.train, epochs=100, seed=seed, progress=False)
            whole = post.compact()
            small = post.prune(by="group", validation=data.validation).compact()
            kept = 100 * _size(small) / _size(whole)
            accuracy = [_accuracy(net, data.test) for net in (small, whole)]
            ece = post.evaluate(data.test, draws=32)["ece"]
            print(
                f"| {prior} | {seed} | {kept:.1f} | {accuracy[0]:.3f} | {accuracy[1]:.3f} | "
                f"{ece:.3f} |",
                flush=True,
            )


def _size(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def _accuracy(net: torch.nn.Module, part: Split) -> float:
    return float((net(part.x).argmax(-1) == part.y).double().mean())


if __name__ == "__main__":
    main()
