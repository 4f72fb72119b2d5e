"""The structure that a posterior speaks of, as tables with the names of its parts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.inference import Posterior
from bayesnas.models.regression.base import LinearModel

if TYPE_CHECKING:
    import xarray as xr

_LARGEST, _SMALLEST = 12, 6
_MATRIX = (40, 12)  # rows and columns of what is shown whole


@dataclass(frozen=True)
class StructureRow:
    """One part of the structure.

    Attributes:
        label: its name.
        value: in [0, 1].
        more: what else is known of it, such as its coefficient.
    """

    label: str
    value: float
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class StructureTable:
    """One variable of ``post.structure()``, or its means along one dimension.

    Attributes:
        name: of the variable.
        about: what its rows are.
        count: values of the variable.
        above_half: of them above ½.
        heading: of the columns: name, value, and what else is known.
        rows: by their value, the largest first; the largest and the smallest where there are many.
        left_out: rows between these.
    """

    name: str
    about: str
    count: int
    above_half: int
    heading: tuple[str, ...]
    rows: tuple[StructureRow, ...]
    left_out: int

    @property
    def gap(self) -> int | None:
        """Index of the row behind which some are left out; None where all are shown."""
        return _LARGEST - 1 if self.left_out else None


@dataclass(frozen=True)
class StructureMatrix:
    """A variable that is shown whole: operations of edges, for one.

    Attributes:
        name: of the variable.
        row_dim: what the rows are.
        columns: their names.
        rows: name and values of each.
    """

    name: str
    row_dim: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]


def quantity_of(post: Posterior) -> str:
    """What the values of the structure are, in a few words; empty where the model has none."""
    structure = post.structure()
    return str(structure.attrs.get("quantity", "probabilities")) if len(structure.data_vars) else ""


def structure_tables(post: Posterior) -> list[StructureTable | StructureMatrix]:
    """A table for every variable of ``post.structure()``.

    A small matrix with names along both dimensions is shown whole. Of other variables of several
    dimensions a row is the mean over all but one: the features where they have names, else the
    first, units or filters.

    >>> import bayesnas as bn
    >>> data = bn.data.load("diabetes", standardise=True)
    >>> post = bn.fit(bn.models.ArdRegression(10), data.train, steps=100, lr=0.03, progress=False)
    >>> (table,) = structure_tables(post)
    >>> table.heading, table.rows[0].label
    (('feature', 'inclusion', 'coefficient', 'sd'), 'bmi')
    """
    structure = post.structure()
    return [_table(post, str(name), variable) for name, variable in structure.data_vars.items()]


def _table(post: Posterior, name: str, variable: xr.DataArray) -> StructureTable | StructureMatrix:
    dims = [str(dim) for dim in variable.dims]
    if len(dims) == 2 and all(d in variable.coords for d in dims) and _is_small(variable.shape):
        rows = zip(_labels(variable, dims[0]), variable.values.tolist(), strict=True)
        columns = tuple(_labels(variable, dims[1]))
        return StructureMatrix(name, dims[0], columns, tuple((r, tuple(v)) for r, v in rows))
    kept = next((dim for dim in dims if dim in variable.coords), dims[0] if dims else "")
    values = variable.mean([dim for dim in dims if dim != kept]).values.reshape(-1)
    labels = _labels(variable, kept) if dims else [name]
    heading, more = _coefficients(post, kept, len(labels))
    rows_found = [
        StructureRow(label, float(value), others)
        for label, value, others in zip(labels, values, more, strict=True)
    ]
    ordered = sorted(rows_found, key=lambda row: -row.value)
    few = len(ordered) <= _LARGEST + _SMALLEST + 2
    shown = ordered if few else [*ordered[:_LARGEST], *ordered[-_SMALLEST:]]
    rest = [dim for dim in dims if dim != kept]
    measure = f"mean over {', '.join(rest)}" if rest else name.rpartition(".")[2]
    return StructureTable(
        name=name,
        about=kept,
        count=int(variable.size),
        above_half=int((variable.values > 0.5).sum()),
        heading=(kept, measure, *heading),
        rows=tuple(shown),
        left_out=len(ordered) - len(shown),
    )


def _is_small(shape: tuple[int, ...]) -> bool:
    return shape[0] <= _MATRIX[0] and shape[1] <= _MATRIX[1]


def _labels(variable: xr.DataArray, dim: str) -> list[str]:
    if dim in variable.coords:
        return [str(label) for label in variable.coords[dim].values]
    return [str(index) for index in range(variable.sizes[dim])]


def _coefficients(
    post: Posterior, dim: str, count: int
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Mean and standard deviation of the weight of every feature of a regression."""
    model = post.model
    if not isinstance(model, LinearModel) or dim != "feature":
        return (), list(itertools.repeat((), count))
    q = model.weight_posterior()
    variance = q.covariance_matrix.diagonal() if hasattr(q, "covariance_matrix") else q.variance
    means, deviations = model.coefficients().tolist(), np.sqrt(variance.detach().tolist())
    pairs = zip(means, deviations.tolist(), strict=True)
    return ("coefficient", "sd"), [
        (f"{mean:.3g}".replace("-", "−"), f"{sd:.2g}") for mean, sd in pairs
    ]
