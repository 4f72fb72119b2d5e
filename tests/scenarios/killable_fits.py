"""Small fits in processes of their own, killed where and when one likes.

As a script it imports everything once, then forks a process for every order it reads:

    {"fit": "plain", "out": "run", "kill": {"files": 3}}

and answers how the process ended. ``kill`` is null or one of ``{"step": n}``, before the hook's
n-th call; ``{"files": n}``, before the n-th thing done to a file of the run; ``{"seconds": t}``,
from outside. ``--now ORDER`` does one fit in the script's own process.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

import bayesnas as bn


class Accumulating(torch.optim.Optimizer):
    """SGD whose state is of all kinds: a number, a float64 tensor, a whole tensor, a group's."""

    def __init__(self, parameters: Any, lr: float = 0.1, decay: float = 0.9) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "largest": 0.0, "pair": (1.0, 0)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                count = state["count"] = state.get("count", 0) + 1
                norm = state["norm"] = state.get("norm", 0.1) + float(parameter.grad.norm()) / 3
                total = state.get("total", torch.zeros_like(parameter, dtype=torch.float64))
                state["total"] = group["decay"] * total + parameter.grad.double()
                state["signs"] = state.get("signs", 0) + parameter.grad.sign().long()
                group["largest"] = max(group["largest"], norm)
                group["pair"] = (group["pair"][0] / 1.1, group["pair"][1] + 1)
                noise = torch.randn_like(parameter)
                move = state["total"] / norm + 1e-3 * noise + 1e-4 * state["signs"] / count
                parameter -= group["lr"] * move.to(parameter) * (1 + group["pair"][0])
                parameter /= 1 + 1e-5 * group["largest"] + 1e-6 * group["pair"][1]


def classification() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(27, 4, generator=generator)
    return x, x[:, :3].argmax(1)


def regression() -> tuple[Tensor, Tensor]:
    x, _ = classification()
    return x, x.sum(1) + 0.3 * x[:, 0].square()


class Augmented(torch.utils.data.Dataset):
    """The classification, every row moved by all generators that transforms draw from."""

    def __len__(self) -> int:
        return 27

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        x, y = classification()
        noise = torch.randn(4) + np.random.randn() + random.gauss(0, 1)
        return x[index] + 0.1 * noise, int(y[index])


def linear_pair() -> bn.models.PyroPair:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        weights = pyro.sample("w", dist.Normal(torch.zeros(4), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ weights, 0.5), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        loc = pyro.param("loc", lambda: 0.1 * torch.randn(4))
        scale = pyro.param("scale", torch.full((4,), 0.1), constraint=dist.constraints.positive)
        pyro.sample("w", dist.Normal(loc, scale).to_event(1))

    return bn.models.PyroPair(model, guide)


def normalised_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.1), nn.Linear(6, 3)
    )


