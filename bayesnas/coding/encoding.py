"""A network as a file of few bytes, and back."""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bayesnas.checks import shown
from bayesnas.coding.notes import packed, unpacked
from bayesnas.coding.tensors import (
    Parts,
    decode_mask,
    decode_tensor,
    encode_mask,
    encode_tensor,
)
from bayesnas.coding.weight_code import WeightCode
from bayesnas.files import path_of, write_new
from bayesnas.memory import available_memory
from bayesnas.nn.graphs.net_spec import build_net, describe_net
from bayesnas.typed import typed
from bayesnas.untrusted_files import check_file, untrusted_file

_MAGIC = b"BNET"
_FORMAT = 2  # 1 had no preset dictionary for its notes, and is read as well
_BYTES = 32  # of memory a number, while it is decoded
_HEAD = struct.Struct("<4sBIII")  # magic, format, length and CRC-32 of the rest, length of notes


@typed()
def encode(module: nn.Module, path: str | os.PathLike[str]) -> int:
    """Write a network to a file of few bytes, from which :func:`decode` gives it back exactly.

    The file holds the layers as JSON, and each tensor in the shortest of four ways: all its numbers
    or those that are not 0 with their places, as they are, or, where at most 256 are different, as
    a code book and Huffman codes (:func:`~bayesnas.coding.tensors.encode_tensor`). So a network is
    small once its weights are pruned and shared, by ``bayesnas.prune`` and ``bayesnas.quantise``
    (Han, Mao, Dally, *Deep compression*, 2016). No pickle; a file that is there is never replaced.

    Args:
        module: a plain network of layers that have a JSON description.
        path: of the new file.

    Returns:
        its size in bytes.

    Raises:
        FileExistsError: the file is there.
        FileNotFoundError: its folder is not.
        UndescribableNetError: layers that have no JSON description.
        TypeError: a tensor of complex numbers and the like.
        OSError: the file can't be written; nothing is left of it.

    >>> import torch, bayesnas as bn
    >>> net = nn.Sequential(nn.Linear(300, 20), nn.Tanh())
    >>> small = bn.prune(net, (torch.randn(9, 300), torch.arange(9)), fraction=0.99).module
    >>> bn.encode(small, "net.bin") < 1000  # bytes; 24,080 of the numbers alone
    True
    >>> torch.equal(bn.decode("net.bin")(torch.ones(1, 300)), small(torch.ones(1, 300)))
    True
    """
    return write_network(module, path)


def write_network(
    module: nn.Module, path: str | os.PathLike[str], code: WeightCode | None = None
) -> int:
    """Write a file for :func:`decode`, some of its tensors by a code of their own.

    Args:
        module: a plain network of layers that have a JSON description.
        path: of the new file.
        code: of the tensors that it names, whose values in the network don't count.

    Returns:
        its size in bytes.

    Raises:
        FileExistsError, FileNotFoundError, UndescribableNetError, OSError: as :func:`encode`.
    """
    target = check_new(path)
    content = network_bytes(module, code)
    write_new(target, content)
    return len(content)


@typed()
def decode(path: str | os.PathLike[str]) -> nn.Module:
    """The network in a file of :func:`encode`, in evaluation mode.

    Also one in a file that :class:`~bayesnas.inference.Coded` wrote, whose weights are candidates
    of a generator: the same numbers on any machine.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated, damaged, of another format, or no file of :func:`encode`.

    >>> import torch, bayesnas as bn, tempfile
    >>> net = bn.nn.mlp([4, 3, 2])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = bn.encode(net, f"{folder}/net.bin")
    ...     again = bn.decode(f"{folder}/net.bin")
    >>> bool((again(torch.ones(1, 4)) == net(torch.ones(1, 4))).all())
    True
    """
    source = path_of("path", path)
    check_file(source, available_memory())
    return _network(source.read_bytes(), source)


def check_new(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """The path, if a file can be written there.

    Args:
        path: to be written.
        argument: what errors call it.

    Raises:
        FileExistsError: it is there already.
        FileNotFoundError: its folder is not.
    """
    target = path_of(argument, path)
    if target.exists():
        raise FileExistsError(f"{argument}: {target} is there already; give another path")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{argument}: there is no folder {target.parent} to write {target.name} to"
        )
    return target


def network_bytes(module: nn.Module, code: WeightCode | None = None) -> bytes:
    """The content of a file of :func:`write_network`."""
    notes: list[Any] = []
    blobs: list[bytes] = []
    masks = {} if code is None else code.layout.masks
    for name, value in module.state_dict().items():
        note, parts = encode_mask(value, masks[name]) if name in masks else encode_tensor(value)
        notes.append([name, *note.values(), [len(part) for part in parts]])
        blobs += parts
    if code is not None:
        blobs.append(code.to_bytes())
    described = packed([describe_net(module), notes])
    rest = described + b"".join(blobs)
    return _HEAD.pack(_MAGIC, _FORMAT, len(rest), zlib.crc32(rest), len(described)) + rest


def _network(content: bytes, path: Path) -> nn.Module:
    if not content.startswith(_MAGIC):
        raise ValueError(f"{path} is no file of bayesnas.encode: it does not begin with BNET")
    if len(content) < _HEAD.size:
        raise ValueError(f"{path} is truncated: {len(content)} bytes, not even its head")
    _, form, length, checksum, described = _HEAD.unpack_from(content)
    if not 1 <= form <= _FORMAT:
        raise ValueError(f"{path} must be of format 1 or {_FORMAT}, got {form}")
    rest = content[_HEAD.size :]
    if len(rest) < length:
        raise ValueError(f"{path} is truncated: {len(content)} of {_HEAD.size + length} bytes")
    if len(rest) > length or zlib.crc32(rest) != checksum:
        raise ValueError(f"{path} is damaged: its checksum is another")
    with untrusted_file(path, "network of bayesnas.encode"):
        spec, notes = unpacked(rest[:described])
        _check_sizes(notes)
        state = _state(notes, rest[described:])
        if not isinstance(spec, dict):
            raise TypeError(f"its layers must be described by a mapping, got {shown(spec)}")
        net = build_net(spec)
        net.load_state_dict(state)
    return net.eval()


def _check_sizes(notes: Sequence[Any]) -> None:
    """Raise ValueError where memory has no room for what a few bytes may stand for."""
    entries = sum(math.prod(map(int, shape)) for _, _, shape, *_ in notes)
    if _BYTES * entries > available_memory():
        raise ValueError(f"its {entries:,} numbers take more memory than is free")


def _state(notes: Sequence[Any], content: bytes) -> dict[str, Tensor]:
    state, masks, dtypes, at = {}, {}, {}, 0
    for name, dtype, shape, coding, counts, sizes in notes:
        parts: Parts = []
        for size in sizes:
            parts.append(content[at : at + size])
            at += size
        note = {"dtype": dtype, "shape": shape, "coding": coding, "counts": counts}
        if coding == "posterior":
            masks[name], dtypes[name] = decode_mask(note, parts)
            state[name] = masks[name]  # keeps the order
        else:
            state[name] = decode_tensor(note, parts)
    if masks:
        weights = WeightCode.from_bytes(content[at:], masks).weights()
        state |= {name: value.to(dtypes[name]) for name, value in weights.items()}
    return state
