"""How much every feature matters to a fitted model, from what it says of the structure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xarray as xr


def first_layer(structure: xr.Dataset, features: int) -> xr.DataArray | None:
    """What a structure says of the inputs, ``[d]``, or of their weights, ``[units, d]``."""
    for variable in structure.data_vars.values():
        if variable.ndim in (1, 2) and variable.shape[-1] == features:
            is_bias = variable.ndim == 1 and str(variable.dims[0]).endswith(".out")
            if not is_bias:
                return variable
    return None


def importances(structure: xr.Dataset, features: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1] for every feature.

    Args:
        structure: of a posterior.
        features: how many there are, d.

    Returns:
        ``[d]``: the inclusion of a feature where the model has one for it, or else the mean over
        the units of the first layer of what the structure says of the feature's weights.

    Raises:
        AttributeError: where the structure says nothing of features.
    """
    inclusion = first_layer(structure, features)
    if inclusion is None:
        raise AttributeError("feature_importances_: the structure of the model has no features")
    values = np.asarray(inclusion.values, dtype=np.float64)
    return values if values.ndim == 1 else np.asarray(values.mean(0))
