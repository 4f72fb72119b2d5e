"""Rows of an .npy file: those that NumPy reads, however the file is laid out and read."""

from __future__ import annotations

import copy
import os
import pickle

import numpy as np
import pytest
import torch

from bayesnas.data.streams import file_rows
from bayesnas.data.streams.file_rows import FileRows


@pytest.fixture(params=["mapped", "row by row"])
def way(request, monkeypatch):
    if request.param == "row by row":
        monkeypatch.setattr(file_rows, "available_memory", lambda: 0.0)
    return request.param


@pytest.mark.parametrize("dtype", ["f4", ">f8", "u1", "<u2", "i8", "?", "f2"])
def test_rows_are_those_of_numpy(tmp_path, way, dtype):
    array = (np.arange(120).reshape(20, 3, 2) % 7).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    rows = torch.tensor([3, 19, 0, 3])
    whole = FileRows(tmp_path / "a.npy")
    some = FileRows(np.load(tmp_path / "a.npy", mmap_mode="r")[5:15])
    assert (len(whole), len(some)) == (20, 10)
    assert (whole._mapped is not None) == (way == "mapped")
    for read, expected in ((whole[rows], array[[3, 19, 0, 3]]), (some[rows[::3]], array[[8, 8]])):
        assert np.array_equal(read.numpy(), expected)
        assert read.shape == expected.shape


def test_another_process_opens_the_file_anew(tmp_path, way):
    np.save(tmp_path / "a.npy", np.arange(8.0).reshape(4, 2))
    rows = FileRows(tmp_path / "a.npy")
    again = pickle.loads(pickle.dumps(rows))
    assert again._descriptor != rows._descriptor
    assert again[torch.tensor([2])].tolist() == [[4.0, 5.0]]
    assert copy.deepcopy(rows) is rows


def test_a_file_that_shrank_is_named(tmp_path, way):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 10)))
    rows = FileRows(path)
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(OSError, match=r"a\.npy has become shorter: it must have 8128 bytes"):
        rows[torch.tensor([0])]


def test_what_is_no_block_of_rows_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(FileNotFoundError, match=r"a\.npy is not there"):
        FileRows(path)
    path.write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"a\.npy must be an \.npy file of numbers"):
        FileRows(path)
    np.save(path, np.zeros((4, 6)))
    with pytest.raises(ValueError, match="must lie one after the other"):
        FileRows(np.load(path, mmap_mode="r")[:, ::2])
    np.save(path, np.asfortranarray(np.zeros((4, 6))))
    with pytest.raises(ValueError, match="must lie one after the other"):
        FileRows(path)
    np.save(path, np.array(["a", "b"]))
    with pytest.raises(ValueError, match="rows of real numbers"):
        FileRows(path)
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"must be an \.npy file"):
        FileRows(tmp_path / "b.npz")
