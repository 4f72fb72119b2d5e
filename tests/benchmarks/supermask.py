"""Masks over the frozen weights of LeNet-300-100 on MNIST.

.venv/bin/python tests/benchmarks/supermask.py
"""

from __future__ import annotations

import argparse

import bayesnas as bn
from bayesnas.inference.config.inputs import Data

WIDTHS = [784, 300, 100, 10]
BATCH_SIZE = 128
HELD_OUT = 10_000


def main() -> None:
    """Fit, and print accuracies under the likelier mask and under ten drawn ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--selection", default="edge-popup")
    parser.add_argument("--kl-weight", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--held-out", action="store_true", help="judge on the last 10,000 training images"
    )
    args = parser.parse_args()
    data = bn.data.load("mnist")
    assert data.test is not None
    train: Data = data.train
    judged: Data = data.test
    if args.held_out:
        x, y = data.train
        train, judged = (x[:-HELD_OUT], y[:-HELD_OUT]), (x[-HELD_OUT:], y[-HELD_OUT:])
    for seed in range(args.seeds):
        model = bn.models.SupermaskNet(bn.nn.mlp(WIDTHS), selection=args.selection)
        post = bn.fit(
            model,
            train,
            kl_weight=args.kl_weight,
            steps=args.steps,
            batch_size=BATCH_SIZE,
            seed=seed,
            progress=False,
        )
        likelier = post.evaluate(judged, draws=0)["accuracy"]
        drawn = post.evaluate(judged, draws=10)
        kept = post.complexity(draws=1)["parameters_kept"]
        print(
            f"{args.selection}, λ = {args.kl_weight:g}, {args.steps} steps, seed {seed}: "
            f"{100 * likelier:.2f} % under the likelier mask, {100 * drawn['accuracy']:.2f} % "
            f"under ten masks, KL {drawn['kl']:,.0f} nats, {kept:,.0f} of 266,200 weights",
            flush=True,
        )


if __name__ == "__main__":
    main()
