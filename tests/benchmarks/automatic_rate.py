"""Whether settings learned by hypergradients beat a grid of five rates at the price of two fits.

    python tests/benchmarks/automatic_rate.py --seeds 3

Three pairs of a model and data. The grid: a whole fit at each of five learning rates, of which the
one with the highest bound on the training data is kept. Beside it, each followed by one fit:

- rate: Adam's learning rate alone, along half a fit, by unrolls of ten steps of the same bound
  whose gradient is taken as constant, from the middle of the grid on;
- windows: rate, momentum, schedule, KL warm-up and initial scale of the guide, by exact gradients
  of the bound after every ten steps, along 1/4 of a fit;
- short fits: the same five, by exact gradients of the bound at the end of three fits of 1/10 of the
  steps, from the first step on.

Times are CPU seconds, tracing among them, bounds are in nats an example. For seed 0 it also says
what remains of the second where one of its settings but the rate is left as a fit has it.
"""

from __future__ import annotations

import argparse
import copy
import logging
import time
from collections.abc import Iterator
from typing import Any

import torch

import bayesnas as bn
from bayesnas.inference import learn_optimizer
from bayesnas.inference.learned.fit_settings import LearnedSettings
from bayesnas.inference.learned.rules import AdamRule
from bayesnas.inference.learned.tasks.bounds import Bounds
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import derived_seed

GRID = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
BATCH = 128
WAYS = ("rate", "windows", "short fits")
DECAY, WARMUP = 0.1, 0.05  # where these two start: near what a fit does by default
LEFT = ("optimizer", "schedule", "kl_warmup", "initial_scale")


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
    model: BayesianModel, data: bn.data.Split, steps: int, seed: int, **arguments: Any
) -> tuple[float, float]:
    """The bound an example, and CPU seconds; ``initial_scale`` is that of the model."""
    model = copy.deepcopy(model)
    model.initial_scale = arguments.pop("initial_scale", model.initial_scale)
    start = time.process_time()
    post = bn.fit(
        model, data, steps=steps, batch_size=BATCH, seed=seed, progress=False, **arguments
    )
    seconds = time.process_time() - start
    return post.evaluate(data, draws=20, seed=0)["elbo"] / len(data), seconds


def learned_rate(
    model: BayesianModel, data: bn.data.Split, steps: int, seed: int
) -> dict[str, Any]:
    """The rate after half as many steps as a fit has, of twice the cost."""
    learned = learn_optimizer(
        Bounds(model, data, batch_size=BATCH),
        rule=AdamRule(rate=GRID[2]),
        steps=steps // 2,
        unroll=10,
        rounds=1,
        batch=1,
        lr=0.1,
        validation=0,
        seed=seed,
        progress=False,
    )
    return {"lr": learned.rule.config()["rate"]}


def learned_settings(
    model: BayesianModel, data: bn.data.Split, steps: int, seed: int, way: str
) -> tuple[dict[str, Any], str]:
    """Arguments of a fit, and what they are in words."""
    windows = way == "windows"
    length = steps // 4 if windows else steps // 10
    unroll, rounds, lr = (10, 1, 0.2) if windows else (length, 3, 0.4)
    bounds = Bounds(model, data, batch_size=BATCH)
    warmup = max(WARMUP, model.fit_defaults(len(data)).kl_warmup)
    settings = LearnedSettings(GRID[2], decay=DECAY, warmup=warmup)
    adam = torch.optim.Adam(settings.parameters(), lr, betas=(0.8, 0.99))
    for index in range(rounds):
        drawn = bounds.draw_weighted(1, derived_seed(seed, index))
        theta, state = settings.start(drawn.start, bounds.log_scales), None
        for first in range(0, length, unroll):
            window = range(first, min(first + unroll, length))
            loss, theta, state = settings.take(drawn, theta, state, window, length)
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(settings.parameters(), 1.0)
            adam.step()
    values = {name: value.item() for name, value in settings.values().items()}
    scale = float(model.config()["initial_scale"]) * values["scale"]
    words = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    return {**settings.fit_arguments(), "initial_scale": scale}, words


def learned(
    model: BayesianModel, data: bn.data.Split, steps: int, seed: int, way: str
) -> tuple[dict[str, Any], str, float]:
    """Arguments of a fit, what they are in words, and CPU seconds."""
    start = time.process_time()
    if way == "rate":
        arguments = learned_rate(model, data, steps, seed)
        words = f"rate {arguments['lr']:.3g}"
    else:
        arguments, words = learned_settings(model, data, steps, seed, way)
    return arguments, words, time.process_time() - start


def compare(
    name: str, model: BayesianModel, data: bn.data.Split, steps: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Print a paragraph; of every way how far above the best of the grid, and the cost in fits."""
    grid = [fitted(model, data, steps, seed, lr=lr) for lr in GRID]
    bounds = [bound for bound, _ in grid]
    best, fit_price = max(bounds), sum(seconds for _, seconds in grid) / len(grid)
    print(
        f"{name}, seed {seed}: best of five {best:.4f} ({GRID[bounds.index(best)]:g}); all five",
        " ".join(f"{bound:.4f}" for bound in bounds),
    )
    results = {}
    for way in WAYS:
        arguments, words, spent = learned(model, data, steps, seed, way)
        bound, seconds = fitted(model, data, steps, seed, **arguments)
        results[way] = bound - best, (spent + seconds) / fit_price
        print(f"  {way}: {bound:.4f}, {results[way][1]:.1f} fits; {words}", flush=True)
        if way == "windows" and seed == 0:
            for left in LEFT:
                others = {key: value for key, value in arguments.items() if key != left}
                bound, _ = fitted(model, data, steps, seed, **others)
                print(f"    {left} as a fit has it: {bound:.4f}", flush=True)
    return results


def main() -> None:
    """Print a paragraph a pair and seed, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("bayesnas").setLevel(logging.ERROR)  # a rate of the grid may be too small
    _, model, data = next(pairs())
    for way in WAYS:  # what is loaded once in a process is no part of a price
        fitted(model, data, 20, 0, **learned(model, data, 20, 0, way)[0])
    for name, model, data in pairs():
        results = [compare(name, model, data, args.steps, seed) for seed in range(args.seeds)]
        for way in WAYS:
            above = ", ".join(f"{run[way][0]:+.4f}" for run in results)
            price = sum(run[way][1] for run in results) / len(results)
            print(f"{name}, {way}, above the best of five by seed: {above}; {price:.2f} fits")


if __name__ == "__main__":
    main()
