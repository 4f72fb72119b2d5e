"""Damaged and hostile run folders: a clean refusal or a sound posterior, nothing executed."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import torch
from fuzz_limits import Hang, limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayesnas as bn
from bayesnas.inference.runs.run_folder import RESULT, RUN

JUNK = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            "",
            "a",
            [],
            {},
            [[]],
            {"a": 1},
            -1,
            0,
            1.5,
            10**18,
            10**400,
            1e308,
            "os.system",
        ]
    ),
    st.integers(-(2**70), 2**70),
    st.text(max_size=5),
)


@pytest.fixture
def run(net, xy, tmp_path):
    bn.fit(net, xy, steps=4, batch_size=8, out=tmp_path / "run", progress=False)
    return tmp_path / "run"


def places(value, path=()):
    """Every place of a JSON value."""
    yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in inner:
        yield from places(each, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return copy


def with_header(content, change):
    """A safetensors file with its header changed."""
    length = struct.unpack("<Q", content[:8])[0]
    header = change(content[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def load(run, x):
    """How loading ends; what is loaded has to answer."""
    try:
        with limited():
            post = bn.load(run, device="cpu")
            assert torch.isfinite(post.predict(x, draws=2)).all() or True
            return "sound"
    except Hang:
        return "hang"
    except (ValueError, OSError) as error:
        return "refused" if "run" in str(error) else f"unnamed {error!r}"
    except Exception as error:
        return f"bare {error!r}"


def check(run, x, count):
    whole, result = (run / RUN).read_text(), (run / RESULT).read_bytes()
    content = json.loads(whole)
    where = list(places(content))
    length = struct.unpack("<Q", result[:8])[0]
    header = json.loads(result[8 : 8 + length])
    inside = list(places(header))
    ends = []

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 3), st.data())
    def damaged(kind, data):
        changed, tensors = whole, result
        if kind == 0:
            path = data.draw(st.sampled_from(where))
            changed = json.dumps(replaced(content, path, data.draw(JUNK)))
            said = ".".join(map(str, path))
        elif kind == 1:
            path = data.draw(st.sampled_from(inside))
            other = json.dumps(replaced(header, path, data.draw(JUNK))).encode()
            tensors, said = with_header(result, lambda _: other), ".".join(map(str, path))
        else:
            at = data.draw(st.integers(0, len(result if kind == 2 else whole) - 1))
            byte, said = data.draw(st.integers(0, 255)), f"byte {at}"
            if kind == 2:
                tensors = result[:at] + bytes([byte]) + result[at + 1 :]
            else:
                changed = whole[:at] + chr(byte) + whole[at + 1 :]
        (run / RUN).write_text(changed, encoding="utf-8")
        (run / RESULT).write_bytes(tensors)
        ends.append((load(run, x), f"{kind} {said}"))

    damaged()
    bad = [f"{said}: {end}" for end, said in ends if end not in ("sound", "refused")]
    text = f"{len(ends)} folders, {len(bad)} bad\n" + "\n".join(bad)
    if report := os.environ.get("FUZZ_REPORT"):
        Path(report).write_text(text)
    assert not bad, text


def test_damaged_folders(run, xy):
    check(run, xy[0], int(os.environ.get("FUZZ_FOLDERS", "150")))


@pytest.mark.slow
def test_a_thousand_damaged_folders(run, xy):
    check(run, xy[0], 1400)


def text(before, after):
    """A change of the text of ``run.json``."""

    def change(run):
        content = (run / RUN).read_text()
        assert before in content
        (run / RUN).write_text(content.replace(before, after))

    return change


def instead(name, make):
    """Something else in the place of a file."""

    def change(run):
        (run / name).unlink()
        make(run / name)

    return change


def huge_tensor(run):
    part = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    header = json.dumps({"a": part}).encode()
    (run / RESULT).write_bytes(with_header((run / RESULT).read_bytes(), lambda _: header))


HOSTILE = {
    "nested": lambda run: (run / RUN).write_text("[" * 100_000),
    "nested object": lambda run: (run / RUN).write_text('{"a":' * 100_000),
    "NaN": text('"lr": 0.01', '"lr": NaN'),
    "infinite": text('"lr": 0.01', '"lr": 1e999'),
    "pipe": instead(RUN, os.mkfifo),
    "pipe of tensors": instead(RESULT, os.mkfifo),
    "folder": instead(RUN, os.mkdir),
    "folder of tensors": instead(RESULT, os.mkdir),
    "device": instead(RUN, lambda path: path.symlink_to("/dev/zero")),
    "device of tensors": instead(RESULT, lambda path: path.symlink_to("/dev/zero")),
    "header of terabytes": lambda run: (run / RESULT).write_bytes(struct.pack("<Q", 2**42) + b"{}"),
    "tensor of terabytes": huge_tensor,
    "sparse file": lambda run: os.truncate(run / RUN, 2**40),
    "net of terabytes": text('"in_features": 4', '"in_features": 4000000000000'),
    "steps of terabytes": text('"steps": 4', '"steps": 40000000000000000000'),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_folders_are_refused(run, xy, kind):
    HOSTILE[kind](run)
    assert load(run, xy[0]) == "refused"


def test_nothing_of_a_pickle_is_executed(run, xy, tmp_path):
    class Harm:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    for name in (RUN, RESULT):
        kept = shutil.copy(run / name, tmp_path / "kept")
        torch.save(Harm(), run / name)
        assert load(run, xy[0]) == "refused"
        assert not (tmp_path / "harm").exists()
        shutil.copy(kept, run / name)
