"""One group of an ArviZ tree: named arrays become a checked xarray data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bayesnas.export.arviz_version import to_numpy

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray

    from bayesnas.export.arviz_version import Array

    Coords: TypeAlias = Mapping[str, Sequence[Any] | Array]
    Variables: TypeAlias = dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]]

SAMPLE_DIMS = ("chain", "draw")
"""The first dims of whatever is drawn."""


def named(
    group: str,
    values: Mapping[str, Array] | None,
    leading: tuple[str, ...],
    dims: Mapping[str, Sequence[str]],
) -> Variables:
    """Each array with the names of its dimensions."""
    variables: Variables = {}
    for name, value in (values or {}).items():
        array = to_numpy(value)
        rest = array.ndim - len(leading)
        names = tuple(dims.get(name, [f"{name}_dim_{i}" for i in range(rest)]))
        if rest < 0 or len(names) != rest:
            expected = " x ".join((*leading, *names))
            raise ValueError(f"{group}[{name!r}] must be {expected}, got shape {array.shape}")
        variables[name] = ((*leading, *names), array)
    return variables


def dataset(
    group: str, variables: Variables, coords: Coords, sizes: Mapping[str, int], weight: float | None
) -> xarray.Dataset:
    """A group's data set, checked.

    Args:
        group: its name, for messages.
        variables: from `named`.
        coords: dimension name to labels; 0, 1, ... for a dimension that is not in it.
        sizes: what the length of some dimensions must be.
        weight: the KL weight, or None where the group doesn't depend on it.
    """
    import xarray

    known = dict(sizes)
    for name, (names, array) in variables.items():
        if len(set(names)) < len(names):
            raise ValueError(f"dims[{name!r}] must name each dimension once, got {names}")
        for dim, size in zip(names, array.shape, strict=True):
            if known.setdefault(dim, size) != size:
                raise ValueError(
                    f"{group}[{name!r}] must have {known[dim]} along {dim!r}, got {size}"
                )
    used = {dim: known[dim] for names, _ in variables.values() for dim in names}
    # The history may hold λ step by step, in place of the one number.
    stepwise = group == "svi" and "kl_weight" in variables
    scalars = {} if weight is None or stepwise else {"kl_weight": np.float64(weight)}
    _check_names(group, variables, used.keys() | scalars.keys())
    labels = {dim: _labels(dim, size, coords) for dim, size in used.items()}
    return xarray.Dataset(variables, coords={**labels, **scalars})


def _check_names(group: str, variables: Variables, taken: Set[str]) -> None:
    for name in variables:
        if not name or "/" in name:
            raise ValueError(f"{group}: a name must be non-empty and without '/', got {name!r}")
        if name in taken:
            raise ValueError(f"{group}[{name!r}] must not have the name of a dimension or of λ")


def _labels(dim: str, size: int, coords: Coords) -> npt.NDArray[Any] | Sequence[Any]:
    if dim not in coords:
        return np.arange(size)
    labels = coords[dim]
    if len(labels) != size:
        raise ValueError(f"coords[{dim!r}] must have {size} labels, got {len(labels)}")
    return labels if isinstance(labels, Sequence) else to_numpy(labels)


def provenance() -> dict[str, Any]:
    """When, and by which version of what, a tree was made; names are those of ArviZ."""
    return {
        "created_at": datetime.now(UTC).isoformat(),
        "creation_library": "bayesnas",
        "creation_library_version": version("bayesnas"),
        "creation_library_language": "Python",
        "inference_library": "bayesnas",
        "inference_library_version": version("bayesnas"),
        "sample_dims": list(SAMPLE_DIMS),
    }


def attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as netCDF takes them: strings and numbers as they are, the rest as JSON.

    ``sample_dims``, which ArviZ 1.x looks at, stays a list of names.
    """
    plain: dict[str, Any] = {}
    for name, value in values.items():
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        fits = is_number and not (isinstance(value, int) and abs(value) >= 2**63)
        fits |= isinstance(value, str) or name == "sample_dims"
        plain[name] = value if fits else json.dumps(value, default=str)
    return plain
