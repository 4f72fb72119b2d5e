"""Files are whole or not there, and nothing but a file makes room for one."""

import os

import pytest

from bayesnas.files import check_place, write_atomically, write_new


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_not_replaced(tmp_path, linked):
    pipe, place = tmp_path / "pipe", tmp_path / ("link" if linked else "pipe")
    os.mkfifo(pipe)
    if linked:
        place.symlink_to(pipe)
    with pytest.raises(FileExistsError, match="pipe or device"):
        write_atomically(place, b"numbers")
    assert pipe.is_fifo()
    assert place.is_symlink() == linked
    assert len(list(tmp_path.iterdir())) == 1 + linked


def test_a_pipe_is_no_place(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FileExistsError, match="pipe or device"):
        check_place("out", tmp_path / "pipe.png", [".png"])


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"new"]
    with pytest.raises(FileExistsError, match="there already"):
        write_new(path, b"newer")
    assert path.read_bytes() == b"new"
