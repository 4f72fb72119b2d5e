"""The sets that torchvision reads: real files, missing files, broken files."""

from __future__ import annotations

import hashlib
import pickle
import shutil

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from bayesnas.data import load
from bayesnas.data.sources.idx_check import check_idx

RAW = {
    f"{prefix}-{kind}": (prefix, kind)
    for prefix in ("train", "t10k")
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
}


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_mnist(root, folder="MNIST", counts=(30, 20)):
    """Random images in the files of the MNIST family."""
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for prefix, n in zip(("train", "t10k"), counts, strict=True):
        images = generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        labels = (np.arange(n) % 10).astype(np.uint8)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return raw


@pytest.fixture
def offline(monkeypatch):
    """A machine whose every connection is refused."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_mnist_is_that_of_torchvision(mnist_root):
    data = load("mnist")
    assert data.train.x.shape == (60000, 1, 28, 28)
    for part, train in ((data.train, True), (data.test, False)):
        read = MNIST(mnist_root, train=train)
        assert torch.equal((part.x[:, 0] * 255).round().to(torch.uint8), read.data)
        assert torch.equal(part.y, read.targets)
    assert float(data.train.x.max()) == 1.0
    assert data.validation is None
    assert data.info.classes == 10


def test_the_slice_of_fashion_mnist_is_read_as_it_is(fashion_mnist_root):
    data = load("fashion-mnist", root=fashion_mnist_root, flatten=True, download=False)
    read = FashionMNIST(fashion_mnist_root, train=True)
    assert data.train.x.shape == (len(read.data), 784)
    assert torch.equal(data.train.y, read.targets)
    assert data.info.class_names[0] == "T-shirt/top"
    assert data.info.image_shape == (1, 28, 28)


def test_a_set_s_own_test_part_is_kept(tmp_path):
    write_mnist(tmp_path)
    data = load("mnist", root=tmp_path, validation=1 / 3)
    assert [len(p) for p in (data.train, data.validation, data.test)] == [20, 10, 20]
    with pytest.raises(ValueError, match=r"mnist brings its own test part.*got 0\.1"):
        load("mnist", root=tmp_path, test=0.1)


def test_files_that_are_there_are_only_read(tmp_path, offline):
    write_mnist(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    load("mnist", root=tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("file", RAW)
def test_a_truncated_file_is_named_wherever_it_is_cut(tmp_path, file):
    raw = write_mnist(tmp_path)
    content = (raw / file).read_bytes()
    for length in (0, 3, 7, len(content) // 2, len(content) - 1):
        (raw / file).write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"{file} is truncated: expected") as caught:
            load("mnist", root=tmp_path)
        assert f"got {length:,}" in str(caught.value)


def test_other_damage_is_named(tmp_path):
    raw = write_mnist(tmp_path)
    images, labels = raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    content = images.read_bytes()
    images.write_bytes(content + b"more")
    with pytest.raises(ValueError, match="is longer than its header says"):
        load("mnist", root=tmp_path)
    images.write_bytes(b"GIF8" + content[4:])
    with pytest.raises(ValueError, match="magic number 0x00000803, got 0x47494638"):
        load("mnist", root=tmp_path)
    images.write_bytes(content)
    labels.write_bytes(idx_bytes(np.zeros(7, np.uint8)))
    with pytest.raises(ValueError, match=r"holds 30 images, .*labels.* 7 labels"):
        load("mnist", root=tmp_path)
    labels.write_bytes(idx_bytes(np.full(30, 10, np.uint8)))
    with pytest.raises(ValueError, match=r"train: labels y must be in 0\.\.9, got 10 in row 0"):
        load("mnist", root=tmp_path)


def test_idx_counts_are_read(tmp_path):
    raw = write_mnist(tmp_path)
    assert check_idx(raw / "t10k-images-idx3-ubyte", 3) == 20


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("fashion-mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte"),
        ("cifar10", "cifar-10-batches-py/data_batch_1"),
    ],
)
def test_missing_files_are_named_and_so_is_their_place(tmp_path, offline, name, file):
    for download, reason in ((False, "downloading is off"), (True, "downloading failed: ")):
        with pytest.raises(FileNotFoundError, match=reason) as caught:
            load(name, root=tmp_path / "root", download=download)
        assert file in str(caught.value)
        assert str(tmp_path / "root") in str(caught.value)
        assert "BAYESNAS_DATA" in str(caught.value)
    assert not any((tmp_path / "root").iterdir())


def test_only_what_is_missing_is_named(tmp_path):
    raw = write_mnist(tmp_path)
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="lacks MNIST/raw/t10k-labels-idx1-ubyte in"):
        load("mnist", root=tmp_path, download=False)


def test_nothing_is_written_into_a_read_only_root(tmp_path, monkeypatch):
    monkeypatch.setattr(MNIST, "download", lambda self: pytest.fail("tried to download"))
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o555)
    try:
        with pytest.raises(FileNotFoundError, match="that folder is read-only"):
            load("mnist", root=root)
        with pytest.raises(FileNotFoundError, match="that folder is read-only"):
            load("mnist", root=root / "below")
    finally:
        root.chmod(0o755)
    assert not any(root.iterdir())


def test_a_download_fills_the_gap_and_replaces_nothing(tmp_path, monkeypatch):
    there = write_mnist(tmp_path / "root", counts=(30, 20))
    (there / "t10k-labels-idx1-ubyte").unlink()
    original = (there / "train-images-idx3-ubyte").read_bytes()
    source = write_mnist(tmp_path / "source", counts=(40, 20))
    monkeypatch.setattr(MNIST, "download", lambda self: shutil.copytree(source, self.raw_folder))
    data = load("mnist", root=tmp_path / "root")
    assert (len(data.train), len(data.test)) == (30, 20)
    assert (there / "train-images-idx3-ubyte").read_bytes() == original
    assert [p.name for p in (tmp_path / "root").iterdir()] == ["MNIST"]


def test_a_download_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    def break_off(self):
        write_mnist(tmp_path / "half")
        shutil.copytree(tmp_path / "half" / "MNIST" / "raw", self.raw_folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(MNIST, "download", break_off)
    with pytest.raises(KeyboardInterrupt):
        load("mnist", root=tmp_path / "root")
    assert not any((tmp_path / "root").iterdir())


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """Five training batches of four images, one test batch, with checksums of their own."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    generator = np.random.default_rng(0)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(name, n):
        pixels = generator.integers(0, 256, (n, 3072), dtype=np.uint8)
        return write(name, {"data": pixels, "labels": list(range(n))})

    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}", 4) for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch", 10)])
    name, md5 = write("batches.meta", {"label_names": [f"class {i}" for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return tmp_path


def test_cifar10_has_channels_first(small_cifar):
    data = load("cifar10", root=small_cifar, download=False)
    assert data.train.x.shape == (20, 3, 32, 32)
    with (small_cifar / CIFAR10.base_folder / "test_batch").open("rb") as file:
        stored = pickle.load(file)["data"].reshape(10, 3, 32, 32)
    np.testing.assert_array_equal(data.test.x.numpy(), (stored / np.float32(255)))
    assert data.test.y.tolist() == list(range(10))
    assert data.info.class_names[3] == "class 3"
    flat = load("cifar10", root=small_cifar, flatten=True)
    assert torch.equal(flat.test.x, data.test.x.flatten(1))
    assert flat.info.image_shape == (3, 32, 32)


def test_a_truncated_batch_of_cifar10_is_named(small_cifar):
    batch = small_cifar / CIFAR10.base_folder / "data_batch_2"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match="cifar-10-batches-py/data_batch_2 is truncated or altered"
    ):
        load("cifar10", root=small_cifar, download=False)
