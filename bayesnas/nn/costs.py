"""What a network costs: multiply–adds, counted, and the time of a forward pass, measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bayesnas.checks import whole_number
from bayesnas.typed import typed

WARM_UP, REPEATS = 5, 30


@typed()
def multiply_adds(net: nn.Module, x: Tensor) -> int:
    """Multiply–adds an example of the matrix products and convolutions of a forward pass.

    Args:
        net: the network; it runs once in evaluation mode.
        x: inputs ``[n, ...]``.

    Raises:
        TypeError: naming an argument of another type.

    >>> multiply_adds(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.ones(2, 4))
    56
    """
    with torch.no_grad(), evaluating(net):
        return run_counted(net, x)[1]


def run_counted(net: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    """The output, and multiply–adds an example."""
    from torch.utils.flop_counter import FlopCounterMode  # takes a while to import

    counter = FlopCounterMode(display=False)
    with counter:
        output = net(x)
    return output, int(counter.get_total_flops()) // (2 * len(x))


@typed()
def latencies(
    nets: Mapping[str, nn.Module],
    x: Tensor,
    *,
    repeats: int = REPEATS,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds of a forward pass of each network on this machine: medians of interleaved repeats.

    A round runs every network once. So a machine that is busy for a while slows all of them, and
    their order stays; a median passes over rounds in which something else ran.

    Args:
        nets: by name; they run in evaluation mode, where the inputs are.
        x: inputs ``[n, ...]``. One row is the latency of an answer; many rows are a throughput.
        repeats: rounds that count.
        warm_up: rounds before them, in which memory is allocated and kernels are chosen.
        clock: seconds from some point in time.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: naming a number of repeats out of range.

    >>> nets = {"narrow": nn.Linear(64, 8), "wide": nn.Linear(64, 800)}
    >>> list(latencies(nets, torch.ones(1, 64), repeats=5))
    ['narrow', 'wide']
    """
    repeats = whole_number("repeats", repeats)
    warm_up = whole_number("warm_up", warm_up, 0)
    times: dict[str, list[float]] = {name: [] for name in nets}
    with torch.no_grad(), evaluating(*nets.values()):
        for _ in range(warm_up + repeats):
            for name, net in nets.items():
                _wait_for(x.device)
                began = clock()
                net(x)
                _wait_for(x.device)
                times[name].append(clock() - began)
    return {name: statistics.median(each[warm_up:]) for name, each in times.items()}


@contextmanager
def evaluating(*nets: nn.Module) -> Iterator[None]:
    """Evaluation mode, in which batch statistics stay as they are, and each module's own after."""
    training = {module: module.training for net in nets for module in net.modules()}
    for net in nets:
        net.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
