"""Files of a run that are cut off, changed, missing or of something else: named errors."""

from __future__ import annotations

import io
import shutil

import pytest
import torch
from forged_runs import take_digests_away

import bayesnas as bn
from bayesnas.inference.runs.checkpoint import CHECKPOINT
from bayesnas.inference.runs.run_folder import RESULT, RUN

FIT = {"steps": 6, "batch_size": 8, "lr": 0.05}


@pytest.fixture
def run(net, xy, tmp_path):
    bn.fit(net, xy, out=tmp_path / "run", **FIT)
    return tmp_path / "run"


def lengths(size):
    """Where to cut a file of so many bytes: its ends, its header, its middle."""
    return sorted({0, 1, 7, 8, 9, 50, size // 4, size // 2, size - 200, size - 9, size - 2})


def test_truncated_result(run):
    whole = (run / RESULT).read_bytes()
    for length in [*lengths(len(whole)), len(whole) - 1]:
        (run / RESULT).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"posterior\.safetensors is truncated"):
            bn.load(run)


def test_truncated_description(run, net, xy):
    whole = (run / RUN).read_bytes()
    for length in lengths(len(whole)):
        (run / RUN).write_bytes(whole[:length])
        for act in (lambda: bn.load(run), lambda: bn.fit(net, xy, out=run, resume=True, **FIT)):
            with pytest.raises(ValueError, match=r"run\.json is truncated"):
                act()
        assert (run / RUN).read_bytes() == whole[:length]


def test_truncated_checkpoint(net, xy, tmp_path):
    run = tmp_path / "run"

    def stop(event):
        if event.step == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=run, checkpoint_every=2, on_step=stop, **FIT)
    whole = (run / CHECKPOINT).read_bytes()
    for length in [*lengths(len(whole)), len(whole) - 1]:
        (run / CHECKPOINT).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"checkpoint\.safetensors is truncated"):
            bn.fit(net, xy, out=run, resume=True, **FIT)
        assert (run / CHECKPOINT).read_bytes() == whole[:length]


@pytest.mark.parametrize("name", [RUN, RESULT])
def test_missing_file(run, net, xy, name):
    (run / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        bn.load(run)
    with pytest.raises(FileNotFoundError, match=name):
        bn.fit(net, xy, out=run, resume=True, **FIT)


def test_no_run_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere holds no run: run\.json is missing"):
        bn.load(tmp_path / "nowhere")


def test_interrupted_run_says_how_to_go_on(edit, run):
    edit(run, lambda content: content.update(status="running"))
    with pytest.raises(FileNotFoundError, match="before its first checkpoint.*resume=True"):
        bn.load(run)


@pytest.mark.parametrize("stored", [1, 99, "2", None])
def test_other_format(edit, run, net, xy, stored):
    edit(run, lambda content: content.update(format=stored, versions={"bayesnas": "7.1"}))
    for act in (lambda: bn.load(run), lambda: bn.fit(net, xy, out=run, resume=True, **FIT)):
        with pytest.raises(ValueError, match=r"format .*written by bayesnas 7\.1.*reads format 2"):
            act()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("status"),
        lambda content: content.pop("settings"),
        lambda content: content.pop("data"),
        lambda content: content["settings"].pop("lr"),
        lambda content: content["settings"].update(surplus=1),
        lambda content: content["data"].pop("task"),
        lambda content: content["data"].update(standardisation=[1]),
        lambda content: content.update(model=None),
        lambda content: content["model"].pop("class"),
        lambda content: content["model"]["config"].update(surplus=1),
        lambda content: content["model"]["config"].pop("net"),
        lambda content: content["model"]["config"].update(net="a net"),
    ],
)
def test_damaged_description(edit, run, change):
    edit(run, change)
    with pytest.raises(ValueError, match=r"run\.json"):
        bn.load(run)


@pytest.mark.parametrize("content", ["[]", "3", '"run"', "null", "\xff\xfe"])
def test_description_that_is_no_object(run, content):
    (run / RUN).write_bytes(content.encode("latin1"))
    with pytest.raises(ValueError, match=r"run\.json"):
        bn.load(run)


def test_files_of_two_runs_mixed(run, xy, tmp_path):
    other = bn.models.GaussianNet(bn.nn.mlp([4, 5, 3]))
    bn.fit(other, xy, out=tmp_path / "other", **FIT)
    shutil.copy(tmp_path / "other" / RESULT, run / RESULT)
    with pytest.raises(ValueError, match=r"run\.json is damaged or of another run"):
        bn.load(run)


def test_files_of_two_runs_of_one_net_mixed(run, net, xy, tmp_path):
    """Of the same shapes, but fitted otherwise: nothing else tells them apart."""
    bn.fit(net, xy, out=tmp_path / "other", kl_weight=0.1, **FIT)
    shutil.copy(tmp_path / "other" / RESULT, run / RESULT)
    with pytest.raises(ValueError, match=r"run\.json is damaged or of another run"):
        bn.load(run)


def test_one_bit_of_the_numbers(run):
    """It was loaded, with another weight."""
    whole = bytearray((run / RESULT).read_bytes())
    for place in (-1, -9, -200, -len(whole) // 2):
        changed = whole.copy()
        changed[place] ^= 1
        (run / RESULT).write_bytes(changed)
        with pytest.raises(ValueError, match=r"posterior\.safetensors is (damaged|truncated)"):
            bn.load(run)
    (run / RESULT).write_bytes(whole)
    bn.load(run)


def test_one_digit_of_the_description(run):
    text = (run / RUN).read_text()
    assert '"lr": 0.05' in text
    (run / RUN).write_text(text.replace('"lr": 0.05', '"lr": 0.06'))
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        bn.load(run)


def test_results_without_a_digest_are_loaded(run):
    """As earlier versions wrote them."""
    before = bn.load(run)
    take_digests_away(run)
    assert torch.equal(
        bn.load(run).predict(torch.ones(1, 4), 2), before.predict(torch.ones(1, 4), 2)
    )


def test_file_under_a_wrong_name(edit, run, net, xy):
    shutil.copy(run / RESULT, run / CHECKPOINT)
    edit(run, lambda content: content.update(status="running"))
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is no checkpoint"):
        bn.fit(net, xy, out=run, resume=True, **FIT)
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, buffer)
    (run / RESULT).write_bytes(buffer.getvalue())
    edit(run, lambda content: content.update(status="finished"))
    with pytest.raises(ValueError, match=r"posterior\.safetensors is truncated, damaged or no"):
        bn.load(run)
