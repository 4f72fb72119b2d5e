"""Which rows are held out: seeded, stratified, in the order of the data."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from bayesnas.checks import fraction_in, seed_number


def check_fractions(test: float, validation: float) -> None:
    """Raises ValueError unless both fractions are in [0, 1) and leave something to train on."""
    for name, value in (("test", test), ("validation", validation)):
        fraction_in(name, value, "[0, 1)")
    if test + validation >= 1:
        raise ValueError(f"test + validation must be below 1, got {test} + {validation}")


def check_seed(seed: int) -> None:
    """Raises ValueError unless `seed` is a whole number that a 32-bit generator takes."""
    seed_number("seed", seed, 2**32 - 1)


def hold_out(n: int, count: int, seed: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows that stay and rows that are held out, each in ascending order.

    Drawn by scikit-learn's `train_test_split` with the same seed, each class in proportion where
    every class has rows enough for that; where one has not, a warning says so.

    Args:
        n: number of rows.
        count: how many to hold out.
        seed: of the split.
        labels: `[n]` int64 to stratify by; None: do not.

    Returns:
        Two int64 index tensors; the second is empty where `count` is 0.

    Raises:
        ValueError: nothing would stay.

    Example:
        >>> stay, aside = hold_out(6, 2, 0, torch.tensor([0, 0, 0, 1, 1, 1]))
        >>> len(stay), len(aside)
        (4, 2)
    """
    from sklearn.model_selection import train_test_split

    rows = torch.arange(n)
    if count == 0:
        return rows, rows[:0]
    if count >= n:
        raise ValueError(f"holding out {count} of {n} rows leaves none to train on")
    by = labels.numpy() if labels is not None and _can_stratify(labels, count) else None
    stay, aside = train_test_split(rows.numpy(), test_size=count, random_state=seed, stratify=by)
    return torch.from_numpy(stay).sort().values, torch.from_numpy(aside).sort().values


def _can_stratify(labels: Tensor, count: int) -> bool:
    """Whether each class has two rows, and each side a place for every class."""
    sizes = torch.bincount(labels)
    sizes = sizes[sizes > 0]
    if int(sizes.min()) >= 2 and min(count, len(labels) - count) >= len(sizes):
        return True
    warnings.warn(
        f"the split is not stratified: {len(labels)} rows, {count} of them held out, are too few "
        f"for {len(sizes)} classes with {int(sizes.min())} rows in the smallest",
        stacklevel=8,  # the caller of from_arrays or load
    )
    return False
