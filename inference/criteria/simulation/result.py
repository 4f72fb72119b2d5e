"""What simulation-based calibration returns: p-values by scalar, and what they say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.checks import names_of
from bayesnas.inference.criteria.simulation.symmetry import symmetry_test, uniformity_test
from bayesnas.typed import typed

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

SIMULATION = "simulation"
PREDICTION = "prediction"


@dataclass(frozen=True)
class SimulatedCalibration:
    """p-values of what data were simulated from, under the posteriors that were fitted to them.

    Attributes:
        p_values: by site, dims ``simulation`` and those of the site: the probability under q of
            less than the true value. Those of predictions are called ``prediction``, with dims
            ``row`` and, of several classes or targets, ``output``.
        model: in words.
        draws: from every posterior.

    >>> import numpy as np, xarray as xr
    >>> uniform = np.linspace(0, 1, 20)[:, None]  # of an exact posterior
    >>> p_values = xr.Dataset({"w": (("simulation", "w_dim_0"), uniform)})
    >>> calibration = SimulatedCalibration(p_values, "a regression", draws=19)
    >>> calibration.table()[["mean", "symmetry"]].round(2).values.tolist()
    [[0.5, 1.0]]
    """

    p_values: xr.Dataset
    model: str
    draws: int

    @typed()
    def table(self, var_names: Sequence[str] | None = None) -> pd.DataFrame:
        r"""A row for every scalar, those least symmetric first.

        - ``mean`` of the p-values: 0.5 of a posterior without bias; above it the posterior lies too
          low, below it too high;
        - ``spread``, their standard deviation over that of a uniform, :math:`1/\sqrt{12}`: 1 of an
          exact posterior, larger (up to 1.73) of one that is too narrow, smaller of one too wide;
        - ``symmetry``, the p-value of Butler's exact test of the symmetry about 1/2, that of Yao
          et al.: small where the posterior is shifted;
        - ``uniformity``, the p-value of Kolmogorov's test, which a wrong width makes small too.

        Of many scalars some of these are small by chance: compare with the level over their number.

        Args:
            var_names: sites to show; None: all.

        Raises:
            ValueError: for a name that is none.
        """
        import pandas as pd

        names = (
            list(self.p_values.data_vars) if var_names is None else names_of("var_names", var_names)
        )
        if unknown := [name for name in names if name not in self.p_values]:
            raise ValueError(
                f"var_names must be out of {list(self.p_values.data_vars)}, got {unknown}"
            )
        frames = []
        for name in names:
            p = self.p_values[name].to_numpy()
            columns = {
                "mean": p.mean(axis=0),
                "spread": p.std(axis=0) * 12**0.5,
                "symmetry": symmetry_test(p),
                "uniformity": uniformity_test(p),
            }
            flat = {column: np.ravel(values) for column, values in columns.items()}
            frames.append(pd.DataFrame(flat, index=self._labels(str(name))))
        return pd.concat(frames).sort_values("symmetry", kind="stable")

    def _labels(self, name: str) -> list[str]:
        """Names of the scalars of a site, as ``az.summary`` has them."""
        values = self.p_values[name].isel(simulation=0)
        if not values.dims:
            return [name]
        labels_by_dim = ([str(each) for each in values[dim].to_numpy()] for dim in values.dims)
        return [f"{name}[{', '.join(labels)}]" for labels in itertools.product(*labels_by_dim)]

    def to_arviz(self) -> xr.DataTree:
        """The p-values as the group ``prior_sbc``, of which ArviZ 1.x draws ``plot_ecdf_pit``."""
        import xarray as xr

        group = self.p_values.rename({SIMULATION: "draw"}).expand_dims("chain")
        group = group.assign_coords(chain=[0], draw=np.arange(group.sizes["draw"]))
        return xr.DataTree.from_dict({"prior_sbc": group})

    def __repr__(self) -> str:
        """How many scalars are out, on one line."""
        table = self.table()
        out = int((table["symmetry"] * len(table) < 0.05).sum())
        return (
            f"SimulatedCalibration({self.model}, {self.p_values.sizes[SIMULATION]} simulations: "
            f"{out} of {len(table)} scalars asymmetric, spread {table['spread'].mean():.2f})"
        )
