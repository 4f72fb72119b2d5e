"""One amortised fit against separate fits along the KL weight, on MNIST.

784–50–10, prior_scale=0.1; 𝓛(λ) = E_q log p(D | w) − λ KL(q ‖ p) of the training images, from
64 draws of the weights. Every separate fit has 25 epochs, the amortised one 50 for all λ.

    python tests/benchmarks/amortized_bound.py [--amortize piecewise] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse

import bayesnas as bn

KL_WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
REFERENCE = dict(
    zip(KL_WEIGHTS, (-8501, -13047, -21407, -33615, -53347, -80022, -123968), strict=True)
)
DRAWS = 64


def model(net: str) -> bn.models.GaussianNet:
    """The net of the published tables, or a convolutional one."""
    module = bn.nn.mlp([784, 50, 10]) if net == "mlp" else bn.nn.convnet([1, 28, 28], 10)
    return bn.models.GaussianNet(module, prior_scale=0.1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amortize", default="piecewise")
    parser.add_argument("--net", choices=("mlp", "conv"), default="mlp")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--lr", type=float, default=6e-3, help="of the amortised fit")
    parser.add_argument("--separate-lr", type=float, default=2e-3, help="of the separate fits")
    parser.add_argument("--epochs", type=int, default=50, help="of the amortised fit")
    parser.add_argument("--separate-epochs", type=int, default=25, help="of each separate fit")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only-amortized", action="store_true")
    args = parser.parse_args()
    data = bn.data.load(args.data)
    print("| λ | seed | 𝓛 amortised | 𝓛 separate | amortised better by | test accuracy of both |")
    print("|---|---|---|---|---|---|")
    for seed in args.seeds:
        post = bn.fit(
            model(args.net), data.train, kl_weight=bn.LogUniform(0.1, 100),
            amortize=args.amortize, epochs=args.epochs, lr=args.lr, seed=seed,
        )  # fmt: skip
        for kl_weight in KL_WEIGHTS:
            at = post.at(kl_weight)
            found = at.evaluate(data.train, draws=DRAWS)
            accuracy = at.evaluate(data.test, draws=0)["accuracy"]
            if args.only_amortized:
                expected, other = float(REFERENCE[kl_weight]), float("nan")
            else:
                separate = bn.fit(
                    model(args.net), data.train, kl_weight=kl_weight,
                    epochs=args.separate_epochs, lr=args.separate_lr, seed=seed,
                )  # fmt: skip
                expected = separate.evaluate(data.train, draws=DRAWS)["elbo"]
                other = separate.evaluate(data.test, draws=0)["accuracy"]
            gain = 100 * (found["elbo"] - expected) / abs(expected)
            print(
                f"| {kl_weight:g} | {seed} | {found['elbo']:.0f} ± {found['elbo_error']:.0f} "
                f"| {expected:.0f} | {gain:+.1f} % | {accuracy:.4f}, {other:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
