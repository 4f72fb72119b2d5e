"""What a step of the generalised objective costs, in ordinary steps of the same model.

    python tests/benchmarks/generalised_step.py --rounds 15

A fit of one level takes one step for θ and h. The generalised one takes a joint step with terms in
h, or a hypergradient of h and a step of θ: what two ordinary steps are the yardstick of. All take
turns in one process; the table has medians and quartiles over rounds of CPU time, traced or
compiled.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from interleaved import interleaved
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.distributions import GumbelSoftmax
from bayesnas.inference import GeneralisedObjective, Implicit, Unrolled
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.training.chains.trainer import ChainTrainer
from bayesnas.inference.training.fit_options import FitArguments
from bayesnas.inference.training.levels import (
    upper_level,
    upper_sample,
    with_hyper_terms,
    with_levels,
    with_objective,
)

BATCH, ROWS, STEPS = 256, 4096, 40


def mlp() -> tuple[bn.models.BayesianModel, tuple[Tensor, Tensor]]:
    """784–100–10, one prior scale a layer."""
    net = bn.nn.mlp([784, 100, 10])
    x, y = torch.randn(ROWS, 784), torch.randint(10, (ROWS,))
    return bn.models.GaussianNet(net, prior_scale="learned"), (x, y)


def graph() -> tuple[bn.models.BayesianModel, tuple[Tensor, Tensor]]:
    """Three hidden layers to choose from, with a prior to learn on them and on every weight."""
    hidden = {
        "narrow": nn.Sequential(nn.Linear(784, 16), nn.Tanh(), nn.Linear(16, 10)),
        "wide": nn.Sequential(nn.Linear(784, 64), nn.Tanh(), nn.Linear(64, 10)),
        "linear": nn.Linear(784, 10),
    }
    space = bn.nn.Graph({("x", "y"): hidden}, example=torch.zeros(1, 784))
    x, y = torch.randn(ROWS, 784), torch.randint(10, (ROWS,))
    model = bn.models.LatentStructureNet(
        space, structure_prior="learned", prior_scale="ard", temperature=1.0
    )
    return model, (x, y)


MODELS = {"mlp": mlp, "graph": graph}


def objectives(name: str) -> dict[str, GeneralisedObjective | None]:
    """What is compared; None is the ordinary step."""
    away: dict[str, Any] = {}
    if name == "graph":
        prior = GumbelSoftmax(0.1, logits=torch.tensor([2.0, 0.0, 0.0]))
        away = {"structure_weights": [-1.0], "structure_priors": [prior]}
    return {
        "ordinary": None,
        "joint": GeneralisedObjective(**away),
        "unrolled": GeneralisedObjective(
            kl_weight_upper=0.5, upper=bn.Bilevel(Unrolled(), lr=1e-3), **away
        ),
        "implicit, T1–T2": GeneralisedObjective(
            kl_weight_upper=0.5,
            upper=bn.Bilevel(Implicit("neumann", steps=0), lr=1e-3),
            **away,
        ),
        "implicit, 10 products": GeneralisedObjective(
            kl_weight_upper=0.5, upper=bn.Bilevel(Implicit(steps=10), lr=1e-3), **away
        ),
        "the default, implicit in one step of ten": GeneralisedObjective(
            kl_weight_upper=0.5, upper=bn.Bilevel(Implicit(), lr=1e-3, every=10), **away
        ),
    }


def steps_of(name: str, objective: GeneralisedObjective | None, mode: str) -> Callable[[], None]:
    """A function that takes some steps of a fit."""
    torch.manual_seed(0)
    model, (x, y) = MODELS[name]()
    settings = make_settings(
        examples=ROWS, kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None, steps=1_000_000,
        batch_size=BATCH, lr=1e-3, schedule="constant", clip=None, restarts=1, patience=None,
        seed=0, compile=mode,
    )  # fmt: skip
    arguments = with_objective(FitArguments(objective=objective, lr=1e-3), model, ROWS)
    settings = with_levels(settings, arguments, upper_level(model, arguments, None))
    sample = bn.data.from_arrays(x.numpy(), y.numpy(), test=0.0).train
    chain = ChainTrainer(
        with_hyper_terms(model, objective, x.device), sample, settings, 0,
        torch.optim.Adam, "constant", upper=upper_sample(arguments, sample, None),
    )  # fmt: skip
    return lambda: chain.advance(STEPS)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=list(MODELS), default="mlp")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", choices=("inductor", "trace"), default="trace")
    options = parser.parse_args()
    torch.set_num_threads(1)
    by_name = objectives(options.net)
    steps = {name: steps_of(options.net, each, options.compile) for name, each in by_name.items()}
    times = interleaved(steps, options.rounds, warm_up=2)
    yardstick = statistics.median(times["ordinary"])
    print(f"{options.net}, batch {BATCH}, {options.compile}, {options.rounds} rounds\n")
    print("| step | × one ordinary step | quartiles | × two |")
    print("|---|---|---|---|")
    for name, taken in times.items():
        low, median, high = (t / yardstick for t in statistics.quantiles(taken, n=4))
        print(f"| {name} | {median:.2f} | {low:.2f}–{high:.2f} | {median / 2:.2f} |")


if __name__ == "__main__":
    main()
