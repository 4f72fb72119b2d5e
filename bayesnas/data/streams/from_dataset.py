"""A part of a data set from what torch, NumPy and iterables give row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from bayesnas.checks import size, whole_number
from bayesnas.data.checks import check_rows, infer_task
from bayesnas.data.conversion import as_inputs, as_target_tensor
from bayesnas.data.info import DataInfo, Part, Task, check_task
from bayesnas.data.inputs import AnyInputs, leaves_of
from bayesnas.data.split import Split
from bayesnas.data.streams.file_rows import FileRows
from bayesnas.data.streams.sources import (
    IterableRows,
    MapRows,
    PairRows,
    Source,
    Transform,
    spread_rows,
)
from bayesnas.data.streams.streamed_split import RowForm, StreamedSplit
from bayesnas.typed import typed

_LOOKED_AT = 64  # rows that the fingerprint is of
MOST_WORKERS = 1024
"""Processes that read, at most."""


@typed(unchecked=("dataset",))
def from_dataset(
    dataset: Any,
    *,
    n: int | None = None,
    task: Task | None = None,
    classes: int | None = None,
    transform: Transform | None = None,
    workers: int = 0,
    prefetch: int = 2,
    name: str = "dataset",
    part: Part = "all",
    class_names: Sequence[str] | None = None,
    fingerprint: str | None = None,
) -> StreamedSplit:
    r"""A part of a data set whose rows are read when they are needed: large, or never twice alike.

    It goes into ``bayesnas.fit`` (as ``data`` or ``validation``), ``evaluate``, ``predict``,
    ``frontier`` and ``refine`` in the place of tensors. Every epoch of a fit takes the rows in an
    order of its own, which depends on seed and epoch alone, as of data in memory; an iterable is
    taken in its own order. Whatever is drawn while a row is read, such as its augmentation, depends
    on seed, epoch and index of the row alone: before each the generators of torch, NumPy and
    Python are seeded, and put back after the batch. So a fit that was killed goes on to the same
    numbers, with any number of workers.

    Args:
        dataset: one of

            * a map-style ``torch.utils.data.Dataset``, or anything with ``__len__`` and
              ``__getitem__``, of pairs (x, y);
            * a tuple ``(x, y)``, each the path of an ``.npy`` file, a memory map
              (``numpy.load(path, mmap_mode="r")``) or an array or tensor in memory;
            * an iterable of pairs that can begin again, such as an ``IterableDataset``: every
              epoch is a pass over it, after ``set_epoch(epoch)`` where it has that method.

            x of a row is a tensor, array or number, or several of them as a tuple or dict; all rows
            have one shape and one type.
        n: number of rows N of an iterable, the sample size that the bound needs.
        task: "classification" or "regression"; None: by the type of y of the first rows.
        classes: C of a classification; None: of a pair by its targets, else
            ``len(dataset.classes)``.
        transform: of x of a row, after the data set's own; of several inputs together.
        workers: processes that read and augment, by torch's ``DataLoader``; 0: this one. An
            iterable is read by this one.
        prefetch: batches that every worker reads ahead.
        name: of the data set.
        part: of it that this is.
        class_names: a name for each class.
        fingerprint: what tells these data from others in a saved run; None: a hash of 64 rows over
            the whole sample (of an iterable the first), since reading all may take hours.

    Returns:
        a :class:`StreamedSplit`. Targets of a pair, ``[n]``, are held in memory; of all else one
        batch, and ``workers`` · ``prefetch`` more.

    Raises:
        TypeError: what came is none of these, or its elements are no pairs.
        ValueError: no rows, an iterable without ``n`` or that gives itself up after one pass,
            a classification without ``classes``, rows of different shapes.

    References:
        Paszke et al., *PyTorch: an imperative style, high-performance deep learning library*, 2019.

    Example:
        >>> import torch, bayesnas as bn
        >>> rows = [(torch.tensor([float(i)]), i % 2) for i in range(50)]
        >>> data = bn.data.from_dataset(rows, classes=2, transform=lambda x: x + torch.rand(1))
        >>> data
        StreamedSplit(dataset all: 50 rows, 2 classes)
        >>> net = bn.models.GaussianNet(bn.nn.mlp([1, 4, 2]))
        >>> post = bn.fit(net, data, steps=3, batch_size=10)
        >>> sorted(post.evaluate(data))[0]
        'accuracy'
    """
    workers, prefetch = (
        whole_number("workers", workers, 0, MOST_WORKERS),
        size("prefetch", prefetch),
    )
    if task is not None:
        check_task(task)
    source = _source(dataset, n, transform)
    if not len(source):
        raise ValueError(f"dataset must have one row or more, got a {source.describe()}")
    if source.in_order and workers:
        raise ValueError(
            f"workers must be 0 for an iterable, which one process reads, got {workers}"
        )
    rows = torch.arange(min(_LOOKED_AT, len(source)))
    if not source.in_order:
        rows = spread_rows(len(source), _LOOKED_AT)
    x, y = source.read(0, 0, rows)
    check_rows(x, y)
    task = infer_task(y) if task is None else task
    several = y.ndim > 1 and y[0].numel() > 1
    if task == "classification":
        classes = 2 if several else _classes(dataset, classes, class_names)
    elif classes is not None:
        raise ValueError(f"classes goes with a classification, got {classes} for a regression")
    info = DataInfo(
        name,
        part,
        task,
        n=len(source),
        classes=classes,
        class_names=None if class_names is None else tuple(class_names),
    )
    stamp = rows_hash(source, x, y) if fingerprint is None else f"given:{fingerprint}"
    return StreamedSplit(source, info, stamp, workers, prefetch, RowForm(None, task, classes))


def _source(dataset: Any, n: int | None, transform: Transform | None) -> Source:
    if n is not None:
        n = whole_number("n", n, 1)
    iterates = isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")
    if isinstance(dataset, tuple) and len(dataset) == 2:
        source: Source = _pair(*dataset, transform)
    elif isinstance(dataset, (Split, StreamedSplit, dict, str, bytes)) or (
        iterates and not isinstance(dataset, Iterable)
    ):
        raise TypeError(
            "dataset must be a torch.utils.data.Dataset, a pair (x, y) of .npy files, memory maps "
            f"or arrays, or an iterable of pairs, got {type(dataset).__name__}"
        )
    elif iterates:
        if n is None:
            raise ValueError(
                "n must be given with a dataset that is an iterable: it is the sample size N that "
                f"multiplies the likelihood, got a {type(dataset).__name__}"
            )
        if iter(dataset) is dataset:
            raise ValueError(
                "dataset must be able to begin again, got an iterator "
                f"({type(dataset).__name__}): give an object whose __iter__ starts anew"
            )
        return IterableRows(dataset, n, transform)
    elif not _has_length(dataset):
        raise TypeError(f"dataset must have a length, got a {type(dataset).__name__} without one")
    else:
        source = MapRows(dataset, transform)
    if n is not None and n != len(source):
        raise ValueError(f"n goes with an iterable: dataset has {len(source)} rows, got n={n}")
    return source


def _has_length(dataset: Any) -> bool:
    try:
        return len(dataset) >= 0
    except TypeError:  # none, or that of an array without dimensions
        return False


def _pair(x: Any, y: Any, transform: Transform | None) -> PairRows:
    inputs, targets = _rows(x, "x"), _rows(y, "y")
    if isinstance(targets, FileRows) and len(targets.shape) == 1:
        targets = targets[torch.arange(len(targets))]
    assert isinstance(targets, (FileRows, Tensor))
    if len(inputs) != len(targets):
        raise ValueError(
            f"x and y must have the same length, got {len(inputs)} and {len(targets)} rows"
        )
    return PairRows(inputs, targets, transform)


def _rows(values: Any, name: str) -> FileRows | AnyInputs:
    if isinstance(values, (str, Path, np.memmap)):
        return FileRows(values)
    return as_inputs(values) if name == "x" else as_target_tensor(values)


def _classes(dataset: Any, given: int | None, names: Sequence[str] | None) -> int:
    """Number of classes: as given, or as the data set says."""
    if given is not None:
        return size("classes", given)
    if names is not None:
        return len(names)
    said = getattr(dataset, "classes", None)
    if isinstance(said, (list, tuple)) and said:
        return len(said)
    if isinstance(dataset, tuple):
        y = _rows(dataset[1], "y")
        y = y[torch.arange(len(y))] if isinstance(y, FileRows) else y
        assert isinstance(y, Tensor)
        return int(y.max()) + 1
    raise ValueError(
        "classes must be given for a classification, since labels are only seen as they are read: "
        "e.g. from_dataset(dataset, classes=10), or task='regression' where y is a quantity"
    )


def rows_hash(source: Source, x: AnyInputs, y: Tensor) -> str:
    """SHA-256 of what the source is and of some of its rows."""
    digest = hashlib.sha256(source.describe().encode())
    for values in (*leaves_of(x), y):
        array = values.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(array.data)
    return f"rows:{digest.hexdigest()}"
