"""What a step of an amortised fit costs, against a step of a fit at one KL weight.

    python tests/benchmarks/amortized_step.py [--hidden 50] [--rounds 300]

784–50–10, batch 256, one thread. All kinds take turns in one process; medians and quartiles of
the processor time of a step, as ratios to the median of the direct step. λ changes at every step.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from interleaved import interleaved

import bayesnas as bn
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.steps.step import Step
from bayesnas.nn.hypernetworks.parameter_map import ParameterMap
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

KINDS: dict[str, str | ParameterMap | None] = {
    "one λ": None,
    "linear": "linear",
    "piecewise, 5 knots": "piecewise",
    "piecewise, 17 knots": bn.nn.PiecewiseMap(knots=17),
    "low-rank": "low-rank",
    "curvature": "curvature",
}


def step_of(amortize: str | ParameterMap | None, hidden: int, mode: str) -> Callable[[], None]:
    """A function that takes one step of a fit."""
    model = bn.models.GaussianNet(bn.nn.mlp([784, hidden, 10]), prior_scale=0.1)
    settings = make_settings(
        examples=60_000, kl_weight=1.0 if amortize is None else bn.LogUniform(0.1, 100),
        kl_warmup=0.0, amortize=amortize, epochs=None, steps=10_000, batch_size=256, lr=1e-3,
        schedule="constant", clip=None, restarts=1, patience=None, seed=0, compile=mode,
    )  # fmt: skip
    stream = RandomStream(0, torch.device("cpu"))
    taken = Step(model, torch.optim.Adam, settings, 60_000, stream, lambda: "")
    taken.trained.refine(0.99, taken.optimizer)
    x, y = torch.rand(256, 784), torch.randint(10, (256,))
    count = iter(range(10**9))

    def step() -> None:
        with pyro_session(stream):
            taken(x, y, settings.kl_weight_at(next(count)), 1.0)

    return step


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--compile", choices=("inductor", "trace"), default="inductor")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = {name: step_of(kind, options.hidden, options.compile) for name, kind in KINDS.items()}
    times = interleaved(steps, options.rounds, warm_up=10)
    yardstick = statistics.median(times["one λ"])
    print("| step | × one λ | quartiles |")
    print("|---|---|---|")
    for name, turns in times.items():
        low, median, high = (t / yardstick for t in statistics.quantiles(turns, n=4))
        print(f"| {name} | {median:.2f} | {low:.2f}–{high:.2f} |")


if __name__ == "__main__":
    main()
