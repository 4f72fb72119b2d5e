"""The random numbers of a whole batch, of which a process takes those of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bayesnas.inference.compile.random_ops import DRAWN_BY
from bayesnas.inference.compile.torch_private import TorchDispatchMode, schema
from bayesnas.runtime.processes.share import Share


class Draw(NamedTuple):
    """A random operation of a pass.

    Attributes:
        operator: of torch.
        shape: of what is drawn.
        stride: of the same.
    """

    operator: Any
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class RowDraw(NamedTuple):
    """A draw for every row of a batch, of which some are taken.

    Attributes:
        whole: the draw for the whole batch.
        dim: that the rows lie along.
        first: place of the first that is taken.
        places: how many are taken.
    """

    whole: Draw
    dim: int
    first: int
    places: int


class WholeBatchNoise:
    """Lets every process draw what one process draws for the whole batch, and take its rows.

    Which draws are one a row is seen by running the pass on two numbers of rows; all other draws,
    as of weights, are left alone, and are the same where the random states are. A row of layers
    that a net makes of one, as of the places of a sequence, follow one another.

    Args:
        share: which rows of a batch the process has.
    """

    def __init__(self, share: Share) -> None:
        """Begin with no pass known; see the class."""
        self._share = share
        self._plans: dict[tuple[int, int], list[tuple[Draw, RowDraw | None]]] = {}

    def knows(self, rows: int, batch: int) -> bool:
        """Whether :meth:`learn` was called for these numbers."""
        return (rows, batch) in self._plans

    def learn(self, rows: int, batch: int, run: Callable[[int], object]) -> None:
        """See which draws of a pass are one a row.

        Args:
            rows: of the process.
            batch: rows of the whole batch.
            run: takes a number of rows and runs the pass on so many.

        Raises:
            ValueError: where the draws of a row can't be told from those of others.
        """
        records = []
        for count in (rows, batch):
            with _Recording() as recording:
                run(count)
            records.append(recording.draws)
        few, whole = records
        if [draw.operator for draw in few] != [draw.operator for draw in whole]:
            raise ValueError(_refusal("how often it draws depends on the number of rows"))
        first = self._share.rows(batch).start
        self._plans[rows, batch] = [
            (draw, _row_draw(draw, other, rows, batch, first))
            for draw, other in zip(few, whole, strict=True)
        ]

    @contextmanager
    def drawing(self, rows: int, batch: int) -> Iterator[None]:
        """Draw for the whole batch, and take the rows of this process, inside the block.

        Raises:
            ValueError: for a pass that draws otherwise than the one that was learned.
        """
        with _Taking(self._plans[rows, batch]):
            yield


def _row_draw(draw: Draw, whole: Draw, rows: int, batch: int, first: int) -> RowDraw | None:
    if draw.shape == whole.shape:
        return None
    dims = [dim for dim, size in enumerate(draw.shape) if size != whole.shape[dim]]
    times, rest = divmod(draw.shape[dims[0]], rows)
    if len(dims) > 1 or rest or whole.shape[dims[0]] != times * batch:
        raise ValueError(
            _refusal(
                f"it draws {list(whole.shape)} for {batch} rows, {list(draw.shape)} for {rows}"
            )
        )
    if draw.operator not in DRAWN_BY:
        raise ValueError(_refusal(f"what {draw.operator} draws for a row depends on values"))
    return RowDraw(whole, dims[0], times * first, times * rows)


def _refusal(why: str) -> str:
    return f"distributed: noise='shared' can't be had of this model, since {why}"


def _is_random(operator: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in operator.tags


class _Recording(TorchDispatchMode):
    """Notes every random operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws: list[Draw] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if _is_random(func):
            like = result if isinstance(result, Tensor) else result[0]
            self.draws.append(Draw(func, tuple(like.shape), tuple(like.stride())))
        return result


class _Taking(TorchDispatchMode):
    """Makes random operations those of the whole batch."""

    def __init__(self, plan: list[tuple[Draw, RowDraw | None]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = iter(plan)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _is_random(func):
            return func(*args, **kwargs)
        draw, of_rows = next(self._plan, (None, None))
        if draw is None or draw.operator != func:
            raise ValueError(_refusal("what it draws is not the same at every step"))
        if of_rows is None:
            return func(*args, **kwargs)
        in_place = schema(func).is_mutable
        kept = {name: kwargs[name] for name in ("dtype", "device") if kwargs.get(name) is not None}
        like = args[0] if args and isinstance(args[0], Tensor) else None
        if like is not None:
            kept = {"dtype": like.dtype, "device": like.device} | kept
        whole = torch.empty_strided(of_rows.whole.shape, of_rows.whole.stride, **kept)
        whole = getattr(whole, DRAWN_BY[func])(*(args[1:] if in_place else ()))
        taken = whole.narrow(of_rows.dim, of_rows.first, of_rows.places)
        return args[0].copy_(taken) if in_place else taken
