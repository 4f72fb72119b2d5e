"""What a Bayesian training step costs, in units of an ordinary Adam step of the same net.

    pip install -e '.[benchmarks]'
    OMP_NUM_THREADS=1 python tests/benchmarks/step_price.py

784–100–10, 784–1000–1000–10 and 784–4000–4000–10 (80 thousand, 1.8 million and 19 million
parameters) at batch 256. All methods take turns of some steps, round after round, in one process
of one thread. A ratio is a method's time over the median of the ordinary step, eager or compiled,
whichever is faster; the table gives its median and quartiles over the rounds, by the time of the
processor and by that of the wall: on a machine with other work they differ, and the first counts.
A step of local reparameterisation has the matrix products of an ordinary one twice, for means and
for variances: the last two rows take nothing else.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from interleaved import interleaved
from step_methods import STEPS, Taken, ivon, ordinary, ours, products

ROUNDS = {"mlp": 15, "mlp1000": 15, "mlp4000": 4}
ORDINARY = ("ordinary, eager", "ordinary, compiled")


def methods(net: str) -> dict[str, Callable[[], Taken]]:
    """What is compared, by name: how to make it."""
    eager, compiled = ORDINARY
    makers: dict[str, Callable[[], Taken]] = {
        eager: functools.partial(ordinary, net, False),
        compiled: functools.partial(ordinary, net, True),
    }
    for estimator in ("weight", "local"):
        for mode in ("inductor", "trace", "eager"):
            makers[f"ours, {estimator}, {mode}"] = functools.partial(ours, net, estimator, mode)
        makers[f"ours, {estimator}, inductor, bfloat16"] = functools.partial(
            ours, net, estimator, "inductor", "bfloat16"
        )
    if importlib.util.find_spec("ivon") is not None:
        makers["IVON, eager"] = functools.partial(ivon, net)
    makers["its matrix products alone"] = functools.partial(products, net, 1)
    makers["twice those products"] = functools.partial(products, net, 2)
    return makers


def measure(net: str, rounds: int) -> None:
    """Take the steps of one net and print its table."""
    wall: dict[str, list[float]] = {}
    made = {name: _on_the_wall(make(), wall, name) for name, make in methods(net).items()}
    processor = interleaved(made, rounds, warm_up=2, clock=time.thread_time)
    seconds = {name: (processor[name], wall[name][-rounds:]) for name in made}
    faster = min(ORDINARY, key=lambda name: statistics.median(processor[name]))
    units = [statistics.median(times) for times in seconds[faster]]
    print(
        f"\n{net}, batch 256, {torch.get_num_threads()} thread, {rounds} rounds; unit: {faster}, "
    )
    print(f"{1e3 * units[0] / STEPS[net]:.2f} ms of the processor\n")
    print("| method | × ordinary, processor | quartiles | × ordinary, wall | quartiles |")
    print("|---|---|---|---|---|")
    for name, clocks in seconds.items():
        cells = (_cells(times, unit) for times, unit in zip(clocks, units, strict=True))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _on_the_wall(steps: Taken, wall: dict[str, list[float]], name: str) -> Taken:
    """The same steps; their wall time is noted."""

    def timed() -> None:
        began = time.perf_counter()
        steps()
        wall.setdefault(name, []).append(time.perf_counter() - began)

    return timed


def _cells(times: list[float], unit: float) -> str:
    low, median, high = (time / unit for time in statistics.quantiles(times, n=4))
    return f"{median:.2f} | {low:.2f}–{high:.2f}"


def processor_name() -> str:
    """The processor as the system names it, and the instructions that torch uses of it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = {line.split("\t")[0]: line.split(": ")[-1] for line in lines if ": " in line}
    name = named.get("model name", platform.processor())
    family = f"family {named.get('cpu family', '?')} model {named.get('model', '?')}"
    return f"{name} ({family}), {torch.backends.cpu.get_cpu_capability()}"


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    parser.add_argument("--rounds", type=int, help="by default 15, 15 and 4")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(f"{processor_name()}, torch {torch.__version__}")
    for net in options.nets:
        measure(net, options.rounds or ROUNDS[net])


if __name__ == "__main__":
    main()
