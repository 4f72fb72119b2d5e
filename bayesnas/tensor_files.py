"""JSON and tensors in files: written whole or not at all, read with checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bayesnas.checks import shown
from bayesnas.files import write_atomically
from bayesnas.untrusted_files import check_file, untrusted_file


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON metadata as one safetensors file, atomically.

    Tensors that share memory (tied weights) are written once each.
    """
    plain: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        plain[name] = value.clone() if storage in storages else value  # the format has no sharing
        storages.add(storage)
    # One entry: the format writes several in any order, and equal content has to give equal files.
    metadata = json.loads(json.dumps(metadata))  # as it will be read
    header = {"bayesnas": json.dumps({**metadata, "digest": _digest(plain, metadata)})}
    write_atomically(path, safetensors.torch.save(plain, header))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Raises:
        ValueError: naming the file, where it is cut off, not ours, or other than it was written.
    """
    with untrusted_file(path, "file of a bayesnas run"):
        tensors, header = read_safetensors(path)
        metadata = json.loads(header["bayesnas"])
    metadata = _checked_object(path, metadata)
    digest = metadata.pop("digest", "")  # earlier versions wrote none
    if digest not in ("", _digest(tensors, metadata)):
        raise ValueError(f"{path} is damaged: its numbers are not those that were written")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Of names, types, shapes, bytes and metadata: what shows that one bit has changed."""
    text = json.dumps(metadata, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and the words of its header.

    Raises:
        Exception: of many kinds, where it is no such file; none is believed that says more than
            it holds.
    """
    _check_header(path)
    with safetensors.safe_open(path, framework="pt") as stream:
        # Copies: the tensors given lie in the file, which somebody may write over.
        tensors = {name: stream.get_tensor(name).clone() for name in stream.keys()}  # noqa: SIM118
        return tensors, stream.metadata() or {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, atomically."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: naming the file, where it is cut off or not an object.
    """
    check_file(path, _LARGEST_JSON)
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(f"{path} is damaged: its values are nested too deeply") from None
    except ValueError as error:  # of JSON, or of UTF-8
        raise ValueError(f"{path} is truncated or not JSON: {error}") from error
    return _checked_object(path, content)


def check_same_settings(
    place: Path, what: str, stored: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    """Raise ValueError where a file or folder of ``out`` is of other settings than asked for.

    Args:
        place: the file or folder.
        what: it is of, for the message.
        stored: the settings it was written with, as JSON values.
        asked: those of now.

    >>> check_same_settings(Path("runs/a"), "a search", {"lr": 0.1}, {"lr": 0.2})
    Traceback (most recent call last):
    ...
    ValueError: out: runs/a is of a search with lr=0.1, got 0.2: give another folder
    """
    for name in {**asked, **stored}:
        before, now = stored.get(name), asked.get(name)
        if before != now:
            raise ValueError(
                f"out: {place} is of {what} with {name}={shown(before)}, got {shown(now)}: give "
                "another folder"
            )


def _checked_object(path: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


_LARGEST_JSON = 2**26  # bytes; the description of a net of a thousand layers takes a hundredth
_LARGEST_HEADER = 10**8  # bytes, that of the format


def _check_header(path: Path) -> None:
    """Raise ValueError where a header says more than its file holds, before any is believed."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(size - 8, _LARGEST_HEADER):
            raise ValueError(f"its header would take {length:,} of {size:,} bytes")
        header = json.loads(stream.read(length))
    tensors = {name: part for name, part in header.items() if name != "__metadata__"}
    if any(part["data_offsets"][1] > size for part in tensors.values()):
        raise ValueError("its tensors would take more bytes than there are")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
