"""What a launcher of several processes, such as torchrun, says of this one; torch is not needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Launched(NamedTuple):
    """This process among those that were launched together.

    Attributes:
        rank: of this one, from 0.
        size: how many there are, on all machines.
        local_rank: of this one on its machine.
        local_size: how many there are on its machine.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int


def launched(environment: Mapping[str, str] | None = None) -> Launched | None:
    """What the variables of the environment say; None for a process that runs by itself.

    Args:
        environment: where to look; that of the process by default.

    Raises:
        ValueError: for variables that hold no such numbers.

    >>> launched({}) is None
    True
    >>> where = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    >>> launched({"RANK": "1", "WORLD_SIZE": "2", **where})
    Launched(rank=1, size=2, local_rank=1, local_size=2)
    """
    environment = os.environ if environment is None else environment
    if not all(environment.get(name) for name in _VARIABLES):
        return None
    rank, size = _number(environment, "RANK", "0"), _number(environment, "WORLD_SIZE", "1")
    if not 0 <= rank < size:
        raise ValueError(f"RANK must be below WORLD_SIZE, got RANK={rank}, WORLD_SIZE={size}")
    local_size = _number(environment, "LOCAL_WORLD_SIZE", str(size))
    local_rank = _number(environment, "LOCAL_RANK", str(rank))
    return None if size == 1 else Launched(rank, size, local_rank, local_size)


def speaks() -> bool:
    """Whether this process is the one that writes for all that were launched together."""
    launch = launched()
    return launch is None or launch.rank == 0


def _number(environment: Mapping[str, str], name: str, default: str) -> int:
    text = environment.get(name, default)
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} must be a whole number, got {text!r}") from None
