"""Gaussian numbers that writer and reader of a file draw alike, on any machine."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

_LEVELS = 2**16  # of a draw: 16 bits of the generator
_GRID = 2**12  # draws are multiples of its inverse
_DRAWS = 16  # of one step of the counter: four words of 64 bits
_CANDIDATES, _ORDER = 0, 1  # streams of a seed


@cache
def quantile_table() -> npt.NDArray[np.float32]:
    r"""The quantiles :math:`\Phi^{-1}((i + \frac12) / 2^{16})`, rounded to multiples of 2⁻¹².

    A multiple of 2⁻¹² below 8 is exact in single precision. No quantile is within 10⁻⁹ of the
    middle between two multiples, a million times what a logarithm may be off, so every machine
    rounds each to the same one.

    Returns:
        ``[65536]``, rising, from −4.32 to 4.32.

    >>> table = quantile_table()
    >>> float(table[-1]), bool((table == -table[::-1]).all())
    (4.324951171875, True)
    """
    quantile = NormalDist().inv_cdf
    half = [round(quantile((i + 0.5) / _LEVELS) * _GRID) for i in range(_LEVELS // 2, _LEVELS)]
    upper = np.array(half, dtype=np.float32) / np.float32(_GRID)
    return np.concatenate([-upper[::-1], upper])


def gaussian_candidates(
    seed: int, block: int, first: int, count: int, size: int
) -> npt.NDArray[np.float32]:
    """Draws of N(0, 1), candidates ``first``, ``first + 1``, ... of a block.

    Philox (Salmon et al. 2011), a generator that is a function of its counter, so that one
    candidate of many is drawn alone: the counter says block and candidate, and 16 bits of each word
    a place in :func:`quantile_table`. Only whole numbers and a table: no rounding depends on the
    machine, as it does in ``torch.randn`` or ``Generator.normal``, whose streams also change with
    versions. NumPy keeps that of ``Philox`` (NEP 19).

    Args:
        seed: below 2⁶⁴.
        block: number of the block.
        first: number of the first candidate.
        count: how many candidates.
        size: numbers of a candidate.

    Returns:
        ``[count, size]``.

    >>> many = gaussian_candidates(0, block=3, first=0, count=50, size=20)
    >>> alone = gaussian_candidates(0, block=3, first=41, count=1, size=20)
    >>> bool((alone[0] == many[41]).all())
    True
    """
    steps = -(-size // _DRAWS)
    counter = np.array([first * steps, 0, block, 0], dtype=np.uint64)
    words = np.random.Philox(key=_key(seed, _CANDIDATES), counter=counter).random_raw(
        count * steps * _DRAWS // 4
    )
    places = words.astype("<u8", copy=False).view("<u2").reshape(count, steps * _DRAWS)
    candidates: npt.NDArray[np.float32] = quantile_table()[places[:, :size]]
    return candidates


def shared_order(seed: int, size: int) -> npt.NDArray[np.int64]:
    """A permutation of ``size`` places, the same for everyone who has the seed.

    >>> sorted(shared_order(0, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    words = np.random.Philox(key=_key(seed, _ORDER)).random_raw(size)
    return np.argsort(words, kind="stable")


def _key(seed: int, stream: int) -> npt.NDArray[np.uint64]:
    return np.array([seed, stream], dtype=np.uint64)
