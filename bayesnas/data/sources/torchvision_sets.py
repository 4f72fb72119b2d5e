"""Image data sets that torchvision reads: MNIST, Fashion-MNIST, CIFAR-10."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bayesnas.data.assemble import Parts, Raw
from bayesnas.data.info import Part
from bayesnas.data.sources.data_root import require_files
from bayesnas.data.sources.idx_check import check_idx

PARTS: dict[Part, str] = {"train": "train", "test": "t10k"}


def mnist(root: Path, download: bool, flatten: bool | None) -> Raw:
    """70,000 handwritten digits, 28 × 28 pixels in [0, 1]: 60,000 to train on, 10,000 to test.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-Based Learning Applied to
    Document Recognition, 1998.
    """
    from torchvision.datasets import MNIST

    return _idx_family("mnist", MNIST, root, download, flatten, [str(d) for d in range(10)])


def fashion_mnist(root: Path, download: bool, flatten: bool | None) -> Raw:
    """70,000 articles of clothing in the format of MNIST, or the slice of them that is there.

    Source: H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, 2017.
    """
    from torchvision.datasets import FashionMNIST

    return _idx_family("fashion-mnist", FashionMNIST, root, download, flatten, FashionMNIST.classes)


def cifar10(root: Path, download: bool, flatten: bool | None) -> Raw:
    """60,000 photographs, 3 × 32 × 32 values in [0, 1]: 50,000 to train on, 10,000 to test.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    checksums = dict([*CIFAR10.train_list, *CIFAR10.test_list])
    checksums[CIFAR10.meta["filename"]] = CIFAR10.meta["md5"]
    files = {f"{CIFAR10.base_folder}/{name}": md5 for name, md5 in checksums.items()}
    require_files("cifar10", root, list(files), _fetch(CIFAR10) if download else None)
    for file, md5 in files.items():
        if not check_integrity(root / file, md5):
            raise ValueError(
                f"{root / file} is truncated or altered: its MD5 sum is not {md5}; "
                "delete it to have it downloaded again"
            )
    parts: Parts = {}
    classes: list[str] = []
    for part in PARTS:
        read = CIFAR10(root, train=part == "train", download=False)
        images = torch.from_numpy(read.data).permute(0, 3, 1, 2)
        parts[part] = (_pixels(images, flatten), torch.tensor(read.targets))
        classes = read.classes
    return Raw("cifar10", parts, "classification", classes, image_shape=(3, 32, 32))


def _idx_family(
    name: str,
    dataset: Any,
    root: Path,
    download: bool,
    flatten: bool | None,
    class_names: list[str],
) -> Raw:
    folder = f"{dataset.__name__}/raw"
    names = [resource.removesuffix(".gz") for resource, _ in dataset.resources]
    files = [f"{folder}/{file}" for file in names]
    require_files(name, root, files, _fetch(dataset) if download else None)
    parts: Parts = {}
    for part, prefix in PARTS.items():
        images = root / folder / f"{prefix}-images-idx3-ubyte"
        labels = root / folder / f"{prefix}-labels-idx1-ubyte"
        counts = check_idx(images, 3), check_idx(labels, 1)
        if counts[0] != counts[1]:
            raise ValueError(f"{images} holds {counts[0]} images, {labels} {counts[1]} labels")
        read = dataset(root, train=part == "train", download=False)
        parts[part] = (_pixels(read.data[:, None], flatten), read.targets)
    return Raw(name, parts, "classification", class_names, image_shape=(1, 28, 28))


def _fetch(dataset: Any) -> Callable[[Path], object]:
    return lambda folder: dataset(folder, download=True)


def _pixels(images: Tensor, flatten: bool | None) -> Tensor:
    """Bytes `[n, c, h, w]` as float32 in [0, 1]; `[n, c·h·w]` where `flatten`."""
    scaled = images.float() / 255
    return scaled.flatten(1) if flatten else scaled
