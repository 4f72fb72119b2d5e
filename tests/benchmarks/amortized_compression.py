"""The frontier between error and size of LeNet-300-100: one horseshoe fit over λ, or one a λ.

    BAYESNAS_DATA=... python tests/benchmarks/amortized_compression.py --out runs/ac

All start at the same net, trained by maximum likelihood on the same images. At each λ the test
accuracy of the posterior means is measured with all weights, and with 20, 10 and 5 % of them, those
with the most signal to noise, nothing fitted again.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.fit import FitOptions
from bayesnas.models import BayesianCompressionNet
from bayesnas.nn import load_net, save_net
from bayesnas.reproductions.bayesian_compression.pretrain import pretrained
from bayesnas.reproductions.bayesian_compression.recipe import LENET_300_100

KEPT = (1.0, 0.2, 0.1, 0.05)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=32, help="of the amortised fit")
    parser.add_argument("--separate-epochs", type=int, default=8, help="of each separate fit")
    parser.add_argument("--lr", type=float, default=5e-3, help="of all fits")
    parser.add_argument("--range", type=float, nargs=2, default=(0.03, 1.0), help="of λ")
    parser.add_argument("--kl-weights", type=float, nargs="*", default=[0.03, 0.1, 0.3, 1.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the fits, to go on with")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = bn.data.load("mnist", flatten=True)
    assert data.test is not None
    train = _first(data.train, args.examples)
    path = args.out / "net.safetensors"
    if not path.exists():
        args.out.mkdir(parents=True, exist_ok=True)
        save_net(pretrained(LENET_300_100, train, args.seed, torch.device("cpu")), path)
    net = load_net(path)
    model = BayesianCompressionNet(net, "horseshoe", initial_loc="net", initial_scale=0.05)
    options: FitOptions = {
        "lr": args.lr, "seed": args.seed, "compile": "trace", "resume": True, "device": "cpu",
    }  # fmt: skip
    post = bn.fit(
        model, train, kl_weight=bn.LogUniform(*args.range), epochs=args.epochs,
        out=args.out / "amortised", **options,
    )  # fmt: skip
    print("| λ | fit |", " | ".join(f"{100 * share:g} % of the weights" for share in KEPT), "|")
    print("|---" * (2 + len(KEPT)) + "|", flush=True)
    for kl_weight in args.kl_weights:
        separate = bn.fit(
            model, train, kl_weight=kl_weight, epochs=args.separate_epochs,
            out=args.out / f"{kl_weight:g}", **options,
        )  # fmt: skip
        for name, found in (("amortised", post.at(kl_weight)), ("separate", separate)):
            cells = (f"{value:.2f}" for value in _accuracies(found, data.test))
            print(f"| {kl_weight:g} | {name} | {' | '.join(cells)} |", flush=True)


def _accuracies(post: bn.Posterior, test: Split) -> list[float]:
    """In per cent, at each share of the weights."""
    curve = post.pruning_curve(test, [1 - share for share in KEPT], by=("density",))
    return [100 * float(value) for value in curve["accuracy"].sel(by="density")]


def _first(split: Split, n: int) -> Split:
    return Split(split.x[:n], split.y[:n], dataclasses.replace(split.info, n=n))


if __name__ == "__main__":
    main()
