"""Speed of the steps of a fit by several processes against that of one, one thread each.

    torchrun --nproc-per-node 2 tests/benchmarks/distributed_step.py

60,000 rows of 784 numbers, compiled steps. In turns the first process takes steps on whole batches
while the others wait, and all take steps on their rows of them. The ratio of the medians of wall
time is what counts, on cores that nothing else uses; the load is printed, and the ratio of CPU time
(of the process that took most), which a busy machine disturbs less but which leaves waiting out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.training.chains.trainer import ChainTrainer
from bayesnas.inference.training.processes.among import AmongProcesses
from bayesnas.runtime.processes.group import Processes
from bayesnas.runtime.processes.opening import open_processes

ROWS = 60_000
NETS = {"784–100–10": [784, 100, 10], "784–1000–1000–10": [784, 1000, 1000, 10]}


def trainer(
    sizes: list[int], data: Split, batch: int, compile: str, among: AmongProcesses
) -> ChainTrainer:
    """A chain that takes steps."""
    torch.manual_seed(0)
    model = bn.models.GaussianNet(bn.nn.mlp(sizes))
    settings = make_settings(
        examples=ROWS, kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None, steps=10**6,
        batch_size=batch, lr=1e-3, schedule="constant", clip=None, restarts=1, patience=None,
        seed=0, compile=compile,
    )  # fmt: skip
    return ChainTrainer(model, data, settings, 0, torch.optim.Adam, "constant", among=among)


def timed(chain: ChainTrainer | None, steps: int, processes: Processes) -> tuple[float, float]:
    """Seconds of wall and of CPU time a step; without a chain a process waits for the others."""
    processes.agree(ready=1)
    wall, cpu = time.perf_counter(), time.process_time()
    if chain is not None:
        chain.advance(steps)
    cpu = time.process_time() - cpu
    processes.agree(done=1)
    return (time.perf_counter() - wall) / steps, cpu / steps


def main() -> None:
    """Print a line a batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", choices=list(NETS), default="784–1000–1000–10")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--compile", default="inductor")
    parser.add_argument("--noise", default="independent")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    x, y = torch.rand(ROWS, 784), torch.arange(ROWS) % 10
    data = Split.of((x, y), classes=10)

    def never(lost: Exception, processes: Processes) -> Exception:
        return lost

    with open_processes(torch.device("cpu"), 1800.0, never, alone=False) as processes:
        if processes.is_first:
            load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
            print(f"{args.net}, {processes.size} processes, {args.compile}, load {load}\n")
            columns = ("batch", "ms by one", "by all", "speed", "CPU ms of one", "of all", "ratio")
            print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
        for batch in args.batch_size:
            among = AmongProcesses(processes, shared_noise=args.noise == "shared")
            together = trainer(NETS[args.net], data, batch, args.compile, among)
            alone = None
            if processes.is_first:
                alone = trainer(NETS[args.net], data, batch, args.compile, AmongProcesses())
            one, every = [], []
            for turn in range(args.rounds + 1):
                here = timed(alone, args.steps, processes)
                there = timed(together, args.steps, processes)
                most = max(processes.gathered(there[1]))
                if turn > 0:  # the first compiles
                    one.append(here)
                    every.append((there[0], most))
            wall, cpu = (
                tuple(statistics.median(turn[part] for turn in turns) for turns in (one, every))
                for part in (0, 1)
            )
            if processes.is_first:
                figures = [
                    f"{1e3 * part[0]:.1f} | {1e3 * part[1]:.1f} | {part[0] / part[1]:.2f}"
                    for part in (wall, cpu)
                ]
                print(f"| {batch} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
