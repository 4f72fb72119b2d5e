"""Folders of data, in memory and read when needed, against the arrays that they were made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.data import DataInfo, from_arrays, load, load_streamed

X = np.random.default_rng(0).integers(0, 256, (30, 2, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def write(folder, **arrays):
    folder.mkdir()
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


def rows(part):
    x, y = part.first(len(part))
    return x.float(), y


@pytest.mark.parametrize("labels", [LABELS, LABELS * 0.5, np.array(["cod", "ape", "bee"])[LABELS]])
def test_both_ways_of_reading_have_the_parts_of_arrays(tmp_path, labels):
    folder = write(tmp_path / "mine", x=X, y=labels)
    options = {"test": 0.3, "validation": 0.2, "seed": 5}
    expected = from_arrays(X, labels, **options)
    here, there = load(folder, **options), load_streamed(folder, **options)
    for part in ("train", "validation", "test"):
        x, y = getattr(expected, part)
        for data in (here, there):
            assert data.info.class_names == expected.info.class_names
            actual = rows(getattr(data, part))
            assert torch.equal(actual[0], x)
            assert torch.equal(actual[1].to(y.dtype), y)


def test_parts_of_files_of_their_own(tmp_path):
    arrays = {"x_train": X[:20], "y_train": LABELS[:20], "x_test": X[20:], "y_test": LABELS[20:]}
    folder = write(tmp_path / "mine", **arrays)
    data = load_streamed(folder, validation=0.25)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [15, 5, 10]
    assert torch.equal(rows(data.test)[0], torch.tensor(X[20:]).float())
    both = torch.cat([rows(data.train)[0], rows(data.validation)[0]])
    assert torch.equal(both.sum(0), torch.tensor(X[:20]).float().sum(0))
    with pytest.raises(ValueError, match="brings its own test part"):
        load_streamed(folder, test=0.1)


@pytest.mark.slow
def test_images_lie_in_folders_of_their_classes(tmp_path):
    for index, image in enumerate(X.reshape(30, 3, 2)):
        path = tmp_path / "mine" / ("odd" if index % 2 else "even")
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([image] * 3, -1)).save(path / f"{index:02}.png")
    data = load_streamed(tmp_path / "mine", test=0.2)
    assert data.info.class_names == ("even", "odd")
    x, y = rows(data.train)
    assert x.shape == (24, 3, 3, 2)
    expected = X.reshape(30, 3, 2)[np.r_[0:30:2, 1:30:2]] / 255  # by class, then by name
    assert {tuple(image.ravel()) for image in expected.astype(np.float32)} >= {
        tuple(image.ravel()) for image in x[:, 0].numpy()
    }
    assert y.bincount().tolist() == [12, 12]
    assert torch.equal(load(tmp_path / "mine", test=0.2).train.x, x)


def test_an_autoencoder_fits_rows_to_themselves(tmp_path):
    folder = write(tmp_path / "mine", x=X.reshape(30, 6) / np.float32(255), y=LABELS)
    model = bn.models.ArdVae(6, latents=2, hidden=(4,))
    options = {"steps": 3, "compile": False, "progress": False, "device": "cpu"}
    posts = [
        bn.fit(model, data.reconstructing().train, **options)
        for data in (load(folder), load_streamed(folder))
    ]
    assert posts[0].history().equals(posts[1].history())
    assert posts[1].data.task == "regression"


def test_a_description_of_the_data_reads_them_again(tmp_path):
    data = load_streamed(write(tmp_path / "mine", x=X, y=LABELS), test=0.3, seed=2)
    info = DataInfo.from_dict(json.loads(json.dumps(data.info.to_dict())))
    assert info == data.info
    assert info.source.streamed
    assert "streamed" not in load("digits").info.source.to_dict()


def test_other_rows_have_another_fingerprint(tmp_path):
    folder = write(tmp_path / "mine", x=X, y=LABELS)
    before, other = load_streamed(folder).train.fingerprint, load_streamed(folder, seed=1).train
    assert load_streamed(folder).train.fingerprint == before
    assert other.fingerprint != before
    np.save(folder / "x.npy", X[::-1])
    assert load_streamed(folder).train.fingerprint != before


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no data folder"):
        load_streamed(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must have x.npy and y.npy.*got nothing"):
        load_streamed(tmp_path / "empty")
    with pytest.raises(ValueError, match="the arrays must be x, y.*got x"):
        load(write(tmp_path / "half", x=X))
    with pytest.raises(ValueError, match="x.npy and y.npy must have the same length, got 30 and 9"):
        load_streamed(write(tmp_path / "uneven", x=X, y=LABELS[:9]))
    text = write(tmp_path / "text", x=X)
    (text / "y.npy").write_text("1, 2, 3")
    with pytest.raises(ValueError, match=r"y\.npy must be an .npy file"):
        load_streamed(text)
    with pytest.raises(ValueError, match="x.npy must hold rows of real numbers"):
        load(write(tmp_path / "complex", x=X * 1j, y=LABELS))
    with pytest.raises(ValueError, match="drop names a column of a .csv.*for a folder"):
        load(write(tmp_path / "mine", x=X, y=LABELS), drop=["a"])
