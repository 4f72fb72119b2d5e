"""Huffman codes of byte-sized symbols: zlib's, in a DEFLATE stream without matches."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

_RAW, _MEMORY = -15, 9  # no header or checksum; the largest blocks, each with a code of its own


def huffman_encode(symbols: npt.NDArray[np.uint8]) -> bytes:
    """Symbols in Huffman codes, with what is needed to read them again.

    DEFLATE (RFC 1951) with ``Z_HUFFMAN_ONLY``: every block of up to 2¹⁵ symbols has a canonical
    Huffman code of its own, the end of the block among them, its lengths at most 15 bits and
    themselves coded. So a symbol takes less than one bit above the entropy of its block, and a
    block some 10 to 60 bytes.

    Args:
        symbols: ``[n]``.

    References:
        Huffman, *A method for the construction of minimum-redundancy codes*, 1952.

    >>> import numpy as np
    >>> symbols = np.array([0, 0, 0, 0, 1, 2] * 200, dtype=np.uint8)  # entropy 1.25 bits
    >>> len(huffman_encode(symbols)) * 8 / 1200 < 2.25
    True
    >>> huffman_decode(huffman_encode(symbols), 1200).tolist() == symbols.tolist()
    True
    """
    coder = zlib.compressobj(9, zlib.DEFLATED, _RAW, _MEMORY, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(np.ascontiguousarray(symbols).tobytes()) + coder.flush()


def huffman_decode(content: bytes, count: int) -> npt.NDArray[np.uint8]:
    """The symbols of :func:`huffman_encode`.

    Args:
        content: the whole stream.
        count: how many symbols it holds.

    Raises:
        ValueError: it is no such stream, or holds another number of symbols.
    """
    coder = zlib.decompressobj(_RAW)
    try:
        symbols = coder.decompress(content, count + 1)
    except zlib.error as error:
        raise ValueError(f"content is no Huffman stream: {error}") from error
    if len(symbols) != count or not coder.eof or coder.unused_data:
        raise ValueError(f"content must hold {count} symbols, got {len(symbols)}")
    return np.frombuffer(symbols, dtype=np.uint8)