def arguments(name: str) -> dict[str, Any]:
    """Arguments of ``bn.fit`` by the name of the fit."""
    x, y = classification()
    if name == "plain":
        return {
            "model": bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5),
            "data": (x, y),
            **{"epochs": 4, "batch_size": 8, "lr": 0.02, "seed": 3, "checkpoint_every": 5},
        }
    if name == "restarts":  # early stopping, running statistics, momentum, clipping
        return {
            "model": bn.models.GaussianNet(normalised_net(), prior_scale="learned"),
            "data": (x[:18], y[:18]),
            "validation": (x[18:], y[18:]),
            "optimizer": functools.partial(torch.optim.SGD, momentum=0.9),
            **{"epochs": 6, "batch_size": 7, "lr": 0.5, "clip": 0.5, "patience": 2},
            **{"restarts": 3, "seed": 5, "schedule": "constant", "checkpoint_every": 4},
        }
    if name == "regression":
        return {
            "model": bn.models.GaussianNet(
                bn.nn.mlp([4, 5, 1]), likelihood="gaussian", estimator="weight"
            ),
            "data": regression(),
            "optimizer": Accumulating,
            "schedule": lambda done: 1 - done**2,
            **{"steps": 15, "batch_size": 10, "lr": 0.05, "kl_weight": 0.3, "checkpoint_every": 4},
        }
    if name == "pair":
        return {
            "model": linear_pair(),
            "data": regression(),
            **{"steps": 14, "batch_size": 9, "lr": 0.05, "restarts": 2, "checkpoint_every": 3},
        }
    if name == "traced":  # two shapes of batch, each traced at its first step
        return arguments("plain") | {"compile": "trace"}
    if name == "batched":  # chains of two KL weights batched, some of which stop early
        return arguments("plain") | {
            "data": (x[:18], y[:18]), "validation": (x[18:], y[18:]), "kl_weight": [0.1, 1.0],
            **{"batched": True, "batch_size": 9, "restarts": 2, "patience": 1, "lr": 0.3},
            **{"checkpoint_every": 3, "epochs": 6},
        }  # fmt: skip
    if name == "compiled":
        return arguments("plain") | {"batch_size": 27, "epochs": 16, "compile": "inductor"}
    if name == "amortized":  # knots that come in at steps 2 and 6; traced steps of three shapes
        return arguments("plain") | {
            "kl_weight": bn.LogUniform(0.1, 10), "amortize": "piecewise", "compile": "trace",
            **{"epochs": 5, "restarts": 2, "checkpoint_every": 3},
        }  # fmt: skip
    if name == "augmented":  # rows that are never twice alike, read when they are needed
        return arguments("plain") | {
            "data": bn.data.from_dataset(Augmented(), classes=3), "sample_weight": 1.0 + y,
            **{"restarts": 2, "compile": "trace", "checkpoint_every": 3},
        }  # fmt: skip
    if name == "long":  # for kills by the clock: most of its life it writes or trains
        return arguments("restarts") | {"epochs": 40, "patience": 40, "lr": 0.05}
    raise ValueError(f"no fit is called {name!r}")


def run(order: dict[str, Any]) -> None:
    """Do what an order says, in this process."""
    torch.set_num_threads(1)
    kill = order.get("kill") or {}
    steps = iter(range(1, 10**9))

    def on_step(event: bn.inference.StepEvent) -> None:
        if next(steps) == kill.get("step"):
            os.kill(os.getpid(), kill.get("signal", signal.SIGKILL))

    if "files" in kill:
        _kill_at_file_event(kill["files"])
    # Most fits go without the hook, as nearly all of our users' do.
    hook = {"on_step": on_step} if "step" in kill else {}
    bn.fit(**arguments(order["fit"]), **hook, out=order["out"], resume=True)


def _kill_at_file_event(number: int) -> None:
    events = iter(range(1, 10**9))

    def fatal() -> bool:
        return next(events) == number

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if fatal():
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return watched

    def fsync(descriptor: int, really: Callable[[int], None] = os.fsync) -> None:
        if fatal():  # a file of which only half has reached the disk
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        really(descriptor)

    os.fsync = fsync
    os.mkdir, os.replace, os.unlink = map(before, (os.mkdir, os.replace, os.unlink))


def serve(orders: Iterator[str]) -> None:
    """Fork a process for every order, and print how it ended."""
    bn.fit(**arguments("plain") | {"epochs": 1})  # torch imports much of itself at the first step
    _answer("ready")
    for line in orders:
        order = json.loads(line)
        process = os.fork()
        if process == 0:
            status = 1
            try:
                run(order)
                status = 0
            except BaseException as error:
                traceback.print_exc()
                status = 2 if isinstance(error, KeyboardInterrupt) else 1
            finally:
                sys.stderr.flush()
                os._exit(status)
        began = time.monotonic()
        if "seconds" in (order.get("kill") or {}):
            time.sleep(order["kill"]["seconds"])
            os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        _answer(json.dumps({"status": status, "seconds": time.monotonic() - began}))


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--now"]:
        run(json.loads(sys.argv[2]))
    else:
        serve(iter(sys.stdin.readline, ""))
