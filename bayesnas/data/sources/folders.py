"""Folders of data: `.npy` files of arrays, or images by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayesnas.data.info import Part
from bayesnas.data.sources.arrays import as_target_tensor
from bayesnas.data.sources.csv_npz import part_keys
from bayesnas.data.streams.file_rows import FileRows
from bayesnas.data.streams.sources import MapRows, PairRows, Source

_PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class FolderPart:
    """A part of a data set as its folder has it.

    Args:
        source: of its rows.
        y: all of its targets, `[n]` or `[n, k]`, in memory.
    """

    source: Source
    y: Tensor


@dataclass(frozen=True, eq=False)
class Folder:
    """What a folder holds.

    Args:
        parts: by name; "train" always.
        class_names: None where the targets are numbers.
    """

    parts: dict[Part, FolderPart]
    class_names: Sequence[str] | None


def open_folder(path: Path) -> Folder:
    """The parts of a folder, whose inputs are read when they are asked for.

    Args:
        path: with `x.npy, y.npy`, or `x_train.npy, y_train.npy` and those of `_test` and
            `_validation`, the last four optional; or with a folder of images for each class, as
            torchvision's `ImageFolder` has it, or folders `train`, `test`, `validation` of these.

    Raises:
        ValueError: naming what is missing, or a file that is no array of numbers.
    """
    files = {file.stem: file for file in path.glob("*.npy")}
    if files:
        return _of_arrays(path, files)
    if not any(path.glob("*/*")):
        raise ValueError(
            "a folder of data must have x.npy and y.npy, or a folder of images for each class, "
            f"got {', '.join(sorted(p.name for p in path.iterdir())) or 'nothing'}"
        )
    return _of_images(path)


def _of_arrays(path: Path, files: dict[str, Path]) -> Folder:
    keys = part_keys(path, set(files))
    by_part = [_targets(files[f"y{suffix}"]) for suffix in keys.values()]
    y, names = as_target_tensor(np.concatenate(by_part))
    parts: dict[Part, FolderPart] = {}
    for (part, suffix), some in zip(keys.items(), y.split(list(map(len, by_part))), strict=True):
        x = FileRows(files[f"x{suffix}"])
        if len(x) != len(some):
            raise ValueError(
                f"x{suffix}.npy and y{suffix}.npy must have the same length, got {len(x)} and "
                f"{len(some)} rows"
            )
        parts[part] = FolderPart(PairRows(x, some, None), some)
    return Folder(parts, names)


def _targets(path: Path) -> np.ndarray[Any, Any]:
    try:
        return np.atleast_1d(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path.name} must be an .npy file of numbers or text: {error}") from error


def _of_images(path: Path) -> Folder:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import ToTensor

    roots = {part: path / part for part in _PARTS if (path / part).is_dir()}
    roots = roots if "train" in roots else {"train": path}
    folders = {}
    for part, root in roots.items():
        try:
            folders[part] = ImageFolder(str(root), transform=ToTensor())
        except FileNotFoundError as error:
            raise ValueError(
                f"{root} must have a folder of images for each class: {error}"
            ) from error
    names = folders["train"].classes
    for part, images in folders.items():
        if images.classes != names:
            raise ValueError(
                f"the classes must be the same in all parts, got {names} in train and "
                f"{images.classes} in {part}"
            )
    parts = {
        part: FolderPart(MapRows(images, None), torch.tensor(images.targets))
        for part, images in folders.items()
    }
    return Folder(parts, names)
