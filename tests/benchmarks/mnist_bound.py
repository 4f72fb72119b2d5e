"""The bound, accuracy and pruning of GaussianNet 784–50–10 on MNIST, beside published figures.

    BAYESNAS_DATA=... python tests/benchmarks/mnist_bound.py

Published: Grebenkova, Bakhteev, Strijov 2021, direct fits of 25 epochs. Reference: a hand-written
torch loop with weight sampling, Adam 2e-3 with cosine decay, batch 256, log σ from −4.
"""

from __future__ import annotations

import argparse

import bayesnas as bn

PUBLISHED = {0.1: -9035, 1.0: -24338, 10.0: -56679, 100.0: -128929}
REFERENCE = {0.1: -8501, 1.0: -21407, 10.0: -53347, 100.0: -123968}
FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
PRUNED = 10.0


def fit(data: bn.data.DataSet, kl_weight: float, seed: int, epochs: int) -> bn.Posterior:
    """One fit at the settings of the table."""
    net = bn.nn.mlp([784, 50, 10])
    model = bn.models.GaussianNet(net, prior_scale=0.1, initial_scale=0.0183)
    return bn.fit(
        model, data.train, kl_weight=kl_weight, epochs=epochs, batch_size=256, lr=2e-3, seed=seed
    )


def pruning_rows(post: bn.Posterior, data: bn.data.DataSet, seed: int) -> list[str]:
    """Accuracy against the fraction removed, by every criterion."""
    assert data.test is not None
    curve = post.pruning_curve(data.test, FRACTIONS, seed=seed)
    return [
        f"| {seed} | {by} | "
        + " | ".join(f"{value:.4f}" for value in curve["accuracy"].sel(by=by).values)
        + " |"
        for by in curve["by"].values
    ]


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--draws", type=int, default=64)
    options = parser.parse_args()
    data = bn.data.load("mnist")
    assert data.test is not None
    print("| λ | seed | 𝓛 (± standard error) | published | reference | test accuracy at means |")
    print("|---|---|---|---|---|---|")
    pruned = []
    for kl_weight, published in PUBLISHED.items():
        for seed in options.seeds:
            post = fit(data, kl_weight, seed, options.epochs)
            metrics = post.evaluate(data.train, draws=options.draws)
            accuracy = post.evaluate(data.test, draws=0)["accuracy"]
            print(
                f"| {kl_weight:g} | {seed} | {metrics['elbo']:.0f} ± {metrics['elbo_error']:.0f} "
                f"| {published} | {REFERENCE[kl_weight]} | {accuracy:.4f} |",
                flush=True,
            )
            if kl_weight == PRUNED:
                pruned += pruning_rows(post, data, seed)
    print(f"\nλ = {PRUNED:g}: test accuracy of the posterior means by fraction removed\n")
    print("| seed | criterion | " + " | ".join(f"{fraction:g}" for fraction in FRACTIONS) + " |")
    print("|---" * (len(FRACTIONS) + 2) + "|")
    print("\n".join(pruned))


if __name__ == "__main__":
    main()
