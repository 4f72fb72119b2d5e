"""Networks as files: what comes back, how large they are, and what is refused."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.coding.notes import WORDS, packed, unpacked
from bayesnas.nn.graphs.net_spec import describe_net


def a_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ).eval()


def a_sparse_net():
    """A tenth of the weights kept, 8 numbers a layer."""
    net = a_net()
    with torch.no_grad():
        for layer in (net[0], net[4]):
            kept = torch.rand_like(layer.weight) < 0.1
            layer.weight.copy_(kept * layer.weight.mul(20).round().clamp(-4, 4) / 20)
    return net


@pytest.mark.parametrize("make", [a_net, a_sparse_net, lambda: a_sparse_net().double()])
def test_a_network_comes_back_exactly(make, tmp_path):
    net = make()
    size = bn.encode(net, tmp_path / "net.bin")
    assert size == (tmp_path / "net.bin").stat().st_size
    decoded = bn.decode(tmp_path / "net.bin")
    assert not decoded.training
    state = decoded.state_dict()
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    x = torch.randn(5, 1, 8, 8, dtype=net[0].weight.dtype)
    assert torch.equal(decoded(x), net(x))


def test_pruned_and_shared_weights_take_few_bytes(tmp_path):
    net = a_sparse_net()
    dense, sparse = bn.encode(a_net(), tmp_path / "a"), bn.encode(net, tmp_path / "b")
    assert dense > 4 * 1476  # the numbers alone
    # 146 kept weights of at most 4 + 5 bits, and all else as it is.
    assert sparse < dense - 4 * 1476 + 146 * 9 / 8 + 8 * 40


def test_graphs_come_back(tmp_path):
    edges = {("x", "h"): nn.Linear(4, 3), ("h", "y"): nn.Linear(3, 2)}
    graph = bn.nn.Graph(edges, example=torch.zeros(2, 4))
    bn.encode(graph, tmp_path / "graph.bin")
    x = torch.randn(5, 4)
    assert torch.equal(bn.decode(tmp_path / "graph.bin")(x), graph(x))


def test_a_file_that_is_there_and_a_folder_that_is_not(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="mine is there already; give another path"):
        bn.encode(a_net(), tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*no to write net.bin to"):
        bn.encode(a_net(), tmp_path / "no" / "net.bin")
    with pytest.raises(FileNotFoundError):
        bn.decode(tmp_path / "none")


def test_any_truncation_is_named(tmp_path):
    bn.encode(a_sparse_net(), tmp_path / "net.bin")
    content = (tmp_path / "net.bin").read_bytes()
    for length in {0, 3, 4, 5, 16, 17, 100, len(content) // 2, len(content) - 1}:
        (tmp_path / "cut.bin").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cut.bin is (truncated|no file of bayesnas.encode)"):
            bn.decode(tmp_path / "cut.bin")


def test_any_changed_byte_is_named(tmp_path):
    bn.encode(a_sparse_net(), tmp_path / "net.bin")
    content = bytearray((tmp_path / "net.bin").read_bytes())
    for place in range(0, len(content), 37):
        changed = bytearray(content)
        changed[place] ^= 0x55
        (tmp_path / "bad.bin").write_bytes(changed)
        with pytest.raises(ValueError, match="bad.bin"):
            bn.decode(tmp_path / "bad.bin")


@pytest.mark.parametrize("content", [b"PK\x03\x04" * 99, b"", b"x", b"\x80\x04\x95pickle"])
def test_another_program_s_file_is_named(content, tmp_path):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match=r"other is no file of bayesnas.encode"):
        bn.decode(tmp_path / "other")


@pytest.mark.parametrize(
    "described", [b"{}", b"[1,2]", b"[[],[]]", b'[{"format":1,"type":"Evil"},[]]', b"no json"]
)
def test_a_description_of_nothing_is_named(described, tmp_path):
    packed = zlib.compress(described)
    head = struct.pack("<5sIII", b"BNET\x01", len(packed), zlib.crc32(packed), len(packed))
    (tmp_path / "bad").write_bytes(head + packed)
    with pytest.raises(
        ValueError, match="bad is truncated, damaged or no network of bayesnas.encode"
    ):
        bn.decode(tmp_path / "bad")


def test_another_format_is_named(tmp_path):
    bn.encode(a_net(), tmp_path / "net.bin")
    content = bytearray((tmp_path / "net.bin").read_bytes())
    content[4] = 9
    (tmp_path / "new.bin").write_bytes(content)
    with pytest.raises(ValueError, match="new.bin must be of format 1 or 2, got 9"):
        bn.decode(tmp_path / "new.bin")


def test_a_file_of_the_first_format_is_read(tmp_path):
    """Its notes were deflated without a dictionary."""
    net = a_net()
    bn.encode(net, tmp_path / "new.bin")
    content = (tmp_path / "new.bin").read_bytes()
    (length,) = struct.unpack_from("<I", content, 13)
    text = json.dumps(unpacked(content[17 : 17 + length]), separators=(",", ":")).encode()
    notes = zlib.compress(text, 9)
    rest = notes + content[17 + length :]
    head = struct.pack("<5sIII", b"BNET\x01", len(rest), zlib.crc32(rest), len(notes))
    (tmp_path / "old.bin").write_bytes(head + rest)
    old = bn.decode(tmp_path / "old.bin").state_dict()
    assert all(torch.equal(old[name], value) for name, value in net.state_dict().items())


def test_the_words_that_files_refer_to_stay():
    """Files of others could not be read with other words; those would be a new format."""
    assert hashlib.sha256(WORDS).hexdigest()[:16] == "4605b129b8bdb437"


def test_notes_of_a_network_take_few_bytes():
    net = bn.nn.convnet((10, 15), (54,))
    tensors = [
        [name, "float32", list(v.shape), "raw", [], [0]] for name, v in net.state_dict().items()
    ]
    notes = [describe_net(net), tensors]
    content = packed(notes)
    assert unpacked(content) == notes
    assert len(content) < 110 < 300 < len(zlib.compress(json.dumps(notes).encode(), 9))
    with pytest.raises(ValueError, match="end too early"):
        unpacked(content[:-6])


@pytest.mark.parametrize(
    "indices",
    [
        [],
        [5, 3, 4, 9, 2, 1, 0, 7, 8],
        [3, 3, 4, 5, 6, 7, 8, 9, 10],
        [0.5 * place for place in range(20)],
        [False, True, 2, 3, 4, 5, 6, 7, 8, 9],
        list(range(-4, 30)),
    ],
)
def test_any_list_of_notes_comes_back(indices):
    again = unpacked(packed([["inputs", {"indices": indices}]]))[0][1]["indices"]
    assert again == indices
    assert [type(each) for each in again] == [type(each) for each in indices]


def test_which_inputs_are_read_takes_few_bytes(tmp_path):
    """300 of 784 are 762 bits by entropy."""
    indices = torch.randperm(784, generator=torch.Generator().manual_seed(0))[:300].sort().values
    net = nn.Sequential(bn.nn.SelectInputs(indices.tolist()), nn.ReLU())
    assert bn.encode(net, tmp_path / "net.bin") < 250
    x = torch.randn(3, 784)
    assert torch.equal(bn.decode(tmp_path / "net.bin")(x), net(x))
