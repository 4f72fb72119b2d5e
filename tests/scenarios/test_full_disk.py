"""A disk that fills up during a fit costs no result and no checkpoint."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

import bayesnas as bn

FIT = {"steps": 20, "batch_size": 8, "lr": 0.05, "checkpoint_every": 5}


@pytest.fixture(params=["small tmpfs", "failing fsync"])
def disk(request, tmp_path, monkeypatch):
    """A folder, a function that fills its disk up, and one that makes room again."""
    if request.param == "failing fsync":
        yield tmp_path, *_failing(monkeypatch)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(tmp_path)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield tmp_path, lambda: _fill(tmp_path / "filler"), (tmp_path / "filler").unlink
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def _failing(monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    really = os.fsync
    return lambda: monkeypatch.setattr(os, "fsync", full), lambda: monkeypatch.setattr(
        os, "fsync", really
    )


def _fill(path):
    size = 1 << 16
    with path.open("wb", buffering=0) as file:
        while size:  # a write is cut short where there is less room left
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


def test_fit_goes_on_and_the_last_checkpoint_survives(net, xy, numbers, disk):
    folder, fill, make_room = disk
    out, kept = folder / "run", []
    unbroken = numbers(bn.fit(net, xy, **FIT))

    def hook(event):
        if event.step == 8:
            kept.append((out / "checkpoint.safetensors").read_bytes())
            fill()

    with pytest.warns(RuntimeWarning) as said:
        post = bn.fit(net, xy, out=out, on_step=hook, **FIT)
    messages = [str(warning.message) for warning in said]
    # The checkpoints at 10, 15 and 20, and the result.
    assert len(messages) == 4
    assert all("No space left on device" in message for message in messages)
    assert all("checkpoint.safetensors" in message for message in messages[:3])
    assert "done but not saved" in messages[3]
    assert "posterior.safetensors" in messages[3]
    assert numbers(post) == unbroken
    assert (out / "checkpoint.safetensors").read_bytes() == kept[0]
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.safetensors", "run.json"]
    with pytest.raises(FileNotFoundError, match="interrupted midway"):
        bn.load(out)
    with pytest.raises(OSError, match=r"could not write .*No space left"):
        post.save(folder / "other")
    assert not (folder / "other").exists()

    make_room()
    seen = []
    again = bn.fit(net, xy, out=out, on_step=lambda e: seen.append(e.step), resume=True, **FIT)
    assert seen == list(range(6, 21))
    assert numbers(again) == numbers(bn.load(out)) == unbroken
    post.save(folder / "other")
    assert numbers(bn.load(folder / "other")) == unbroken


def test_disk_that_is_full_from_the_start(net, xy, disk):
    folder, fill, make_room = disk
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("keep")
    fill()
    steps = []
    for out in (folder / "new", folder / "mine"):
        with pytest.raises(OSError, match=r"could not write .*run\.json: No space left"):
            bn.fit(net, xy, out=out, on_step=steps.append, **FIT)
    assert steps == []
    assert not (folder / "new").exists()
    assert [path.name for path in (folder / "mine").iterdir()] == ["notes.txt"]
    make_room()
    bn.fit(net, xy, out=folder / "new", **FIT)


def test_result_that_is_written_but_not_declared_is_no_run(net, xy, numbers, tmp_path, monkeypatch):
    """The disk fills up between the two files of a result."""
    really, declared = os.replace, []

    def replace(source, target):
        if Path(target).name == "run.json":
            declared.append(target)
            if len(declared) > 1:  # not that the run has begun, but that it is finished
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.warns(RuntimeWarning, match=r"not saved: .*could not write .*run\.json"):
        post = bn.fit(net, xy, out=tmp_path / "run", **FIT)
    with pytest.raises(OSError, match=r"run\.json"):
        post.save(tmp_path / "saved")
    monkeypatch.undo()
    assert not (tmp_path / "saved").exists()
    assert (tmp_path / "run" / "posterior.safetensors").exists()
    with pytest.raises(FileNotFoundError, match="interrupted midway"):
        bn.load(tmp_path / "run")
    again = bn.fit(net, xy, out=tmp_path / "run", resume=True, **FIT)
    assert numbers(again) == numbers(post) == numbers(bn.load(tmp_path / "run"))


def test_folder_removed_during_the_fit(net, xy, numbers, tmp_path):
    out = tmp_path / "run"

    def hook(event):
        if event.step == 7:
            for path in out.iterdir():
                path.unlink()
            out.rmdir()

    with pytest.warns(RuntimeWarning, match="No such file or directory"):
        post = bn.fit(net, xy, out=out, on_step=hook, **FIT)
    assert numbers(post) == numbers(bn.fit(net, xy, **FIT))
