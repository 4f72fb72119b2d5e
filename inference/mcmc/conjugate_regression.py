"""Evidence and draws of a linear regression whose terms come and go."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bayesnas.models.nonparametric.belief_network import Doubles


class Regression:
    r"""y = b + X w + ε with w_j ~ N(0, s_w²), b ~ N(0, s_b²), ε ~ N(0, 1/ν).

    Args:
        x: columns that may take part, ``[n, p]``.
        y: ``[n]``.
        precision: ν.
        weight_scale: s_w.
        bias_scale: s_b.
    """

    def __init__(
        self, x: Doubles, y: Doubles, precision: float, weight_scale: float, bias_scale: float
    ) -> None:
        """Form all products once; see the class."""
        design = np.column_stack([np.ones(len(y)), x])
        self._products = precision * (design.T @ design)
        self._targets = precision * (design.T @ y)
        scales = np.full(design.shape[1], weight_scale)
        scales[0] = bias_scale
        self._prior = 1 / scales**2
        self._constant = 0.5 * (
            len(y) * math.log(precision / (2 * math.pi)) - precision * float(y @ y)
        )

    def evidence(self, row: npt.NDArray[np.bool_]) -> float:
        """Ln p(y) with the columns of ``row``, weights and bias integrated out."""
        factor, half = self._solved(row)
        prior = self._prior[_used(row)]
        return (
            self._constant
            + 0.5 * float(np.log(prior).sum() + half @ half)
            - float(np.log(factor.diagonal()).sum())
        )

    def draw(self, row: npt.NDArray[np.bool_], rng: np.random.Generator) -> Doubles:
        """Bias and weights from their posterior, ``[1 + columns of row]``."""
        factor, half = self._solved(row)
        coefficients = np.linalg.solve(factor.T, half + rng.standard_normal(len(half)))
        return coefficients.astype(np.float64, copy=False)

    def _solved(self, row: npt.NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
        """L of the posterior's precision L Lᵀ, and L⁻¹ ν Xᵀy."""
        used = _used(row)
        precision = self._products[np.ix_(used, used)] + np.diag(self._prior[used])
        factor = np.linalg.cholesky(precision).astype(np.float64, copy=False)
        half = np.linalg.solve(factor, self._targets[used]).astype(np.float64, copy=False)
        return factor, half


def _used(row: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    return np.concatenate([[0], 1 + np.flatnonzero(row)])
