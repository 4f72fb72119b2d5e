"""How long a training step takes on a GPU: ours in every mode, and by hand as one CUDA graph.

    python tests/benchmarks/gpu_step.py --net mlp --estimator weight

"By hand" is plain torch with Bayesian layers and a capturable fused Adam, warmed up on a side
stream and captured with its noise. All methods take turns of 100 steps, and a turn ends when the
GPU has done them. The table gives median and quartiles in units of the median by hand. What
follows is the time of 64 fits of the 784–50–10 net (8 KL weights, 8 seeds) in units of that of one,
batched and one after the other. On a CPU that part runs by itself, with fewer fits:

    python tests/benchmarks/gpu_step.py --device cpu --fits 8
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
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.steps.step import Step
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

EXAMPLES, STEPS, WARM_UP = 60_000, 100, 3
FIT_NETS = {"mnist": [784, 50, 10], "digits": [64, 20, 10]}
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
    """Of a turn, until the GPU has done it; without one, of the processor."""
    if not torch.cuda.is_available():
        began = time.process_time()
        take()
        return time.process_time() - began
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
    for name, turns in times.items():
        low, median, high = (t / yardstick for t in statistics.quantiles(turns, n=4))
        print(f"| {name} | {median:.2f} | {low:.2f}–{high:.2f} | {setup[name]:.1f} |")


def step_seconds(net: str, steps: int, **options: object) -> tuple[float, float]:
    """Seconds of a step of all chains of a fit, and of its set-up: from fits of two lengths."""
    sizes = FIT_NETS[net]
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(EXAMPLES, sizes[0], generator=generator)
    y = torch.randint(0, sizes[-1], (EXAMPLES,), generator=generator)
    model = bn.models.GaussianNet(bn.nn.mlp(sizes), prior_scale=PRIOR)
    fit = functools.partial(bn.fit, model, (x, y), progress=False, **options)
    fit(steps=2)
    short = seconds(functools.partial(fit, steps=steps // 10))
    whole = seconds(functools.partial(fit, steps=steps))
    step = (whole - short) / (steps - steps // 10)
    return step, max(whole - steps * step, 0.0)


def many_fits(net: str, fits: int, epochs: int, rounds: int, **options: object) -> None:
    """Print the time of many fits, of KL weights times seeds, in units of that of one."""
    restarts = 2 ** (fits.bit_length() // 2)
    kl_weights = [10.0 ** (index / 2 - 2) for index in range(fits // restarts)]
    many = {**options, "kl_weight": kl_weights, "restarts": restarts}
    variants = {
        "one fit": options,
        f"{fits} fits, batched": {**many, "batched": True},
        f"{fits} fits, one after the other": {**many, "batched": False},
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, of_variant in variants.items():
            longer = fits if of_variant is options else 1  # as much work as many
            steps = longer * epochs * (EXAMPLES // 256)
            measured[name].append(step_seconds(net, steps, **of_variant))
    one = statistics.median(step for step, _ in measured["one fit"])
    sizes = "–".join(map(str, FIT_NETS[net]))
    print(f"\n{sizes}, batch 256, {options['device']}, {options['compile']}, {rounds} rounds\n")
    print("| fits | ms a step of all | × that of one | set-up s |\n|---|---|---|---|")
    for name, times in measured.items():
        step, setup = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {step * 1e3:.2f} | {step / one:.1f} | {setup:.1f} |")


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=list(NETS), default="mlp")
    parser.add_argument("--estimator", choices=["local", "weight"], default="weight")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--fits", type=int, default=64, help="a power of two")
    parser.add_argument("--fit-net", choices=list(FIT_NETS), default="mnist", help="of the fits")
    parser.add_argument("--fit-mode", choices=["trace", "inductor", "cudagraph"])
    parser.add_argument("--epochs", type=int, default=2, help="of each of the fits")
    parser.add_argument("--fit-rounds", type=int, default=3)
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        parser.exit(2, "gpu_step.py needs a GPU, and torch finds none here (or --device cpu)\n")
    torch.manual_seed(0)
    if on_gpu:
        measure(options.net, options.estimator, options.rounds)
    mode = options.fit_mode or ("cudagraph" if on_gpu else "trace")
    many_fits(
        options.fit_net, options.fits, options.epochs, options.fit_rounds,
        device=options.device, compile=mode,
    )  # fmt: skip


if __name__ == "__main__":
    main()
