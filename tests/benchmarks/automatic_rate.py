"""Whether a learning rate from truncated unrolls beats a grid of five, for the price of two fits.

    python tests/benchmarks/automatic_rate.py

Three pairs of a model and data. The grid: a whole fit at each of five learning rates, of which the
one with the highest bound on the training data is kept. Automatic: Adam's learning rate is learned
along one fit of half the length, by unrolls of ten steps of the same bound whose gradient is taken
as constant, from the middle of the grid on; then one fit with it. Times are CPU seconds, bounds are
in nats an example.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch

import bayesnas as bn
from bayesnas.inference import learn_optimizer
from bayesnas.inference.learned.rules import AdamRule
from bayesnas.inference.learned.tasks.bounds import Bounds
from bayesnas.models.base import BayesianModel

GRID = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
BATCH = 128


def pairs() -> Iterator[tuple[str, BayesianModel, bn.data.Split]]:
    """Name, model and training data."""
    digits = bn.data.load("digits").train
    yield "GaussianNet 64-20-10, digits", bn.models.GaussianNet(bn.nn.mlp([64, 20, 10])), digits
    cancer = bn.data.load("breast-cancer", standardise=True).train
    net = bn.nn.mlp([30, 20, 2])
    yield (
        "BayesianCompressionNet 30-20-2, breast cancer",
        bn.models.BayesianCompressionNet(net),
        cancer,
    )
    diabetes = bn.data.load("diabetes", standardise=True).train
    net = bn.nn.mlp([10, 20, 1])
    yield (
        "GaussianNet 10-20-1, diabetes",
        bn.models.GaussianNet(net, likelihood="gaussian"),
        diabetes,
    )


def fitted(
    model: BayesianModel, data: bn.data.Split, lr: float, steps: int, seed: int
) -> tuple[float, float]:
    """The bound an example, and CPU seconds."""
    start = time.process_time()
    post = bn.fit(model, data, lr=lr, steps=steps, batch_size=BATCH, seed=seed, progress=False)
    seconds = time.process_time() - start
    return post.evaluate(data, draws=20, seed=0)["elbo"] / len(data), seconds


def learned_rate(
    model: BayesianModel, data: bn.data.Split, steps: int, seed: int, unroll: int
) -> tuple[float, float]:
    """The rate after half as many steps as a fit has, of twice the cost, and CPU seconds."""
    start = time.process_time()
    learned = learn_optimizer(
        Bounds(model, data, batch_size=BATCH),
        rule=AdamRule(rate=GRID[2]),
        steps=steps // 2,
        unroll=unroll,
        rounds=1,
        batch=1,
        lr=0.1,
        validation=0,
        seed=seed,
        progress=False,
    )
    return learned.rule.config()["rate"], time.process_time() - start


def main() -> None:
    """Print a line a pair and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--unroll", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("model, data: best of the grid (rate); automatic (rate), CPU time in fits")
    for name, model, data in pairs():
        for seed in range(args.seeds):
            grid = [fitted(model, data, lr, args.steps, seed) for lr in GRID]
            bounds = [bound for bound, _ in grid]
            best = max(range(len(GRID)), key=bounds.__getitem__)
            rate, spent = learned_rate(model, data, args.steps, seed, args.unroll)
            bound, seconds = fitted(model, data, rate, args.steps, seed)
            fits = (spent + seconds) / (sum(time for _, time in grid) / len(grid))
            print(
                f"{name}, seed {seed}: {bounds[best]:.4f} ({GRID[best]:g}); "
                f"{bound:.4f} ({rate:.3g}), {fits:.1f} fits; grid "
                + " ".join(f"{value:.4f}" for value in bounds),
                flush=True,
            )


if __name__ == "__main__":
    main()
