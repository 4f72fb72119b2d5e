"""Which generation of ArviZ is installed, and arrays as it wants them."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Array: TypeAlias = npt.NDArray[Any] | Tensor


def arviz() -> Any:
    """ArviZ, without the notice about its next generation that 0.23 gives once a day."""
    with warnings.catch_warnings():
        # The notice asks users to get ready for 1.x. What bayesnas hands out is read by both.
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing", FutureWarning)
        return importlib.import_module("arviz")


def has_inference_data() -> bool:
    """Whether the installed ArviZ is of the generation that has `InferenceData`, 0.x."""
    return int(arviz().__version__.split(".")[0]) < 1


def to_numpy(array: Array) -> npt.NDArray[Any]:
    """A numpy view of an array or tensor; nothing is copied but what lies on another device."""
    detach = getattr(array, "detach", None)
    return np.asarray(array if detach is None else detach().cpu())
