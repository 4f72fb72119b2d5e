"""One part of a data set whose rows are read when they are needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bayesnas.checks import whole_number
from bayesnas.data.checks import check_all_finite, typed_inputs, typed_targets
from bayesnas.data.info import DataInfo, Task
from bayesnas.data.inputs import AnyInputs
from bayesnas.data.row_weights import RowWeights
from bayesnas.data.split import Split
from bayesnas.data.streams.chosen_rows import OwnTargets
from bayesnas.data.streams.reading_ahead import Wanted, read_ahead
from bayesnas.data.streams.sources import Source
from bayesnas.runtime.device import resolve_device
from bayesnas.typed import typed


@dataclass(frozen=True)
class RowForm:
    """What rows are made to before a model sees them.

    Attributes:
        input_dtype: of x, or of the floating-point ones of several inputs; None: x and y as they
            came.
        task: of the data.
        classes: which labels have to stay below.
        weights: of all rows, ``[n]``, with what packs them into the targets; None where all count
            alike.
    """

    input_dtype: torch.dtype | None
    task: Task
    classes: int | None
    weights: tuple[RowWeights, Tensor] | None = None

    def __call__(self, x: AnyInputs, y: Tensor, rows: Tensor) -> tuple[AnyInputs, Tensor]:
        """Inputs and targets of some rows, checked.

        Raises:
            ValueError: naming the first row that is not as it should be.
        """
        try:
            x, y = self._converted(x, y)
        except ValueError:
            for place, row in enumerate(rows.tolist()):
                self._check_alone(x[place : place + 1], y[place : place + 1], row)
            raise
        if self.weights is None:
            return x, y
        packing, weights = self.weights
        return x, packing.pack(y, weights[rows])

    def _converted(self, x: AnyInputs, y: Tensor) -> tuple[AnyInputs, Tensor]:
        if self.input_dtype is None:
            check_all_finite(x, y)
            return x, y
        target = self.input_dtype
        if not target.is_floating_point:
            target = torch.get_default_dtype()
        return typed_inputs(x, self.input_dtype), typed_targets(y, self.task, self.classes, target)

    def _check_alone(self, x: AnyInputs, y: Tensor, row: int) -> None:
        try:
            self._converted(x, y)
        except ValueError as error:
            raise ValueError(f"dataset: row {row}: {error}") from error


@dataclass(frozen=True, eq=False, repr=False)
class StreamedSplit:
    """One part of a data set whose rows are read when they are needed, in any number.

    Made by :func:`bayesnas.data.from_dataset`; it stands wherever a :class:`~bayesnas.data.Split`
    does in ``bayesnas.fit``, ``evaluate``, ``predict`` and ``frontier``.

    Args:
        source: of the rows.
        info: name, part, task, classes and the like.
        fingerprint: what tells these data from others.
        workers: processes that read.
        prefetch: batches that every worker reads ahead.
        form: what rows are made to.
        device: where batches are brought.

    >>> import torch, bayesnas as bn
    >>> rows = torch.utils.data.TensorDataset(torch.ones(6, 2), torch.arange(6) % 2)
    >>> train = bn.data.from_dataset(rows, classes=2)
    >>> len(train)
    6
    """

    source: Source
    info: DataInfo
    fingerprint: str
    workers: int
    prefetch: int
    form: RowForm
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.source)

    def __repr__(self) -> str:
        """Name, part, size and kind."""
        kind = self.info.task if self.info.classes is None else f"{self.info.classes} classes"
        return f"StreamedSplit({self.info.name} {self.info.part}: {len(self)} rows, {kind})"

    @typed()
    def first(self, count: int) -> Split:
        """The first rows, in memory, as they are outside of training (seed and epoch 0).

        Raises:
            ValueError: for a count below 1.
        """
        rows = torch.arange(min(whole_number("count", count), len(self)))
        info = dataclasses.replace(self.info, n=len(rows))
        return Split(*self.read(Wanted(0, 0, rows)), info)

    def read(self, wanted: Wanted) -> tuple[AnyInputs, Tensor]:
        """One batch, read by this process and brought where batches are."""
        return self._brought(*self.source.read(*wanted), wanted.indices)

    def parts(self, size: int) -> Iterator[tuple[AnyInputs, Tensor]]:
        """All rows in order, so many at once, where batches are brought.

        What is drawn while a row is read is the same every time.
        """
        rows = torch.arange(len(self)).split(size)
        yield from self.batches(Wanted(0, 0, some) for some in rows)

    def batches(self, wanted: Iterator[Wanted]) -> Iterator[tuple[AnyInputs, Tensor]]:
        """Batches in a given order, read ahead where there are workers."""
        asked: list[Tensor] = []  # of batches under way

        def noted() -> Iterator[Wanted]:
            for batch in wanted:
                asked.append(batch.indices)
                yield batch

        for x, y in read_ahead(self.source, noted(), self.workers, self.prefetch):
            yield self._brought(x, y, asked.pop(0))

    def _brought(self, x: AnyInputs, y: Tensor, rows: Tensor) -> tuple[AnyInputs, Tensor]:
        x, y = self.form(x, y, rows)
        return x.to(self.device), y.to(self.device)

    @typed()
    def to(self, device: torch.device | str) -> StreamedSplit:
        """The same part whose batches are brought to another device.

        Raises:
            ValueError: for a device that there is none of.
        """
        return dataclasses.replace(self, device=resolve_device(device))

    def formed(self, form: RowForm) -> StreamedSplit:
        """The same rows made to something else."""
        classes = form.classes if form.task == "classification" else None
        info = dataclasses.replace(self.info, task=form.task, classes=classes)
        return dataclasses.replace(self, form=form, info=info)

    def reconstructing(self) -> StreamedSplit:
        """The same rows, every one its own target: what autoencoders fit."""
        info = dataclasses.replace(self.info, task="regression", classes=None, class_names=None)
        form = dataclasses.replace(self.form, task="regression", classes=None)
        return dataclasses.replace(self, source=OwnTargets(self.source), info=info, form=form)

    def targets(self) -> Tensor:
        """The targets of all rows, by one pass over them."""
        return torch.cat([y for _, y in self.parts(4096)])


AnySplit = Split | StreamedSplit
"""A part of a data set, in memory or read when needed."""
