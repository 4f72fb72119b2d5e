"""Names of dimensions and labels along them: of the model, of the data, and the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnas.data import Inputs
from bayesnas.data.inputs import AnyInputs
from bayesnas.export.feature_coords import feature_coords
from bayesnas.inference.runs.run_folder import Example
from bayesnas.models.base import BayesianModel

if TYPE_CHECKING:
    import xarray as xr

Arrays = Mapping[str, npt.NDArray[Any]]

_ROWS = "obs"


@dataclass(frozen=True)
class GivenNames:
    """Names that the user gives.

    Attributes:
        dims: of a variable, all but chain and draw, in the place of the usual ones; the first of
            the targets goes for the rows of whatever has some.
        coords: labels by dim.
    """

    dims: Mapping[str, Sequence[str]]
    coords: Mapping[str, Sequence[Any]]


class TreeNames:
    """Names of the dims of every variable of a tree, and labels along them.

    Args:
        model: that was fitted.
        structure: of ``model.structure()``, whose labels go for the same dims.
        sites: draws of its sites, ``[chain, draw, ...]``.
        features: names of the columns of x; None where they have none.
        data: inputs and targets of the tree.
        given: by the user.
    """

    def __init__(
        self,
        model: BayesianModel,
        structure: xr.Dataset,
        sites: Arrays,
        features: Sequence[str] | None,
        data: Example | None,
        given: GivenNames,
    ) -> None:
        """Name everything; see the class."""
        usual: dict[str, Sequence[str]] = {
            **{str(name): tuple(map(str, v.dims)) for name, v in structure.data_vars.items()},
            **model.point_estimate_dims(),
            **model.site_dims(),
            **_of_data(model, data),
        }
        self.coords = {
            **{str(dim): values.to_numpy() for dim, values in structure.coords.items()},
            **_of_features(model, sites, features, data),
        }
        self.dims = self._renamed(usual, given.dims, model.target_site)
        known = {name: value.shape[2:] for name, value in sites.items()}
        _check(given, self.dims, {**known, **_shapes(model, data)})
        self.coords |= given.coords

    def _renamed(
        self, usual: Mapping[str, Sequence[str]], given: Mapping[str, Sequence[str]], target: str
    ) -> dict[str, Sequence[str]]:
        """The given names in the place of the usual ones; labels stay with their dims."""
        rows = {_ROWS: given[target][0]} if given.get(target) else {}
        dims_of = {name: tuple(rows.get(dim, dim) for dim in dims) for name, dims in usual.items()}
        for name, dims in given.items():
            for old, new in zip(dims_of.get(name, ()), dims, strict=False):
                if old in self.coords:
                    self.coords.setdefault(new, self.coords[old])
        return {**dims_of, **{name: tuple(dims) for name, dims in given.items()}}


def constant_data(x: AnyInputs) -> dict[str, npt.NDArray[Any]]:
    """Inputs as ``x``; several by their names, or as ``x0``, ``x1``, ... by place."""
    if not isinstance(x, Inputs):
        return {"x": x.cpu().numpy()}
    names = x.names or [f"x{place}" for place in range(len(x.leaves))]
    return {name: leaf.cpu().numpy() for name, leaf in zip(names, x.leaves, strict=True)}


def _shapes(model: BayesianModel, data: Example | None) -> dict[str, tuple[int, ...]]:
    if data is None:
        return {}
    shapes = {name: values.shape for name, values in constant_data(data[0]).items()}
    return {model.target_site: tuple(data[1].shape), **shapes}


def _of_data(model: BayesianModel, data: Example | None) -> dict[str, Sequence[str]]:
    return {
        name: (_ROWS, *(f"{name}_dim_{axis}" for axis in range(1, len(shape))))
        for name, shape in _shapes(model, data).items()
    }


def _of_features(
    model: BayesianModel, sites: Arrays, names: Sequence[str] | None, data: Example | None
) -> dict[str, Any]:
    """Names of the columns of x, wherever they lie along a dimension."""
    dims = model.site_dims()
    named = {site: dims[site] for site in sites if site in dims}
    sizes = {
        dim: size
        for site, each in named.items()
        for dim, size in zip(each, sites[site].shape[2:], strict=True)
    }
    coords: dict[str, Any] = {
        **feature_coords(names, dims.values(), sizes, getattr(model, "net", None))
    }
    if data is not None and names is not None and data[0].shape[1:] == (len(names),):
        coords["x_dim_1"] = list(names)
    return coords


def _check(
    given: GivenNames, dims: Mapping[str, Sequence[str]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise ValueError for names of what the tree does not have."""
    for name, names in given.dims.items():
        if name not in shapes:
            raise ValueError(f"dims must name dimensions of {list(shapes)}, got those of {name!r}")
        if isinstance(names, str) or len(names) != len(shapes[name]):
            raise ValueError(
                f"dims[{name!r}] must name {len(shapes[name])} dimensions, got {names!r}"
            )
    known = {dim for names in dims.values() for dim in names}
    for dim, labels in given.coords.items():
        if dim not in known:
            raise ValueError(f"coords must label dimensions out of {sorted(known)}, got {dim!r}")
        if np.ndim(labels) != 1:
            raise ValueError(f"coords[{dim!r}] must be a sequence of labels, got {labels!r}")
