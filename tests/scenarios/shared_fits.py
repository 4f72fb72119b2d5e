"""Fits by several processes of one machine, for ``test_several_processes.py``.

    python shared_fits.py FOLDER SIZE FIT...

imports everything once, forks SIZE processes that find each other as those of torchrun do, and
writes what every one of them got into the folder: the numbers, or how the fit ended.
``FOLDER kills COUNT`` kills one of two so many times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.runs.checkpoint import read_checkpoint


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """101 rows of 4 features in 3 classes: no batch of 40 is shared evenly by all of them."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(101, 4, generator=generator)
    return x, x[:, :3].argmax(1)


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


class Shaken(torch.optim.SGD):
    """SGD whose every step adds noise."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter += 0.01 * torch.randn_like(parameter)


class Rows(torch.utils.data.Dataset):
    """The examples, each moved at random whenever it is read."""

    classes = (0, 1, 2)

    def __len__(self) -> int:
        return 101

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        x, y = examples()
        return x[index] + 0.1 * torch.randn(4), int(y[index])


class Passes:
    """The examples, one after the other."""

    def __iter__(self) -> Any:
        return iter(zip(*examples(), strict=True))


def arguments(name: str) -> dict[str, Any]:
    """Arguments of ``bn.fit`` by the name of the fit."""
    x, y = examples()
    plain = {
        "model": bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]), prior_scale=0.5),
        "data": (x, y),
        **{"steps": 30, "batch_size": 40, "lr": 0.02, "seed": 3, "checkpoint_every": 10},
        **{"compile": False, "progress": False},
    }
    other = {
        "plain": {"steps": 200, "compile": "trace"},
        "dropout": {"model": bn.models.GaussianNet(dropping()), "clip": 1e-3},
        "weights": {
            "model": bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]), estimator="weight"),
            "optimizer": torch.optim.SGD,
            "sample_weight": 1.0 + y,
            "validation": (x[:30], y[:30]),
            "patience": 3,
        },
        "amortized": {"kl_weight": bn.LogUniform(0.1, 10.0), "compile": "trace"},
        "stream": {"data": bn.data.from_dataset(Rows())},
        "iterable": {"data": bn.data.from_dataset(Passes(), n=101, classes=3)},
        "normalised": {"model": bn.models.GaussianNet(normalised()), "lr": 0.1},
        "chains": {
            **{"restarts": 3, "validation": (x[:30], y[:30]), "patience": 1, "lr": 0.1},
            "steps": 90,
        },
        "resumed": {"steps": 60},
        "other data": {},
        "shaken": {"optimizer": Shaken},
    }[name]
    return plain | other


def fit(folder: Path, word: str, rank: int) -> Any:
    """What a process gets from a fit.

    A word is the name of a fit and what else is wanted of it: ``plain:independent`` (noise),
    ``chains:spread`` (one a process), ``plain:alone`` (by the first process by itself),
    ``resumed:stop`` (Ctrl-C after step 25), ``resumed:out=a`` (go on in a folder).
    """
    name, *wanted = word.split(":")
    options = arguments(name)
    if "alone" in wanted:
        if rank > 0:
            return None
        options["distributed"] = False
    else:
        options["distributed"] = bn.Distributed(
            noise="independent" if "independent" in wanted else "shared",
            spread="chains" if "spread" in wanted else "batch",
        )
    if "stop" in wanted:

        def stop(event: bn.inference.StepEvent) -> None:
            if event.step == 25:
                os.kill(os.getpid(), signal.SIGINT)

        options["on_step"] = stop
    for folder_name in (part.removeprefix("out=") for part in wanted if part.startswith("out=")):
        options |= {"out": folder / folder_name, "resume": True}
    if name == "other data" and rank == 1:
        options["data"] = tuple(part[:90] for part in options["data"])
    try:
        records = bn.fit(**options).records()
    except KeyboardInterrupt as stopped:
        return f"KeyboardInterrupt: {stopped}"
    except SystemExit as ended:
        return f"SystemExit: {ended.code}"
    except ValueError as error:
        return f"ValueError: {error}"
    return [(record.fitted, record.history, record.validation_nll) for record in records]


def forked(size: int, run: Callable[[int], None], log: Callable[[int], Path | None]) -> list[int]:
    """Process ids of new processes that find each other as those of torchrun do.

    Args:
        size: how many.
        run: what each does, given its rank.
        log: where its stderr goes; None for that of this process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(size):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_PORT": str(port)}
            os.environ["MASTER_ADDR"] = "127.0.0.1"
            status, path = 1, log(rank)
            if path is not None:
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), 2)
            try:
                run(rank)
                status = 0
            except BaseException as error:
                if not isinstance(error, SystemExit):
                    traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    return children


def ended(child: int) -> int:
    """Exit status of a process once it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fits(folder: Path, size: int, words: list[str]) -> int:
    """Do the fits that words say, one after the other, in so many processes."""

    def run(rank: int) -> None:
        for word in words:
            torch.save(fit(folder, word, rank), folder / f"{word} {rank}.pt")

    return max(abs(ended(child)) for child in forked(size, run, lambda rank: None))


def kills(folder: Path, count: int) -> int:
    """Kill one of two processes of a fit so many times, and go on; write how it went, as JSON."""
    instants, stories = random.Random(0), []
    checkpoint = folder / "run" / "checkpoint.safetensors"
    more = {"steps": 10**6, "compile": False, "checkpoint_every": 2}
    more |= {"out": folder / "run", "resume": True}
    for index in range(count):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        logs = [folder / f"stderr {index} {rank}" for rank in range(2)]
        children = forked(
            2,
            lambda rank: bn.fit(**arguments("plain") | {"compile": False} | more),
            logs.__getitem__,
        )
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            time.sleep(0.01)
        time.sleep(instants.uniform(0.0, 0.5))
        victim = instants.randrange(2)
        os.kill(children[victim], signal.SIGKILL)
        began = time.monotonic()
        statuses = [ended(child) for child in children]
        _, [(_, values)] = read_checkpoint(folder / "run")
        stories.append(
            {
                "killed": statuses[victim],
                "other": statuses[1 - victim],
                "seconds": time.monotonic() - began,
                "said": logs[1 - victim].read_text(),
                "step": values["step"],
            }
        )
    (folder / "kills.json").write_text(json.dumps(stories))
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[2] == "kills":
        sys.exit(kills(Path(sys.argv[1]), int(sys.argv[3])))
    sys.exit(fits(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
