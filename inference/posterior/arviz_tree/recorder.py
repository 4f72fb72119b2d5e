"""Arrays that are filled draw by draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor


class Recorder:
    """Arrays ``[chain, draw, ...]`` by name, allocated at the first draw and filled in place."""

    def __init__(self, chains: int, draws: int) -> None:
        self._shape = (chains, draws)
        self.arrays: dict[str, npt.NDArray[Any]] = {}

    def put(self, name: str, chain: int, draw: int, value: Tensor) -> None:
        """Put a value in its place."""
        array = value.detach().cpu().numpy()
        if name not in self.arrays:
            self.arrays[name] = np.empty((*self._shape, *array.shape), dtype=array.dtype)
        self.arrays[name][chain, draw] = array
