"""One part of a data set."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import torch
from torch import Tensor

from bayesnas.checks import whole_number
from bayesnas.data.checks import (
    check_all_finite,
    check_rows,
    has_several_labels,
    infer_task,
    typed_inputs,
    typed_targets,
)
from bayesnas.data.info import DataInfo, Task
from bayesnas.data.inputs import AnyInputs, Inputs, leaves_of
from bayesnas.runtime.device import device_of
from bayesnas.typed import typed


class AnyPart(Protocol):
    """A part of a data set, in memory or streamed."""

    @property
    def info(self) -> DataInfo:
        """What is known of it."""
        ...

    def reconstructing(self) -> Self:
        """The same rows, every one its own target."""
        ...


@typed()
@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set: inputs, targets, and what is known of them.

    It unpacks, `x, y = split`, and `len(split)` is n.

    Args:
        x: inputs, float32 `[n, d]`, images `[n, c, h, w]`, or one number a row `[n]`; several of
            them as `Inputs`.
        y: int64 labels `[n]`, several of 0 and 1 a row `[n, k]`, or float32 targets `[n]` or
            `[n, k]`.
        info: name, part, task, classes and the like.

    Raises:
        ValueError: x and y are empty or of different length.

    Example:
        >>> split = Split.of((torch.zeros(3, 2), torch.tensor([0, 1, 1])))
        >>> split
        Split(arrays all: x [3, 2], y [3], 2 classes)
        >>> x, y = split
        >>> len(split), split.info.task
        (3, 'classification')
    """

    x: AnyInputs
    y: Tensor
    info: DataInfo

    def __post_init__(self) -> None:
        check_rows(self.x, self.y)

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[AnyInputs]:
        return iter((self.x, self.y))

    def __repr__(self) -> str:
        kind = self.info.task if self.info.classes is None else f"{self.info.classes} classes"
        shapes = f"x {self.x if isinstance(self.x, Inputs) else list(self.x.shape)}"
        shapes += f", y {list(self.y.shape)}"
        return f"Split({self.info.name} {self.info.part}: {shapes}, {kind})"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, type and bytes of x and of y: the same numbers, the same value.

        It doesn't depend on the device. Computed at the first reading, then kept.
        """
        digest = hashlib.sha256()
        for values in (*leaves_of(self.x), self.y):
            dense = values.detach().cpu().contiguous()
            narrow = dense.dtype == torch.bfloat16  # which NumPy has not
            array = (dense.view(torch.int16) if narrow else dense).numpy()
            digest.update(f"{'bfloat16 ' * narrow}{array.dtype.str} {array.shape};".encode())
            digest.update(array.data)
        return digest.hexdigest()

    @typed()
    def to(self, device: torch.device | str) -> Split:
        """The same part with x and y on another device.

        Raises:
            ValueError: for a device that there is none of.
        """
        place = device_of(device)
        return dataclasses.replace(self, x=self.x.to(place), y=self.y.to(place))

    @property
    def device(self) -> torch.device:
        """Where x and y lie."""
        return self.y.device

    @typed()
    def first(self, count: int) -> Split:
        """The first rows.

        Raises:
            ValueError: for a count below 1.
        """
        count = whole_number("count", count)
        info = dataclasses.replace(self.info, n=min(count, len(self)))
        return Split(self.x[:count], self.y[:count], info)

    @typed()
    def rows(self, index: Tensor) -> Split:
        """Some rows, in the order of ``index``, whole numbers ``[m]``.

        Raises:
            TypeError: for an index that is no tensor.
            IndexError: for a row that there is none of.
        """
        info = dataclasses.replace(self.info, n=len(index))
        return Split(self.x[index], self.y[index], info)

    def reconstructing(self) -> Split:
        """The same rows, every one its own target; see `DataSet.reconstructing`."""
        return _as_target(self)

    def parts(self, size: int) -> Iterator[tuple[AnyInputs, Tensor]]:
        """All rows at once: they are in memory, whatever ``size`` others would be read in."""
        yield self.x, self.y

    @classmethod
    @typed(unchecked=("data",))
    def of(
        cls,
        data: Split | tuple[AnyInputs, Tensor],
        *,
        task: Task | None = None,
        classes: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Split:
        """A checked part from a part or from a pair of tensors.

        Args:
            data: a Split, or `(x, y)` with x `[n, ...]`.
            task: "classification" or "regression"; None: that of the Split, or by the type of y
                (whole numbers and booleans are labels).
            classes: C, which labels have to stay below; None: that of the Split, or one more than
                the largest label.
            dtype: of x and of the targets of a regression; of x alone where it is a type of
                whole numbers, which inputs have to be already.

        Returns:
            A Split whose y is int64 labels `[n]`, several labels a row `[n, k]` of 0 and 1 (of two
            classes each), or targets; everything finite and in range.

        Raises:
            ValueError: no rows, different lengths, NaN or infinite values, labels that are not
                whole or not in 0…C−1.
            TypeError: `data` is neither a Split nor a pair of tensors.
        """
        if classes is not None:
            classes = whole_number("classes", classes)
        x, y, info = _unpack(data)
        check_rows(x, y)
        x = typed_inputs(x, dtype)
        if task is None:
            task = infer_task(y) if info is None else info.task
        known = info.classes if classes is None and info is not None else classes
        several = has_several_labels(y)
        floats = dtype if dtype.is_floating_point else torch.get_default_dtype()
        y = typed_targets(y, task, known, floats)
        if task == "regression":
            classes = None
        elif several:
            classes = 2
        else:
            classes = int(y.max()) + 1 if known is None else known
        if info is None:
            info = DataInfo("arrays", "all", task, n=len(x), classes=classes)
        elif (info.task, info.classes, info.n) != (task, classes, len(x)):
            names = info.class_names if info.classes == classes else None
            info = dataclasses.replace(
                info, task=task, classes=classes, class_names=names, n=len(x)
            )
        return cls(x, y, info)

    @classmethod
    def as_given(cls, data: Split | tuple[AnyInputs, Tensor]) -> Split:
        """A part from a pair of tensors, which stay as they are: shapes, types, values.

        Args:
            data: a Split, or `(x, y)` with as many rows each.

        Raises:
            ValueError: no rows, different lengths, NaN or infinite values.
            TypeError: `data` is neither a Split nor a pair of tensors.

        Example:
            >>> Split.as_given((torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, 1))).y.shape
            torch.Size([3, 1])
        """
        x, y, info = _unpack(data)
        check_rows(x, y)
        check_all_finite(x, y)
        if info is None:
            labels = y.ndim == 1 and not y.is_floating_point() and int(y.min()) >= 0
            classes = int(y.max()) + 1 if labels else None
            task: Task = "classification" if labels else "regression"
            info = DataInfo("arrays", "all", task, n=len(x), classes=classes)
        return cls(x, y, info)


def _as_target(part: Split) -> Split:
    if isinstance(part.x, Inputs):
        raise TypeError(f"an example of several inputs can't be its own target, got {part.x}")
    standardisation = part.info.standardisation
    if standardisation is not None:
        standardisation = dataclasses.replace(standardisation, y_mean=None, y_scale=None)
    info = dataclasses.replace(
        part.info,
        task="regression",
        classes=None,
        class_names=None,
        standardisation=standardisation,
    )
    return Split(part.x, part.x, info)


def _unpack(
    data: Split | tuple[AnyInputs, Tensor],
) -> tuple[AnyInputs, Tensor, DataInfo | None]:
    if isinstance(data, Split):
        return data.x, data.y, data.info
    is_pair = isinstance(data, (tuple, list)) and len(data) == 2
    if is_pair and isinstance(data[0], (Tensor, Inputs)) and isinstance(data[1], Tensor):
        return data[0], data[1], None
    raise TypeError(
        "data must be a part of a data set (data.train) or a pair (x, y) of tensors, "
        f"got {type(data).__name__}"
    )
