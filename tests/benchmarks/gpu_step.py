"""How long a training step takes on a GPU: ours in every mode, and by hand as one CUDA graph.

    python tests/benchmarks/gpu_step.py --net mlp --estimator weight

"By hand" is plain torch with Bayesian layers and a capturable fused Adam, warmed up on a side
stream and captured with its noise. All methods take turns of 100 steps, and a turn ends when the
GPU has done them. The table gives median and quartiles in units of the median by hand. The last
line is the time of 64 fits of the 784–50–10 net (8 KL weights, 8 seeds) over that of one: they run
one after the other, since chains are not batched yet (docs/benchmarks.md).
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from step_nets import NETS, PLAIN, PRIOR, HandLayer, batch, hand_layers

import bayesnas as bn
from bayesnas.inference.session import RandomStream, pyro_session
from bayesnas.inference.settings import FitSettings, StepKLWeight
from bayesnas.inference.step import Step

EXAMPLES, STEPS, WARM_UP = 60_000, 100, 3
GPU = torch.device("cuda")

Taken = Callable[[], object]


def by_hand(net: str, estimator: str) -> Taken:
    """STEPS replays of a captured step."""
    module = NETS[net](hand_layers(estimator == "local")).to(GPU)
    layers = [m for m in module.modules() if isinstance(m, HandLayer)]
    x, y = (part.to(GPU) for part in batch(net))
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True, capturable=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        kl = sum(layer.kl() for layer in layers)
        (F.cross_entropy(module(x), y) + kl / EXAMPLES).backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def steps() -> None:
        for _ in range(STEPS):
            graph.replay()

    return steps


def ours(net: str, estimator: str, mode: str, precision: str = "float32") -> Taken:
    """STEPS steps of ``bayesnas.fit``."""
    layers = NETS[net](PLAIN)
    model = bn.models.GaussianNet(layers, prior_scale=PRIOR, estimator=estimator).to(GPU)
    stream = RandomStream(0, GPU)
    settings = FitSettings(
        kl_weight=1.0, kl_warmup=0.0, amortization=None, steps=1, batch_size=256, lr=1e-3,
        schedule="constant", clip=None, restarts=1, patience=None, seed=0, optimizer="Adam",
        compile=mode, precision=precision,
    )  # fmt: skip
    taken = Step(model, torch.optim.Adam, settings, EXAMPLES, stream, lambda: "")
    x, y = (part.to(GPU) for part in batch(net))

    def steps() -> None:
        with pyro_session(stream):
            for _ in range(STEPS):
                taken(x, y, StepKLWeight(1.0, 1.0), 1.0)

    return steps


def seconds(take: Taken) -> float:
    """Of a turn, until the GPU has done it."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    take()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(net: str, estimator: str, rounds: int) -> None:
    """Print a Markdown table."""
    made = {
        "by hand, CUDA graph": by_hand(net, estimator),
        "ours, cudagraph": ours(net, estimator, "cudagraph"),
        "ours, cudagraph, bfloat16": ours(net, estimator, "cudagraph", "bfloat16"),
        "ours, trace": ours(net, estimator, "trace"),
        "ours, eager": ours(net, estimator, "eager"),
    }
    setup = {name: seconds(take) for name, take in made.items()}
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, take in made.items():
            times[name].append(seconds(take))
    yardstick = statistics.median(times["by hand, CUDA graph"])
    print(f"\n{net}, {estimator}, batch 256, {torch.cuda.get_device_name()}, {rounds} rounds\n")
    print("| method | × by hand, CUDA graph | quartiles | first turn s |\n|---|---|---|---|")
    for name, found in times.items():
        low, median, high = (t / yardstick for t in statistics.quantiles(found, n=4))
        print(f"| {name} | {median:.2f} | {low:.2f}–{high:.2f} | {setup[name]:.1f} |")


def many_fits(epochs: int) -> float:
    """Time of 64 fits over the time of one."""
    x, y = torch.rand(EXAMPLES, 784), torch.randint(0, 10, (EXAMPLES,))
    model = bn.models.GaussianNet(bn.nn.mlp([784, 50, 10]), prior_scale=PRIOR)
    fit = functools.partial(
        bn.fit, model, (x, y), epochs=epochs, device="cuda", compile="cudagraph", progress=False
    )
    one = seconds(fit)

    def all_of_them() -> None:
        for index in range(8):
            fit(kl_weight=10.0 ** (index / 2 - 2), restarts=8)

    return seconds(all_of_them) / one


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=list(NETS), default="mlp")
    parser.add_argument("--estimator", choices=["local", "weight"], default="weight")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=2, help="of each of the 64 fits")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(2, "gpu_step.py needs a GPU, and torch finds none here\n")
    torch.manual_seed(0)
    measure(options.net, options.estimator, options.rounds)
    print(f"\n64 fits take {many_fits(options.epochs):.1f} × the time of one")


if __name__ == "__main__":
    main()
