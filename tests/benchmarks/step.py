"""How long a training step takes: ours in every mode, by hand, Pyro's SVI and NumPyro's.

    pip install -e '.[benchmarks]'
    python tests/benchmarks/step.py --net mlp --estimator weight --save shared/step
    python tests/benchmarks/step.py --plot shared/step docs/benchmarks-step.png

All methods take turns of some steps, round after round, in one process; the table gives median and
quartiles of a step's time over the rounds, in units of the median of the compiled step by hand.
Set-up is the first turn: tracing and compiling, with inductor's cache on disk empty. --memory gives
the peak memory of a process that runs one method alone. On a machine that does other work as well
time the CPU on one core: taskset -c 0, OMP_NUM_THREADS=1, --cpu-time.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from interleaved import interleaved
from step_methods import STEPS, Taken, by_hand, numpyro_svi, ours, pyro_svi
from step_nets import NETS


def methods(net: str, estimator: str) -> dict[str, functools.partial[Taken]]:
    """What is compared, by name: how to make it."""
    makers = {
        "by hand, compiled": functools.partial(by_hand, net, estimator, True),
        "by hand, eager": functools.partial(by_hand, net, estimator, False),
        "ours, inductor": functools.partial(ours, net, estimator, "inductor"),
        "ours, trace": functools.partial(ours, net, estimator, "trace"),
        "ours, eager": functools.partial(ours, net, estimator, "eager"),
    }
    if estimator == "weight":
        makers["Pyro svi.step"] = functools.partial(pyro_svi, net)
    if estimator == "weight" and net == "mlp":
        makers["NumPyro, jitted step"] = functools.partial(numpyro_svi, False)
        makers["NumPyro, compiled loop"] = functools.partial(numpyro_svi, True)
    return makers


def alone(net: str, estimator: str, name: str) -> None:
    """Run one method by itself and print its peak memory in MiB."""
    taken = methods(net, estimator)[name]()
    for _ in range(30 // STEPS[net] + 2):
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


def measure(
    net: str, estimator: str, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Milliseconds a step, by method and round; prints a Markdown table."""
    made: dict[str, Taken] = {}
    setup: dict[str, float] = {}
    for name, make in methods(net, estimator).items():
        made[name] = make()
        began = clock()
        made[name]()
        setup[name] = clock() - began
    seconds = interleaved(made, rounds, warm_up=2, clock=clock)
    times = {name: [t / STEPS[net] * 1e3 for t in turns] for name, turns in seconds.items()}
    yardstick = statistics.median(times["by hand, compiled"])
    print(f"\n{net}, {estimator}, batch 256, {torch.get_num_threads()} threads, {rounds} rounds\n")
    print("| method | × by hand, compiled | quartiles | set-up s |")
    print("|---|---|---|---|")
    for name, turns in times.items():
        low, median, high = (t / yardstick for t in statistics.quantiles(turns, n=4))
        print(f"| {name} | {median:.2f} | {low:.2f}–{high:.2f} | {setup[name]:.1f} |")
    middle = {name: statistics.median(turns) for name, turns in times.items()}
    faster = min(middle["by hand, compiled"], middle["by hand, eager"])
    print(f"\nagainst the faster of the two by hand: {middle['ours, inductor'] / faster:.2f} ×")
    return times


def plot(folder: pathlib.Path, path: str) -> None:
    """Draw what --save left: median and quartiles of every method, a panel a network."""
    from matplotlib.figure import Figure

    runs = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
    figure = Figure(figsize=(4 * ((len(runs) + 1) // 2), 6), layout="constrained")
    panels = figure.subplots(2, (len(runs) + 1) // 2, squeeze=False).T.flat
    for (title, times), panel in zip(runs.items(), panels, strict=False):
        yardstick = statistics.median(times["by hand, compiled"])
        for place, (name, turns) in enumerate(reversed(times.items())):
            low, median, high = (t / yardstick for t in statistics.quantiles(turns, n=4))
            colour = "C0" if name.startswith("ours") else "0.55"
            error = [[median - low], [high - median]]
            panel.errorbar(median, place, xerr=error, fmt="o", color=colour, capsize=2)
        panel.set_yticks(range(len(times)), list(reversed(times)))
        panel.axvline(1.0, color="0.8", linewidth=0.8, zorder=0)
        panel.set_xlim(left=0.0)
        panel.set_title(title.replace("-", ", "))
        panel.set_xlabel("÷ by hand, compiled")
    for panel in list(panels):
        panel.set_axis_off()
    figure.savefig(path, dpi=130)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=list(NETS), default="mlp")
    parser.add_argument("--estimator", choices=["local", "weight"], default="weight")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--save", type=pathlib.Path, help="folder for the times, one file a run")
    parser.add_argument("--plot", nargs=2, metavar=("FOLDER", "PNG"), help="draw what was saved")
    parser.add_argument("--cpu-time", action="store_true", help="for a machine with other work")
    parser.add_argument("--memory", action="store_true", help="measure that instead of times")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.plot:
        plot(pathlib.Path(options.plot[0]), options.plot[1])
        return
    if options.memory:
        print(f"\n{options.net}, {options.estimator}\n\n| method | peak MiB |\n|---|---|")
        for name in methods(options.net, options.estimator):
            print(
                f"| {name} | {peak_memory(options.net, options.estimator, name):.0f} |", flush=True
            )
        return
    if options.alone:
        alone(options.net, options.estimator, options.alone)
        return
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        clock = time.process_time if options.cpu_time else time.perf_counter
        times = measure(options.net, options.estimator, options.rounds, clock)
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
        (options.save / f"{options.net}-{options.estimator}.json").write_text(json.dumps(times))


if __name__ == "__main__":
    main()
