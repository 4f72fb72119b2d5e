"""A folder of data as a data set, in memory or streamed."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from bayesnas.checks import fraction_in, seed_number, whole_number
from bayesnas.data.assemble import Raw, divide
from bayesnas.data.dataset import DataSet
from bayesnas.data.info import DataInfo, Part, Task
from bayesnas.data.provenance import DataSource
from bayesnas.data.sources.folders import Folder, open_folder
from bayesnas.data.streams.chosen_rows import ChosenRows
from bayesnas.data.streams.from_dataset import MOST_WORKERS, rows_hash
from bayesnas.data.streams.sources import Source, spread_rows
from bayesnas.data.streams.streamed_split import RowForm, StreamedSplit
from bayesnas.files import path_of
from bayesnas.typed import typed

_LOOKED_AT = 64  # rows that the fingerprint of a part is of


def read_folder(path: Path, task: Task | None, flatten: bool | None) -> Raw:
    """All rows of a folder, in memory; see `open_folder`."""
    folder = open_folder(path)
    parts = {}
    for part, each in folder.parts.items():
        x, _ = each.source.read(0, 0, torch.arange(len(each.source)))
        assert isinstance(x, Tensor)
        parts[part] = (x.flatten(1) if flatten and x.ndim > 1 else x, each.y)
    return Raw(path.name, parts, task, folder.class_names)


@typed()
def load_streamed(
    path: str | os.PathLike[str],
    *,
    test: float | None = None,
    validation: float = 0.0,
    seed: int = 0,
    task: Task | None = None,
    workers: int = 0,
    prefetch: int = 2,
) -> DataSet[StreamedSplit]:
    """A folder as a data set whose rows are read when they are needed.

    The parts have the rows that `load` gives them, in the same order: a fit has the same numbers
    either way. Targets are held in memory.

    Args:
        path: of a folder with `x.npy, y.npy`, or `x_train.npy, y_train.npy` and those of `_test`
            and `_validation`, the last four optional; or with a folder of images for each class,
            or folders `train`, `test`, `validation` of these. Images are read as float32
            `[channels, height, width]` in [0, 1]; all have one size.
        test: fraction of the rows held out for testing; None: 0.2 where there is no test part.
        validation: fraction of the training rows held out for validation; 0.0: no such part.
        seed: of the split, which is stratified for a classification.
        task: "classification" or "regression"; None: by the type of the targets.
        workers: processes that read ahead, by torch's `DataLoader`; 0: this one.
        prefetch: batches that every worker reads ahead.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: naming what is missing, or a file that is no array of numbers, and all that
            `load` refuses.

    Example:
        >>> import numpy as np, os
        >>> os.makedirs("digits", exist_ok=True)
        >>> np.save("digits/x.npy", np.ones((50, 3), np.uint8))
        >>> np.save("digits/y.npy", np.arange(50) % 2)
        >>> load_streamed("digits").train
        StreamedSplit(digits train: 40 rows, 2 classes)
    """
    if test is not None:
        fraction_in("test", test, "[0, 1)")
    fraction_in("validation", validation, "[0, 1)")
    workers = whole_number("workers", workers, 0, MOST_WORKERS)
    prefetch = whole_number("prefetch", prefetch)
    where = path_of("path", path).absolute()
    if not where.is_dir():
        raise FileNotFoundError(f"there is no data folder {where}")
    source = DataSource(
        name_or_path=str(where),
        test=None if test is None else float(test),
        validation=float(validation),
        seed=seed_number("seed", seed),
        task=task,
        streamed=True,
    )
    try:
        folder = open_folder(where)
        raw = _rows_of(where.name, folder, task)
        parts, task, classes = divide(raw, test=test, validation=validation, seed=seed)
        splits = {}
        for part, (rows, _) in parts.items():
            assert isinstance(rows, Tensor)
            info = DataInfo(
                where.name,
                part,
                task,
                n=len(rows),
                classes=classes,
                class_names=_names(folder, task),
                source=source,
            )
            of = folder.parts[part if part in folder.parts else "train"].source
            splits[part] = _streamed(ChosenRows(of, rows), info, workers, prefetch)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return DataSet(where.name, splits["train"], splits.get("validation"), splits.get("test"))


def _rows_of(name: str, folder: Folder, task: Task | None) -> Raw:
    """The parts of a folder, with the numbers of their rows in the place of inputs."""
    parts: dict[Part, tuple[Tensor, Tensor]] = {
        part: (torch.arange(len(each.source)), each.y) for part, each in folder.parts.items()
    }
    return Raw(name, {**parts}, task, folder.class_names)


def _names(folder: Folder, task: Task) -> tuple[str, ...] | None:
    if folder.class_names is None or task == "regression":
        return None
    return tuple(map(str, folder.class_names))


def _streamed(source: Source, info: DataInfo, workers: int, prefetch: int) -> StreamedSplit:
    looked_at = source.read(0, 0, spread_rows(len(source), _LOOKED_AT))
    form = RowForm(None, info.task, info.classes)
    return StreamedSplit(source, info, rows_hash(source, *looked_at), workers, prefetch, form)
