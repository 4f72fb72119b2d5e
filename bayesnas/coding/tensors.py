"""One tensor as bytes, in the shortest of four ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.coding.huffman import huffman_decode, huffman_encode
from bayesnas.coding.sparse_indices import places_of, steps_of

_MOST_VALUES = 256  # of a symbol of one byte
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
        torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool,
    )
}  # fmt: skip

Parts = list[bytes]
Note = dict[str, Any]


def encode_tensor(value: Tensor) -> tuple[Note, Parts]:
    """A tensor as bytes, exactly.

    ``"raw"``: its numbers as they are. ``"sparse-raw"``: those that are not 0, and the Huffman code
    of the steps from one to the next. With at most 256 different numbers: ``"dense"``, a code book
    and the Huffman code of the index of each entry; or ``"sparse"``, the same of the entries that
    are not 0, and their steps. The shortest is taken. A negative zero may come back as 0.

    Args:
        value: of a real type.

    Returns:
        what :func:`decode_tensor` needs to know, as JSON values, and the parts.

    Raises:
        TypeError: for a tensor of another type.

    >>> note, parts = encode_tensor(torch.eye(40))
    >>> note["coding"], sum(map(len, parts)) < 100  # of 6,400 bytes
    ('sparse', True)
    >>> torch.equal(decode_tensor(note, parts), torch.eye(40))
    True
    """
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise TypeError(f"module must have tensors of {', '.join(_DTYPES)}, got one of {dtype}")
    flat = value.detach().cpu().contiguous().flatten()
    ways = sorted(_ways(flat), key=lambda way: sum(map(len, way[1])))
    coding, parts, counts = ways[0][0], ways[0][1], ways[0][2]
    return {"dtype": dtype, "shape": list(value.shape), "coding": coding, "counts": counts}, parts


def decode_tensor(note: Mapping[str, Any], parts: Parts) -> Tensor:
    """The tensor of :func:`encode_tensor`.

    Raises:
        ValueError: note and parts don't fit each other.
    """
    dtype, shape = _DTYPES[note["dtype"]], torch.Size(note["shape"])
    if note["coding"] == "raw":
        (raw,) = parts
        return _numbers(raw, dtype).reshape(shape)
    numbers = _numbers(parts[0], dtype)
    if note["coding"] == "dense":
        return _looked_up(numbers, huffman_decode(parts[1], shape.numel())).reshape(shape)
    if note["coding"] not in ("sparse", "sparse-raw"):
        raise ValueError(f"coding must be one of four, got {note['coding']!r}")
    entries, steps = note["counts"]
    if note["coding"] == "sparse":
        numbers = _looked_up(numbers, huffman_decode(parts[1], entries))
    if len(numbers) != entries:
        raise ValueError(f"{entries} entries can't have {len(numbers)} numbers")
    flat = torch.zeros(shape.numel(), dtype=dtype)
    flat[_places(parts[-1], entries, steps, shape)] = numbers
    return flat.reshape(shape)


def encode_mask(value: Tensor, mask: Tensor) -> tuple[Note, Parts]:
    """Type and shape of a tensor, and which of its entries a code of their own gives.

    Args:
        value: the tensor.
        mask: boolean, of its shape; the other entries are 0.

    Returns:
        a note as that of :func:`encode_tensor`, its coding ``"posterior"``, and no part where the
        mask is true everywhere, else the steps from one entry to the next.

    >>> note, parts = encode_mask(torch.zeros(3), torch.tensor([True, False, True]))
    >>> decode_mask(note, parts)
    (tensor([ True, False,  True]), torch.float32)
    """
    note = {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
    places = mask.cpu().flatten().nonzero().flatten()
    if len(places) == mask.numel():
        return note | {"coding": "posterior", "counts": []}, []
    steps = steps_of(places.numpy())
    counts = [len(places), len(steps)]
    return note | {"coding": "posterior", "counts": counts}, [huffman_encode(steps)]


def decode_mask(note: Mapping[str, Any], parts: Parts) -> tuple[Tensor, torch.dtype]:
    """The mask of :func:`encode_mask`, and the type of the tensor.

    Raises:
        ValueError: note and parts don't fit each other.
    """
    shape = torch.Size(note["shape"])
    if not note["counts"]:
        return torch.ones(shape, dtype=torch.bool), _DTYPES[note["dtype"]]
    entries, steps = note["counts"]
    mask = torch.zeros(shape.numel(), dtype=torch.bool)
    mask[_places(parts[0], entries, steps, shape)] = True
    return mask.reshape(shape), _DTYPES[note["dtype"]]


def _places(part: bytes, entries: int, steps: int, shape: torch.Size) -> Tensor:
    places = places_of(huffman_decode(part, steps))
    if len(places) != entries or (entries and places[-1] >= shape.numel()):
        raise ValueError(f"{entries} entries can't stand in a tensor of shape {list(shape)}")
    return torch.from_numpy(places)


def _ways(flat: Tensor) -> Iterator[tuple[str, Parts, list[int]]]:
    yield "raw", [_bytes(flat)], []
    if not len(flat) or (flat.is_floating_point() and not bool(flat.isfinite().all())):
        return
    entries = flat.nonzero().flatten()
    steps = steps_of(entries.numpy())
    counts, coded_steps = [len(entries), len(steps)], huffman_encode(steps)
    yield "sparse-raw", [_bytes(flat[entries]), coded_steps], counts
    for coding, values in (("dense", flat), ("sparse", flat[entries])):
        book, indices = values.unique(return_inverse=True)
        if len(book) > _MOST_VALUES:
            continue
        parts = [_bytes(book), huffman_encode(indices.numpy().astype(np.uint8))]
        if coding == "dense":
            yield coding, parts, []
        else:
            yield coding, [*parts, coded_steps], counts


def _looked_up(book: Tensor, indices: npt.NDArray[np.uint8]) -> Tensor:
    places = torch.from_numpy(indices.astype(np.int64))
    if len(places) and int(places.max()) >= len(book):
        raise ValueError(f"an index points beyond the {len(book)} numbers of the code book")
    return book[places]


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().view(torch.uint8).numpy().tobytes() if len(values) else b""


def _numbers(content: bytes, dtype: torch.dtype) -> Tensor:
    if not content:
        return torch.zeros(0, dtype=dtype)
    raw = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return raw.view(dtype) if dtype != torch.bool else raw.bool()
