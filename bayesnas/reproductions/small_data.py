"""What quick reproductions are run on."""

from __future__ import annotations

import bayesnas as bn
from bayesnas.data import DataSet

_TRAIN, _TEST = 10_000, 2_000


def small_data(root: str | None) -> DataSet:
    """A part of MNIST where it is at hand, else digits.

    Args:
        root: folder of downloaded data sets, None for the usual one.
    """
    try:
        data = bn.data.load("mnist", root=root, download=False)
    except FileNotFoundError:
        return bn.data.load("digits")
    assert data.test is not None
    return DataSet(data.name, data.train.first(_TRAIN), test=data.test.first(_TEST))
