"""Damaged and hostile files of every reader beside run folders: refused by name, nothing taken."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zipfile
import zlib

import numpy as np
import pytest
import safetensors.torch
import torch
from fuzz_limits import Hang, limited
from torch import nn

import bayesnas as bn
from bayesnas.coding.notes import packed
from bayesnas.inference import search as s
from bayesnas.inference.learned.rules import MomentumRule
from bayesnas.memory import available_memory

GRAPH = bn.nn.Graph({("x", "y"): [nn.Linear(2, 2), nn.Linear(2, 2)]}, example=torch.zeros(2, 2))
SPACE = s.SearchSpace({"depth": s.Integer(1, 2)})
HUGE = {"type": "Linear", "arguments": {"in_features": 10**7, "out_features": 10**7}}


def write_rule(path):
    bn.inference.LearnedOptimizer(MomentumRule()).save(path)


READERS = {
    "load_net": (bn.nn.load_net, lambda path: bn.nn.save_net(bn.nn.mlp([3, 2]), path)),
    "decode": (bn.decode, lambda path: bn.encode(bn.nn.mlp([3, 2]), path)),
    "Table.load": (s.Table.load, lambda path: s.Table(SPACE, {"a": np.ones(2)}, {}).save(path)),
    "Supernet.load": (
        lambda path: s.Supernet(GRAPH).load(path),
        lambda path: s.Supernet(GRAPH).save(path),
    ),
    "LearnedOptimizer.load": (bn.inference.LearnedOptimizer.load, write_rule),
}


def outcome(read, path):
    """How reading ends."""
    try:
        with limited():
            read(path)
    except Hang:
        return "hang"
    except (ValueError, OSError) as error:
        return "refused" if path.name in str(error) else f"unnamed {error!r}"
    except Exception as error:
        return f"bare {error!r}"
    return "read"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_or_sound(name, path):
    read, write = READERS[name]
    write(path)
    assert outcome(read, path) == "read"
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(60):
        at = rng.randrange(len(content))
        flipped = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        for damaged in (flipped, content[:at]):
            path.write_bytes(damaged)
            assert outcome(read, path) in ("read", "refused"), at


PLACES = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: path.write_bytes(b""),
    "larger than memory": lambda path: (path.touch(), os.truncate(path, 2**42)),
}


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_of_it_is_refused(name, kind, path):
    PLACES[kind](path)
    assert outcome(READERS[name][0], path) == "refused"


def net_file(text):
    return safetensors.torch.save({"a": torch.zeros(1)}, {"bayesnas.net": text})


def encoded(notes):
    """A file of ``encode`` with such notes, its checksum right."""
    return struct.pack("<4sBIII", b"BNET", 2, len(notes), zlib.crc32(notes), len(notes)) + notes


def table_file(head, inflated=b""):
    stream = io.BytesIO()
    np.savez_compressed(stream, head=np.frombuffer(head.encode(), np.uint8))
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("column_a.npy", inflated)
    return stream.getvalue()


NESTED = "[" * 100_000
CONTENTS = {
    "layers nested too deeply": (bn.nn.load_net, net_file(NESTED)),
    "layers of terabytes": (bn.nn.load_net, net_file(json.dumps({"format": 1, **HUGE}))),
    "layers that are a list": (bn.nn.load_net, net_file("[]")),
    "notes nested too deeply": (bn.decode, encoded(zlib.compress(NESTED.encode()))),
    "notes that inflate to gigabytes": (bn.decode, encoded(zlib.compress(b" " * 2**27))),
    "notes of layers of terabytes": (bn.decode, encoded(packed([{"format": 1, **HUGE}, []]))),
    "notes of a mask of terabytes": (
        bn.decode,
        encoded(packed([{}, [["a", "float32", [2**20, 2**21], "posterior", [], []]]])),
    ),
    "notes of another kind": (bn.decode, encoded(packed({"a": 1}))),
    "a head nested too deeply": (s.Table.load, table_file(NESTED)),
    "a head that is a number": (s.Table.load, table_file("3")),
    "no space": (s.Table.load, table_file('{"about": {}}')),
    "no array": (s.Table.load, table_file("{}", b"garbage")),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_content_that_is_made_to_harm_is_refused(kind, path):
    read, content = CONTENTS[kind]
    path.write_bytes(content)
    assert outcome(read, path) == "refused"


def test_an_archive_that_inflates_past_memory_is_refused(path, monkeypatch):
    monkeypatch.setattr("bayesnas.data.sources.csv_npz.available_memory", lambda: 1000.0)
    path.write_bytes(table_file("{}", b" " * 2000))
    assert outcome(s.Table.load, path) == "refused"
    assert available_memory() > 1000
