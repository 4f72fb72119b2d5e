"""Weights of a network as indices of candidates, one a block."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.coding.relative_entropy import MOST_BITS
from bayesnas.coding.shared_gaussians import gaussian_candidates, shared_order

_HEAD = struct.Struct("<QBI")  # seed, bits of an index, blocks


@dataclass(frozen=True)
class Layout:
    """Which weights of which tensors are coded, and in which blocks.

    The kept entries of all tensors, one after the other, are put in the order of the seed and cut
    into blocks of equal size, to one.

    Attributes:
        masks: boolean, true where a weight is coded, by name of the tensor; others are 0.
        seed: that writer and reader share.
        blocks: their number.
    """

    masks: Mapping[str, Tensor]
    seed: int
    blocks: int

    @property
    def weights(self) -> int:
        """How many weights are coded."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    def members(self) -> list[npt.NDArray[np.int64]]:
        """The places of every block among the coded weights."""
        order = shared_order(self.seed, self.weights)
        ends = [len(order) * (block + 1) // self.blocks for block in range(self.blocks)]
        return np.split(order, ends[:-1])

    def flat(self, values: Mapping[str, Tensor]) -> Tensor:
        """Coded entries of tensors, ``[weights]``."""
        return torch.cat(
            [
                values[name].flatten() if bool(mask.all()) else values[name][mask]
                for name, mask in self.masks.items()
            ]
        )

    def shaped(self, flat: Tensor) -> dict[str, Tensor]:
        """Tensors of which the coded entries are given, all others 0."""
        pieces = flat.split([int(mask.sum()) for mask in self.masks.values()])
        tensors = {}
        for (name, mask), piece in zip(self.masks.items(), pieces, strict=True):
            if bool(mask.all()):
                tensors[name] = piece.reshape(mask.shape)
            else:
                tensors[name] = flat.new_zeros(mask.shape)
                tensors[name][mask] = piece
        return tensors


@dataclass(frozen=True)
class WeightCode:
    """Weights that are the candidates of given numbers, see :func:`chosen_candidate`.

    Attributes:
        layout: where they stand.
        scales: prior deviations, a number of half precision for each tensor.
        bits: of an index.
        indices: one a block, below 2^bits.
    """

    layout: Layout
    scales: Mapping[str, float]
    bits: int
    indices: tuple[int, ...]

    def weights(self) -> dict[str, Tensor]:
        """The weights by name, single precision: exact products, so the same on any machine."""
        scales = {
            name: torch.full(mask.shape, self.scales[name])
            for name, mask in self.layout.masks.items()
        }
        flat = torch.zeros(self.layout.weights)
        members = self.layout.members()
        for block, (index, places) in enumerate(zip(self.indices, members, strict=True)):
            flat[places] = block_values(self.layout.seed, block, index, len(places))
        return self.layout.shaped(flat * self.layout.flat(scales))

    def to_bytes(self) -> bytes:
        """Seed, bits, number of blocks, scales, and the indices bit by bit."""
        head = _HEAD.pack(self.layout.seed, self.bits, self.layout.blocks)
        scales = np.array(list(self.scales.values()), dtype="<f2").tobytes()
        indices = np.array(self.indices, dtype=np.int64)
        places = np.arange(self.bits - 1, -1, -1)
        digits = (indices[:, None] >> places & 1).astype(np.uint8)
        return head + scales + np.packbits(digits).tobytes()

    @classmethod
    def from_bytes(cls, content: bytes, masks: Mapping[str, Tensor]) -> Self:
        """What :meth:`to_bytes` wrote.

        Raises:
            ValueError: it is none, or of other weights.
        """
        if len(content) < _HEAD.size:
            raise ValueError("a code of weights must have a head")
        seed, bits, blocks = _HEAD.unpack_from(content)
        layout = Layout(masks, seed, blocks)
        start = _HEAD.size + 2 * len(masks)
        if not 1 <= bits <= MOST_BITS or not 1 <= blocks <= layout.weights:
            raise ValueError(f"{layout.weights} weights can't have {blocks} blocks of {bits} bits")
        if len(content) != start + -(-bits * blocks // 8):
            raise ValueError(f"{blocks} blocks of {bits} bits can't be in {len(content)} bytes")
        scales = np.frombuffer(content[_HEAD.size : start], dtype="<f2").astype(np.float64)
        digits = np.unpackbits(np.frombuffer(content[start:], dtype=np.uint8))[: bits * blocks]
        values = digits.reshape(blocks, bits).astype(np.int64) << np.arange(bits - 1, -1, -1)
        named = dict(zip(masks, scales.tolist(), strict=True))
        return cls(layout, named, bits, tuple(values.sum(1).tolist()))


def block_values(seed: int, block: int, index: int, size: int) -> Tensor:
    """The numbers of one candidate, in units of the prior deviation, ``[size]``."""
    return torch.from_numpy(gaussian_candidates(seed, block, index, 1, size)[0])
