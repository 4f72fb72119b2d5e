"""The processes that take part in a fit, and what they tell each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from bayesnas.runtime.processes.lost import ProcessLostError, Speaker
from bayesnas.runtime.processes.share import Share

Value = TypeVar("Value")


class Processes:
    """The processes of a fit, of which this is one.

    Every method that talks is called by all of them, in the same order.

    Args:
        share: rank of this process, and number of all.
        group: process group of torch.distributed for tensors; None for one process by itself.
        control: one for tensors of the CPU and for objects.
        speaker: says who speaks.
        is_told_to_end: whether the launcher asks this process to end.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        share: both.
        speaker: as given.
        is_told_to_end: as given.

    >>> ALONE.rank, ALONE.size, ALONE.of_first(lambda: 3)
    (0, 1, 3)
    """

    def __init__(
        self,
        share: Share,
        group: Any = None,
        control: Any = None,
        speaker: Speaker | None = None,
        is_told_to_end: Callable[[], bool] = lambda: False,
    ) -> None:
        """Keep the groups; see the class."""
        self.share, self.rank, self.size = share, share.rank, share.size
        self._group, self._control = group, control
        self.is_told_to_end = is_told_to_end
        self.speaker = Speaker(None, share.rank) if speaker is None else speaker

    @property
    def together(self) -> bool:
        """Whether there is a group to talk to, be it of one process."""
        return self._group is not None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, and calls hooks."""
        return self.rank == 0

    def add(self, tensor: Tensor) -> None:
        """Write into a tensor the sum of those of all processes."""
        self._reduce(tensor, "SUM", self._group)

    def agree(self, **numbers: int) -> dict[str, int]:
        """The largest of each number over all processes."""
        tensor = torch.tensor(list(numbers.values()), dtype=torch.int64)
        self._reduce(tensor, "MAX", self._control)
        return dict(zip(numbers, tensor.tolist(), strict=True))

    def average(self, tensor: Tensor) -> None:
        """Write into a tensor the mean of those of all; what is alike everywhere stays as it is."""
        if not self.together:
            return
        low, high = tensor.clone(), tensor.clone()
        self._reduce(low, "MIN", self._group)
        self._reduce(high, "MAX", self._group)
        mean = tensor / self.size
        self.add(mean)
        tensor.copy_(torch.where(low == high, tensor, mean))

    def of_first(self, function: Callable[[], Value]) -> Value:
        """What a function gives, or raises, in the first process, where alone it is called."""
        if not self.together:
            return function()
        error: Exception | None = None
        value: Any = None
        if self.is_first:
            try:
                value = function()
            except Exception as raised:
                error = raised
        value, told = self._told((value, None if error is None else _portable(error)))
        if error is not None:
            raise error
        if told is not None:
            raise told
        return value  # type: ignore[no-any-return]

    def gathered(self, value: Value) -> list[Value]:
        """The values of all processes, in their order."""
        if not self.together:
            return [value]
        dist: Any = torch.distributed
        values: list[Any] = [None] * self.size
        with _talking():
            dist.all_gather_object(values, value, group=self._control)
        return values

    def _told(self, value: Any) -> Any:
        dist: Any = torch.distributed
        values = [value]
        with _talking():
            dist.broadcast_object_list(values, src=0, group=self._control)
        return values[0]

    def _reduce(self, tensor: Tensor, how: str, group: Any) -> None:
        if not self.together:
            return
        dist: Any = torch.distributed
        with _talking():
            dist.all_reduce(tensor, getattr(dist.ReduceOp, how), group=group)


ALONE = Processes(Share(0, 1))
"""A process by itself."""


@contextmanager
def _talking() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(str(error)) from error


def _portable(error: Exception) -> Exception:
    """An error that can be sent to another process."""
    if type(error).__module__ == "builtins":
        try:
            return type(error)(str(error))
        except TypeError:  # made from more than a message
            pass
    return RuntimeError(f"{type(error).__name__}: {error}")
