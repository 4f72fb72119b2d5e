"""One amortised fit against separate fits along the KL weight, on MNIST.

784–50–10, prior_scale=0.1; 𝓛(λ) = E_q log p(D | w) − λ KL(q ‖ p) of the training images, from
64 draws of the weights. Every separate fit has 25 epochs, the amortised one 50 for all λ.

    python tests/benchmarks/amortized_bound.py

At equal total updates, one epoch of each for every λ, and with convolutions:

    python tests/benchmarks/amortized_bound.py --kl-weights .1 1 10 100 --epochs 48 \
        --separate-epochs 12
    python tests/benchmarks/amortized_bound.py --net conv --kl-weights .1 1 10 100 --epochs 24 \
        --separate-epochs 6 --seeds 0

The curvature map alone, to compare with the first table:

    python tests/benchmarks/amortized_bound.py --amortize curvature --lr 1.2e-2 --seeds 0 \
        --separate-epochs 0 --draws 4
"""

from __future__ import annotations

import argparse

import bayesnas as bn

KL_WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
DRAWS = 64


def model(net: str) -> bn.models.GaussianNet:
    """The net of the published tables, or a small convolutional one."""
    module = bn.nn.mlp([784, 50, 10]) if net == "mlp" else bn.nn.convnet((8, 16), (64,))
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
    parser.add_argument(
        "--separate-epochs", type=int, default=25, help="of each separate fit; 0: none"
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help="of the weights, for a bound")
    parser.add_argument("--kl-weights", type=float, nargs="+", default=KL_WEIGHTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    data = bn.data.load(args.data)
    print("| λ | seed | 𝓛 amortised | 𝓛 separate | amortised better by | test accuracy of both |")
    print("|---|---|---|---|---|---|")
    for seed in args.seeds:
        post = bn.fit(
            model(args.net), data.train, kl_weight=bn.LogUniform(0.1, 100),
            amortize=args.amortize, epochs=args.epochs, lr=args.lr, seed=seed,
        )  # fmt: skip
        for kl_weight in args.kl_weights:
            ours = measured(post.at(kl_weight), data, args.draws)
            bound = f"| {kl_weight:g} | {seed} | {ours['elbo']:.0f} ± {ours['error']:.0f} "
            if not args.separate_epochs:
                print(f"{bound}| | | {ours['accuracy']:.4f} |", flush=True)
                continue
            separate = bn.fit(
                model(args.net), data.train, kl_weight=kl_weight,
                epochs=args.separate_epochs, lr=args.separate_lr, seed=seed,
            )  # fmt: skip
            other = measured(separate, data, args.draws)
            gain = 100 * (ours["elbo"] - other["elbo"]) / abs(other["elbo"])
            print(
                f"{bound}| {other['elbo']:.0f} ± {other['error']:.0f} | {gain:+.1f} % "
                f"| {ours['accuracy']:.4f}, {other['accuracy']:.4f} |",
                flush=True,
            )


def measured(post: bn.Posterior, data: bn.data.DataSet, draws: int) -> dict[str, float]:
    """Bound of the training part, with its standard error, and test accuracy at the means."""
    assert data.test is not None
    metrics = post.evaluate(data.train, draws=draws)
    accuracy = post.evaluate(data.test, draws=0)["accuracy"]
    return {"elbo": metrics["elbo"], "error": metrics["elbo_error"], "accuracy": accuracy}


if __name__ == "__main__":
    main()
