"""The frontier between error and size of LeNet-300-100: one horseshoe fit over λ, or one a λ.

    BAYESNAS_DATA=... python tests/benchmarks/amortized_compression.py --out runs/ac

All start at the same net, trained by maximum likelihood on the same 55,000 images, and have as many
steps in all. At each λ the accuracy of the posterior means is measured with all weights and with
ever fewer, those with the most signal to noise, nothing fitted again. The 5,000 held-out training
images choose: for each size the best λ, and for each λ the size at the knee. Without ``--test``
every accuracy is that of the held-out images, for choosing the settings.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import xarray as xr

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.compression.plain_networks.pretraining import Pretraining
from bayesnas.models import BayesianCompressionNet
from bayesnas.models.compression.threshold_sweep import knee
from bayesnas.nn import load_net, save_net
from bayesnas.reproductions.bayesian_compression.fits import pretrained_net
from bayesnas.reproductions.bayesian_compression.settings import LENET_300_100

HELD_OUT = 1 / 12  # 5,000 of 60,000
SHARES = (1.0, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03)
SHOWN = (1.0, 0.2, 0.1, 0.05)
START = replace(LENET_300_100, input_noise=0.0, pretraining=Pretraining(15, 2e-3, (0.1, 0.2, 0.2)))


@dataclass(frozen=True)
class Curve:
    """Accuracy of a posterior at each of ``SHARES`` of its weights, in [0, 1].

    Attributes:
        chosen: on the held-out images.
        shown: on the images of the table.
        examples: how many held-out images there are.
    """

    chosen: dict[float, float]
    shown: dict[float, float]
    examples: int

    def knee(self) -> float:
        """The smallest share within one standard error of the best, on the held-out images."""
        share = ("threshold", list(SHARES))
        accuracy = torch.tensor(list(self.chosen.values()))
        error = (accuracy * (1 - accuracy) / self.examples).sqrt()
        loss = {"loss": ("threshold", 1 - accuracy), "loss_error": ("threshold", error)}
        return knee(xr.Dataset({**loss, "weights": share}, {"threshold": list(SHARES)}))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=32, help="of the amortised fit")
    parser.add_argument("--separate-epochs", type=int, default=8, help="of each separate fit")
    parser.add_argument("--lr", type=float, default=1e-2, help="of the amortised fit")
    parser.add_argument("--separate-lr", type=float, default=1e-2, help="of each separate fit")
    parser.add_argument("--knots", type=int, default=3, help="of the map from λ to parameters")
    parser.add_argument("--range", type=float, nargs=2, default=(0.03, 1.0), help="of λ")
    parser.add_argument("--kl-weights", type=float, nargs="*", default=[0.03, 0.1, 0.3, 1.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="show accuracies of the test images")
    parser.add_argument("--out", type=Path, required=True, help="folder of the fits, to go on with")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = bn.data.load("mnist", flatten=True, validation=HELD_OUT)
    assert data.test is not None
    assert data.validation is not None
    path = args.out / "net.safetensors"
    if not path.exists():
        args.out.mkdir(parents=True, exist_ok=True)
        save_net(pretrained_net(START, data.train, args.seed, torch.device("cpu")), path)
    model = BayesianCompressionNet(
        load_net(path), "horseshoe", initial_loc="net", initial_scale=0.05
    )
    post = bn.fit(
        model, data.train, kl_weight=bn.LogUniform(*args.range), epochs=args.epochs, lr=args.lr,
        amortize=bn.nn.PiecewiseMap(args.knots), seed=args.seed, device="cpu", resume=True,
        out=args.out / f"amortised-{args.knots}-{args.lr:g}-{args.epochs}",
    )  # fmt: skip
    shown = data.test if args.test else data.validation
    print("| λ | fit |", *(f"{100 * share:g} % of the weights |" for share in SHOWN), end="")
    print(" weights at the knee, % | accuracy there |")
    print("|---" * (4 + len(SHOWN)) + "|", flush=True)
    curves: dict[tuple[str, float], Curve] = {}
    for kl_weight in args.kl_weights:
        separate = bn.fit(
            model, data.train, kl_weight=kl_weight, epochs=args.separate_epochs,
            lr=args.separate_lr, seed=args.seed, device="cpu", resume=True,
            out=args.out / f"{kl_weight:g}-{args.separate_lr:g}-{args.separate_epochs}",
        )  # fmt: skip
        for name, fitted in (("amortised", post.at(kl_weight)), ("separate", separate)):
            curve = _curve(fitted, data.validation, shown)
            curves[name, kl_weight] = curve
            cells = " | ".join(f"{100 * curve.shown[share]:.2f}" for share in SHOWN)
            end = curve.knee()
            at_knee = f"{100 * end:g} | {100 * curve.shown[end]:.2f}"
            print(f"| {kl_weight:g} | {name} | {cells} | {at_knee} |", flush=True)
    _print_frontier(curves, args.kl_weights)


def _print_frontier(curves: dict[tuple[str, float], Curve], kl_weights: Sequence[float]) -> None:
    """At each size the λ that the held-out images choose."""
    print("\n| weights, % | amortised | its λ | separate | its λ |\n|---|---|---|---|---|")
    for share in SHARES:
        cells = []
        for name in ("amortised", "separate"):
            best = max(kl_weights, key=lambda at: curves[name, at].chosen[share])
            cells.append(f"{100 * curves[name, best].shown[share]:.2f} | {best:g}")
        print(f"| {100 * share:g} | {' | '.join(cells)} |")


def _curve(post: bn.Posterior, held_out: Split, shown: Split) -> Curve:
    """Accuracies as weights go."""
    accuracies = []
    for part in (held_out, shown):
        curve = post.pruning_curve(part, [1 - share for share in SHARES], by=("density",))
        values = curve["accuracy"].sel(by="density").values
        accuracies.append(
            {share: float(value) for share, value in zip(SHARES, values, strict=True)}
        )
    return Curve(accuracies[0], accuracies[1], len(held_out))


if __name__ == "__main__":
    main()
