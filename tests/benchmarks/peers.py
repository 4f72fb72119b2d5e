"""Against what users would pick: ordinary nets, ensembles, dropout and other packages.

.venv/bin/pip install -e '.[benchmarks]'
.venv/bin/python tests/benchmarks/peers.py --data fashion-mnist --seeds 0 1 2
.venv/bin/python tests/benchmarks/peers.py --data fashion-mnist --print --seeds 0 1 2

Every method fits the same net for the same epochs, in batches of 128, on four fifths of the
training part. Its learning rate is the one of a grid of three (0.001, 0.003 and 0.01 for Adam,
thirty times that for IVON) whose predictions of the last fifth have the least log loss at the first
seed; all else is as published or the package's default. A fit is a process with one thread, forked
from this one, and methods take turns, fit by fit. Each writes a file into the folder --out, and one
that is there is not made again, so that the command goes on where it was stopped.

All methods are judged by bayesnas.inference.evaluation from class probabilities of the test part,
averaged over 16 draws where a method draws weights: accuracy, mean log loss, expected calibration
error, Brier score, and the AUROC with which the entropy tells images of the other data set from
those of the test part. Ten times in a fit the log loss of the first 1,000 test rows is taken, off
the clock. "s to the mark" are the seconds of the processor to the first of these looks that is no
worse than the last one of the ordinary net of the seed; "s" those of the whole fit. "kept" are the
weights that are left by the method's own rule, chosen on held-out rows where it needs some, and the
accuracy without the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import multiprocessing
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import torch
from peer_methods.cells import NETS, Cell, compared
from peer_methods.figures import Record, accuracy, chosen, judged, log_loss
from peer_methods.methods import METHODS
from peer_methods.table import print_rates, print_table
from peer_methods.task import Method, Task, Watch

from bayesnas.files import write_atomically

RATES = (1e-3, 3e-3, 1e-2)
LOOK_ROWS = 1_000


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/peers"))
    parser.add_argument("--data", choices=("fashion-mnist", "mnist", "digits"), default="mnist")
    parser.add_argument("--net", choices=tuple(NETS), default="perceptron")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="60 of the Fashion slice, 10 of MNIST")
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS))
    parser.add_argument("--print", action="store_true", help="make no fit")
    parser.add_argument("--quick", action="store_true", help="the digits, two epochs, one rate")
    args = parser.parse_args(words)
    if args.quick:
        args.data, args.epochs = "digits", 2
    cell = compared(args.data, args.net, args.epochs)
    folder = args.out / cell.title
    installed = [name for name in args.methods if is_installed(METHODS[name])]
    for name in args.methods:
        if name not in installed:
            print(f"{name}: skipped, {METHODS[name].package} is not installed", flush=True)
    rates = RATES[1:2] if args.quick else RATES
    if not args.print:
        load_what_fits_import(installed)
        make(folder, cell, installed, args.seeds, rates)
    record = records(folder)
    print_table(cell, record, installed, args.seeds, rates)
    print_rates(record, installed, args.seeds[0], rates)


def is_installed(method: Method) -> bool:
    return method.package is None or importlib.util.find_spec(method.package) is not None


def load_what_fits_import(names: list[str]) -> None:
    """Import once, here, so that no fit is charged for it."""
    for package in {METHODS[name].package for name in names} | {"torch._inductor.compile_fx"}:
        if package is not None:
            importlib.import_module(package)


def make(
    folder: pathlib.Path, cell: Cell, names: list[str], seeds: list[int], rates: tuple[float, ...]
) -> None:
    """All fits that are missing: every rate with the first seed, the chosen one with others."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # so that compilers are waited for
    for rate in rates:
        for name in names:
            in_a_process(folder, cell, name, rate, seeds[0])
    for seed in seeds[1:]:
        for name in names:
            best = chosen(records(folder), name, seeds[0], rates)
            if best is not None:
                in_a_process(folder, cell, name, best, seed)


def in_a_process(folder: pathlib.Path, cell: Cell, name: str, rate: float, seed: int) -> None:
    """Make one fit, unless its file is there, and leave nothing of it in this process."""
    path = file_of(folder, name, rate, seed)
    if path.exists():
        return
    print(f"{name}, rate {rate:g}, seed {seed}", file=sys.stderr, flush=True)
    child = multiprocessing.get_context("fork").Process(
        target=fitted, args=(path, cell, name, rate, seed)
    )
    child.start()
    child.join()
    if child.exitcode:
        print(f"{name}, rate {rate:g}, seed {seed}: failed, see above", flush=True)


def file_of(folder: pathlib.Path, name: str, rate: float, seed: int) -> pathlib.Path:
    return folder / f"{name.replace(' ', '-')},{rate:g},{seed}.json"


def fitted(path: pathlib.Path, cell: Cell, name: str, rate: float, seed: int) -> None:
    """Fit, judge, and write the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # what another fit compiled does not count
        record = record_of(cell, name, METHODS[name], rate, seed)
        write_atomically(path, json.dumps(dataclasses.asdict(record), indent=1).encode())


def record_of(cell: Cell, name: str, method: Method, rate: float, seed: int) -> Record:
    """One fit and what it is worth."""
    few = cell.test.x[:LOOK_ROWS], cell.test.y[:LOOK_ROWS]
    watch = Watch(lambda predict: log_loss(predict(few[0]), few[1]), cell.epochs)
    torch.manual_seed(seed)
    task = Task(
        cell.net, cell.train, cell.validation, cell.epochs, cell.batch_size,
        rate * method.rate, seed, watch,
    )  # fmt: skip
    watch.start()
    done = method.fit(task)
    kept, left = (None, None) if done.smaller is None else done.smaller()
    return Record(
        method=name,
        rate=rate,
        seed=seed,
        note=done.note,
        validation_nll=log_loss(done.predict(cell.validation.x), cell.validation.y),
        looks=watch.seen,
        **judged(done.predict(cell.test.x), cell.test.y, done.predict(cell.outside)),
        kept=kept,
        kept_accuracy=None if left is None else accuracy(left(cell.test.x), cell.test.y),
    )


def records(folder: pathlib.Path) -> list[Record]:
    return [Record(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


if __name__ == "__main__":
    torch.set_num_threads(1)  # before data are read: the threads of a pool don't survive a fork
    main()
