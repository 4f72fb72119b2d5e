"""What is drawn while a row is read, such as its augmentation: from seed, epoch and row alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_MASK = (1 << 64) - 1


def row_seed(seed: int, epoch: int, index: int) -> int:
    """A number of 64 bits that differs for every row of every epoch (splitmix64).

    Args:
        seed: of the order of the rows.
        epoch: which pass over the sample.
        index: of the row.

    References:
        Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, 2014.

    >>> len({row_seed(0, epoch, index) for epoch in range(30) for index in range(300)})
    9000
    """
    state = 0
    for part in (seed, epoch, index):
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def seed_row(seed: int, epoch: int, index: int) -> None:
    """Seed the global generators of torch, NumPy and Python for the reading of one row."""
    derived = row_seed(seed, epoch, index)
    torch.default_generator.manual_seed(derived)
    np.random.seed(derived & 0xFFFFFFFF)  # noqa: NPY002  # what transforms of users draw from
    random.seed(derived)


@contextmanager
def global_randomness_kept() -> Iterator[None]:
    """Leave the global random states of torch (CPU), NumPy and Python as they were.

    >>> import torch
    >>> before = torch.get_rng_state()
    >>> with global_randomness_kept():
    ...     seed_row(0, 1, 2)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    torchs, numpys, pythons = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(torchs)
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)
