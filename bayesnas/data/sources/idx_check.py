"""The idx files of the MNIST family: is one whole?"""

from __future__ import annotations

import math
from pathlib import Path


def check_idx(path: Path, dims: int) -> int:
    """Check that an idx file of bytes holds what its header promises.

    The header is the magic number 0x0000 08 dd (08: unsigned bytes, dd: the number of
    dimensions), then dd big-endian 32-bit sizes; the values follow, a byte each (Y. LeCun,
    C. Cortes and C. Burges, The MNIST database, 1998).

    Args:
        path: the file.
        dims: dimensions it must have: 3 for images, 1 for labels.

    Returns:
        The size of the first dimension: how many images or labels there are.

    Raises:
        ValueError: the file is shorter or longer than its header says, or is no such file.
    """
    length = 4 * (1 + dims)
    with path.open("rb") as file:
        header = file.read(length)
    if len(header) == length and header[:4] != bytes([0, 0, 8, dims]):
        raise ValueError(
            f"{path} must be an idx file of bytes with {dims} dimensions, magic number "
            f"0x000008{dims:02x}, got 0x{header[:4].hex()}"
        )
    sizes = [int.from_bytes(header[at : at + 4], "big") for at in range(4, length, 4)]
    expected = length + math.prod(sizes)
    size = path.stat().st_size
    if len(header) < length or size != expected:
        what = "is truncated" if size < expected else "is longer than its header says"
        raise ValueError(f"{path} {what}: expected {expected:,} bytes, got {size:,}")
    return sizes[0]
