"""Densities of the linear-Gaussian latent feature model, its features A integrated out."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def features_given(
    z: Doubles, x: Doubles, noise_scale: float, feature_scale: float
) -> tuple[Doubles, Doubles]:
    """Mean of A given Z and X ``[K, D]``, and the Cholesky factor of its precision ``[K, K]``."""
    precision = z.T @ z / noise_scale**2 + np.eye(z.shape[1]) / feature_scale**2
    mean = np.linalg.solve(precision, z.T @ x / noise_scale**2)
    return mean.astype(np.float64), np.linalg.cholesky(precision).astype(np.float64)


def log_evidence(x: Doubles, z: Doubles, noise_scale: float, feature_scale: float) -> float:
    r"""Ln p(X | Z), A integrated out; every column of X is N(0, σ_A² Z Zᵀ + σ_x² I).

    Args:
        x: ``[N, D]``.
        z: ``[N, K]``.
        noise_scale: σ_x.
        feature_scale: σ_A.

    >>> import numpy as np
    >>> log_evidence(np.zeros((1, 1)), np.zeros((1, 0)), 1.0, 1.0)  # ln N(0; 0, 1)
    -0.918...
    """
    mean, factor = features_given(z, x, noise_scale, feature_scale)
    count, dim = x.shape
    features = z.shape[1]
    log_det = np.log(np.diag(factor)).sum() + features * math.log(feature_scale)
    square = (x * (x - z @ mean)).sum() / noise_scale**2
    constant = count * math.log(2 * math.pi * noise_scale**2)
    return float(-0.5 * (dim * constant + square) - dim * log_det)


class Prediction:
    """p(x_n | z_n, other examples), A integrated out.

    Args:
        z: of the examples, zero in the row of n and of whatever is not given, ``[N, K]``.
        x: ``[N, D]``.
        n: which example.
        noise_scale: σ_x.
        feature_scale: σ_A.
    """

    def __init__(
        self, z: Doubles, x: Doubles, n: int, noise_scale: float, feature_scale: float
    ) -> None:
        """Reduce to K dimensions; see the class."""
        mean, factor = features_given(z, x, noise_scale, feature_scale)
        inverse = np.linalg.inv(factor)
        self._covariance = inverse.T @ inverse  # of every column of A
        self._gram, self._projection = mean @ mean.T, mean @ x[n]
        self._square, self._dim = float(x[n] @ x[n]), x.shape[1]
        self._noise, self._feature = noise_scale**2, feature_scale**2

    def log_density(self, row: Doubles, new: npt.ArrayLike = 0) -> Doubles:
        """Up to a constant, for a row of features and numbers of new ones."""
        square = self._square - 2 * (row @ self._projection) + row @ self._gram @ row
        variance = self._noise + row @ self._covariance @ row + np.asarray(new) * self._feature
        density: Doubles = -0.5 * (self._dim * np.log(variance) + square / variance)
        return density
