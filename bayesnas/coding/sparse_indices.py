"""Places of the entries of a sparse array, as steps from one to the next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_FILLER = 255  # goes on by so many places, without an entry


def steps_of(places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Rising places as steps of a byte: how many places are passed over since the last entry.

    A gap of 255 or more is filled up by steps of 255 that stand at no entry, the zero filler of
    Han, Mao, Dally (*Deep compression*, 2016), here without a value. The source has steps of 5 or
    8 bits before its Huffman code; under the code the width costs nothing.

    Args:
        places: ``[entries]``, rising, from 0 on.

    >>> import numpy as np
    >>> steps_of(np.array([0, 1, 4, 300])).tolist()
    [0, 0, 2, 255, 40]
    """
    gaps = np.diff(places, prepend=-1) - 1
    fillers = gaps // _FILLER
    steps = np.full(len(gaps) + int(fillers.sum()), _FILLER, dtype=np.uint8)
    steps[np.cumsum(fillers + 1) - 1] = gaps % _FILLER
    return steps


def places_of(steps: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The places that :func:`steps_of` made steps of.

    >>> import numpy as np
    >>> places_of(np.array([0, 0, 2, 255, 40], dtype=np.uint8)).tolist()
    [0, 1, 4, 300]
    """
    is_entry = steps != _FILLER
    ends = np.cumsum(steps.astype(np.int64) + is_entry) - 1
    places: npt.NDArray[np.int64] = ends[is_entry]
    return places
