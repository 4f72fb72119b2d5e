"""How long a training step takes: ours in every mode, by hand, Pyro's SVI and NumPyro's.

    pip install -e '.[benchmarks]'
    python tests/benchmarks/step.py --net mlp --estimator weight

All methods take turns, round after round, in one process; the table gives median and quartiles of
a step's time over the rounds, in units of the median of the compiled step by hand. Set-up is the
first call: tracing and compiling, with inductor's cache on disk empty. Peak memory is that of a
process that runs one method alone.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from step_methods import Taken, by_hand, numpyro_svi, ours, pyro_svi
from step_nets import NETS

LOOP = 100


def methods(net: str, estimator: str) -> dict[str, tuple[functools.partial[Taken], int]]:
    """What is compared, by name: how to make it, and steps a call."""
    found = {
        "by hand, compiled": (functools.partial(by_hand, net, estimator, True), 1),
        "by hand, eager": (functools.partial(by_hand, net, estimator, False), 1),
        "ours, inductor": (functools.partial(ours, net, estimator, "inductor"), 1),
        "ours, trace": (functools.partial(ours, net, estimator, "trace"), 1),
        "ours, eager": (functools.partial(ours, net, estimator, "eager"), 1),
    }
    if estimator == "weight":
        found["Pyro svi.step"] = (functools.partial(pyro_svi, net), 1)
    if estimator == "weight" and net == "mlp":
        found["NumPyro, jitted step"] = (functools.partial(numpyro_svi, None), 1)
        found["NumPyro, compiled loop"] = (functools.partial(numpyro_svi, LOOP), LOOP)
    return found


def alone(net: str, estimator: str, name: str) -> None:
    """Run one method by itself and print its peak memory in MiB."""
    taken = methods(net, estimator)[name][0]()
    for _ in range(30):
        taken()
    print(peak_of_this_process())


def peak_of_this_process() -> float:
    """Largest resident memory in MiB (getrusage would count the parent's before exec)."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak_memory(net: str, estimator: str, name: str) -> float:
    """Peak memory in MiB of a fresh process, or NaN where it fails."""
    command = [sys.executable, __file__, "--net", net, "--estimator", estimator, "--alone", name]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def measure(net: str, estimator: str, rounds: int) -> None:
    """Print a Markdown table."""
    made, setup, times = {}, {}, {}
    chosen = methods(net, estimator)
    for name, (make, _) in chosen.items():
        made[name] = make()
        began = time.perf_counter()
        made[name]()
        setup[name] = time.perf_counter() - began
        times[name] = []
    for index in range(rounds + 5):
        for name, (_, steps) in chosen.items():
            began = time.perf_counter()
            made[name]()
            if index >= 5:
                times[name].append((time.perf_counter() - began) / steps * 1e3)
    yardstick = statistics.median(times["by hand, compiled"])
    print(f"\n{net}, {estimator}, batch 256, {torch.get_num_threads()} threads, {rounds} rounds\n")
    print("| method | × by hand, compiled | quartiles | set-up s | peak MiB |")
    print("|---|---|---|---|---|")
    for name, found in times.items():
        low, median, high = (t / yardstick for t in statistics.quantiles(found, n=4))
        memory = peak_memory(net, estimator, name)
        print(
            f"| {name} | {median:.2f} | {low:.2f}–{high:.2f} | {setup[name]:.1f} | {memory:.0f} |",
            flush=True,
        )


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=list(NETS), default="mlp")
    parser.add_argument("--estimator", choices=["local", "weight"], default="weight")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.alone:
        alone(options.net, options.estimator, options.alone)
        return
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        measure(options.net, options.estimator, options.rounds)


if __name__ == "__main__":
    main()
