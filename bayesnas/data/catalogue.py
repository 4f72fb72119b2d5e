"""Data sets by name or by file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from bayesnas.checks import fraction_in
from bayesnas.data.assemble import Raw, assemble
from bayesnas.data.dataset import DataSet
from bayesnas.data.info import Task
from bayesnas.data.provenance import DataSource
from bayesnas.data.sources import sklearn_sets as embedded
from bayesnas.data.sources import torchvision_sets as images
from bayesnas.data.sources.csv_npz import read_csv, read_npz
from bayesnas.data.sources.data_root import data_root
from bayesnas.data.sources.load_folder import read_folder
from bayesnas.data.split import Split
from bayesnas.typed import typed
from bayesnas.words import check_options_of_files, data_file

TABLES = {"diabetes": embedded.diabetes, "breast-cancer": embedded.breast_cancer}
IMAGES = {"mnist": images.mnist, "fashion-mnist": images.fashion_mnist, "cifar10": images.cifar10}


def available() -> dict[str, str]:
    """The data sets that `load` knows by name, with a line on each.

    Example:
        >>> available()["digits"]
        '1,797 handwritten digits, 8 × 8 pixels, divided by 16 to lie in [0, 1].'
    """
    readers = {"digits": embedded.digits, **TABLES, **IMAGES}
    return {name: (reader.__doc__ or "").splitlines()[0] for name, reader in readers.items()}


@typed(unchecked=("model",))
def load(
    name_or_path: str | os.PathLike[str] = "digits",
    *,
    root: str | os.PathLike[str] | None = None,
    test: float | None = None,
    validation: float = 0.0,
    seed: int = 0,
    standardise: bool = False,
    flatten: bool | None = None,
    task: Task | None = None,
    target: str | None = None,
    drop: Sequence[str] = (),
    download: bool = True,
) -> DataSet:
    """A data set as float32 and int64 tensors, in parts.

    By name, `available()` lists them, or a file of your own: a `.npz` with arrays `x, y` (or
    `x_train, y_train, x_test, y_test, x_validation, y_validation`, the last four optional), or a
    `.csv` with a column to predict. Its categories, dates, booleans and missing cells become
    numbers by what the training rows say: `data.info.encoding`, a `TableEncoding`. Or a folder of
    such arrays as `.npy` files, or of images by class, which `load_streamed` reads row by row.

    Args:
        name_or_path: a name, a path that ends in `.npz` or `.csv`, or a folder.
        root: folder of downloaded sets; None: the environment variable BAYESNAS_DATA, then the
            user's cache folder.
        test: fraction of the rows held out for testing; None: 0.2 where the set brings no test
            part. 0.0: no such part.
        validation: fraction of the training rows held out for validation; 0.0: no such part.
        seed: of the split, which is stratified for a classification.
        standardise: give x (and y of a regression) mean 0 and standard deviation 1 on the
            training part. What was subtracted and divided by is in `data.info.standardisation`.
        flatten: images as `[n, c·h·w]` (True) or `[n, c, h, w]` (False); None: flat for digits,
            not for the others. True flattens the rows of a `.npz` or a folder too.
        task: of a file or folder: "classification" or "regression"; None: by the type of its
            targets.
        target: the column of a `.csv` to predict; None: the last.
        drop: columns of a `.csv` to leave out.
        download: get missing files from the network.

    Raises:
        ValueError: an unknown name (with the nearest), a truncated file, an option that does not
            go with the data set, and all that `from_arrays` refuses.
        FileNotFoundError: files are missing; says which, and where to put them.

    Example:
        >>> data = load("digits")
        >>> data.train
        Split(digits train: x [1437, 64], y [1437], 10 classes)
        >>> load("diabetes", standardise=True).info.standardisation.y_mean[0] > 0
        True
    """
    if test is not None:
        fraction_in("test", test, "[0, 1)")
    fraction_in("validation", validation, "[0, 1)")
    name = os.fspath(name_or_path)
    path = data_file(name)
    if path is not None:
        try:
            raw = _read_file(path, task, target, list(drop), flatten)
            data = assemble(
                raw, test=test, validation=validation, seed=seed, standardise=standardise
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        name = str(path.absolute())
    else:
        check_options_of_files(name, {"task": task, "target": target, "drop": list(drop) or None})
        raw = _read_named(name, data_root(root), download, flatten)
        data = assemble(raw, test=test, validation=validation, seed=seed, standardise=standardise)
    source = DataSource(
        name_or_path=name,
        root=None if root is None else str(data_root(root)),
        test=None if test is None else float(test),
        validation=float(validation),
        seed=int(seed),
        standardise=bool(standardise),
        flatten=None if flatten is None else bool(flatten),
        task=task,
        target=target,
        drop=tuple(drop),
    )
    return _with_source(data, source)


def _with_source(data: DataSet, source: DataSource) -> DataSet:
    def told(part: Split) -> Split:
        return dataclasses.replace(part, info=dataclasses.replace(part.info, source=source))

    return DataSet(
        data.name,
        told(data.train),
        None if data.validation is None else told(data.validation),
        None if data.test is None else told(data.test),
    )


def _read_file(
    path: Path, task: Task | None, target: str | None, drop: list[str], flatten: bool | None
) -> Raw:
    if path.suffix.lower() == ".csv":
        if flatten is not None:
            raise ValueError(f"flatten goes with images, got {flatten} for a table")
        return read_csv(path, task, target, drop)
    kind = "folder" if path.is_dir() else ".npz"
    for option, value in (("target", target), ("drop", drop or None)):
        if value is not None:
            raise ValueError(f"{option} names a column of a .csv, got {value!r} for a {kind}")
    return read_folder(path, task, flatten) if path.is_dir() else read_npz(path, task, flatten)


def _read_named(name: str, root: Path, download: bool, flatten: bool | None) -> Raw:
    if name == "digits":
        return embedded.digits(flatten)
    if name in IMAGES:
        return IMAGES[name](root, download, flatten)
    if flatten is not None:
        raise ValueError(f"flatten goes with images, got {flatten} for {name!r}")
    return TABLES[name]()
