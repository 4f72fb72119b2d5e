"""The process group of a fit: the caller's, or one that is opened for it and closed after it."""

from __future__ import annotations

import datetime
import itertools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from bayesnas.runtime.interrupt import DeferredInterrupt
from bayesnas.runtime.launched import Launched, launched
from bayesnas.runtime.processes.group import ALONE, Processes
from bayesnas.runtime.processes.lost import ProcessLostError, Speaker
from bayesnas.runtime.processes.share import Share
from bayesnas.runtime.processes.watch import EndWatch

_LOG = logging.getLogger("bayesnas")
_NUMBERS = itertools.count()  # of the fits: all processes count alike
_SECONDS_TO_SIGNAL = 2.0  # torchrun looks at its processes ten times a second
_SECONDS_TO_STORE = 10.0
_SECONDS_TO_END = 15.0  # torchrun kills after 30
_state: dict[str, Any] = {"store": None, "busy": False}


def device_of_process(device: torch.device) -> torch.device:
    """The GPU of this process, where several were launched and none is named.

    Args:
        device: of the fit, as it was asked for.
    """
    launch = launched()
    if device.type != "cuda" or device.index is not None or launch is None:
        return device
    return torch.device("cuda", launch.local_rank % torch.cuda.device_count())


@contextmanager
def open_processes(
    device: torch.device,
    timeout: float,
    end: Callable[[ProcessLostError, Processes], BaseException],
    *,
    alone: bool,
) -> Iterator[Processes]:
    """The processes of a fit inside the block.

    A group that the caller has initialised is used as it is; else one is opened where a launcher
    such as ``torchrun`` says of others, and closed after the block. A fit inside another one, as
    of a hook, is of its process by itself.

    Args:
        device: of the fit in this process.
        timeout: seconds to wait for another process.
        end: what this process raises once another one is lost.
        alone: that this process is to fit by itself.

    Raises:
        ProcessLostError: where the other processes can't be reached.
    """
    launch = None if alone or _state["busy"] else launched()
    if alone or _state["busy"] or (launch is None and not _is_initialised()):
        yield ALONE
        return
    if not torch.distributed.is_available():
        raise RuntimeError("distributed: this build of torch has no torch.distributed")
    seconds, mine = datetime.timedelta(seconds=timeout), not _is_initialised()
    store = None if launch is None else _store(launch, seconds)
    if launch is not None and mine:
        _open(launch, store, device, seconds)
    _state["busy"] = True
    try:
        # A launcher ends all processes by SIGTERM, once one of them has ended.
        with DeferredInterrupt(signal.SIGTERM) as told:
            processes = _processes(device, store, seconds, told.received)
            watch = EndWatch(_SECONDS_TO_END, lambda: _last_words(end, processes))
            with watch, _quiet(silent=not processes.is_first):
                try:
                    yield processes
                except ProcessLostError as lost:
                    ending = end(lost, processes)
                    if isinstance(ending, ProcessLostError):
                        _await(told.received)  # else it ends this one before it says why
                    raise ending from None
                except Exception as error:
                    processes.speaker.leave_reason(error)
                    raise
    finally:
        _state["busy"] = False
        if mine:
            with suppress(RuntimeError):  # of a group whose processes have ended
                torch.distributed.destroy_process_group()
    if told.received():
        signal.raise_signal(signal.SIGTERM)  # it came when there was nothing left to stop


def _is_initialised() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _open(launch: Launched, store: Any, device: torch.device, seconds: datetime.timedelta) -> None:
    """Open a group by a store that all of the processes reach."""
    dist: Any = torch.distributed
    has_own_gpu = device.type == "cuda" and launch.local_size <= torch.cuda.device_count()
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if has_own_gpu else "gloo",
            store=store,
            rank=launch.rank,
            world_size=launch.size,
            timeout=seconds,
        )
    except RuntimeError as error:
        raise _unreachable(launch, error) from error


def _store(launch: Launched, seconds: datetime.timedelta) -> Any:
    """The launcher's store, under names that no other fit of these processes has."""
    dist: Any = torch.distributed
    try:
        if _state["store"] is None:
            # Kept for the life of the process: with it ends what the others look up there.
            _state["store"], _, _ = next(iter(dist.rendezvous("env://", timeout=seconds)))
    except RuntimeError as error:
        raise _unreachable(launch, error) from error
    return dist.PrefixStore(f"{_attempt()}/{next(_NUMBERS)}", _state["store"])


def _attempt() -> str:
    """Beginning of the names in a launcher's store, which may start its processes anew."""
    return f"bayesnas/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def says_first(message: str) -> bool:
    """Whether no other process that was launched with this one has said a message.

    Args:
        message: of an error that all of them may meet.
    """
    launch = launched()
    if launch is None:
        return True
    try:
        _store(launch, datetime.timedelta(seconds=_SECONDS_TO_STORE))
    except ProcessLostError:
        return True
    dist: Any = torch.distributed
    return Speaker(dist.PrefixStore(_attempt(), _state["store"]), launch.rank).is_first(message)


def _unreachable(launch: Launched, error: RuntimeError) -> ProcessLostError:
    return ProcessLostError(
        f"process {launch.rank} can't reach the {launch.size - 1} others at "
        f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: {error}"
    )


def _last_words(
    end: Callable[[ProcessLostError, Processes], BaseException], processes: Processes
) -> str:
    ending = end(ProcessLostError("the launcher asked this one to end"), processes)
    return f"bayesnas: error: {ending}" if isinstance(ending, ProcessLostError) else ""


def _await(signal_came: Callable[[], bool]) -> None:
    deadline = time.monotonic() + (_SECONDS_TO_SIGNAL if "TORCHELASTIC_RUN_ID" in os.environ else 0)
    while not signal_came() and time.monotonic() < deadline:
        time.sleep(0.02)


def _processes(
    device: torch.device, store: Any, seconds: datetime.timedelta, told: Callable[[], bool]
) -> Processes:
    dist: Any = torch.distributed
    world = dist.group.WORLD
    control = world
    if "gloo" not in dist.get_backend_config(world):
        control = dist.new_group(backend="gloo", timeout=seconds)
    share = Share(dist.get_rank(), dist.get_world_size())
    _LOG.info("process %d of %d, on %s", share.rank, share.size, device)
    return Processes(share, world, control, Speaker(store, share.rank), told)


@contextmanager
def _quiet(*, silent: bool) -> Iterator[None]:
    """Let one process of a fit log for all."""

    def refuse(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    if silent:
        _LOG.addFilter(refuse)
    try:
        yield
    finally:
        _LOG.removeFilter(refuse)
