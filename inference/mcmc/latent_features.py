"""Gibbs sampling of the linear-Gaussian latent feature model, its features integrated out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from bayesnas.distributions import IndianBuffet
from bayesnas.inference.mcmc.tree import mcmc_tree
from bayesnas.models.autoencoder import whole
from bayesnas.models.checks import check_positive

if TYPE_CHECKING:
    import xarray as xr

Doubles = npt.NDArray[np.float64]

_MOST_AT_ONCE = 30  # new features of one example in one step; more have no weight to speak of
_SHAPE = _RATE = 1.0  # of the Gamma priors on 1/σ_x², 1/σ_A² and α


@dataclass(frozen=True)
class LatentFeatureState:
    """A point of the chain.

    Attributes:
        z: which examples have which features, ``[N, K]`` of zeros and ones; every feature has one.
        noise_scale: σ_x.
        feature_scale: σ_A.
        mass: α.
    """

    z: Doubles
    noise_scale: float
    feature_scale: float
    mass: float


class LatentFeatureSampler:
    r"""Gibbs sampler of p(Z, σ_x, σ_A, α | X).

    .. math:: x_n \sim N(z_n A, \sigma_x^2 I),\quad A_{kd} \sim N(0, \sigma_A^2),\quad
        Z \sim \mathrm{IndianBuffet}(\alpha, \beta)

    A sweep goes through the examples. Given all others, A is Gaussian, so x_n given z_n is one
    too; with it every z_nk is drawn that another example shares, then the number of features that
    the example has alone (those have their loadings from the prior). Where they are not held
    fixed, σ_x and σ_A follow given a draw of A, and α given the number of features; 1/σ² and α
    have Gamma(1, 1) priors.

    Args:
        x: ``[N, D]``.
        mass: α > 0, None to sample it.
        concentration: β > 0.
        noise_scale: σ_x > 0, None to sample it.
        feature_scale: σ_A > 0, None to sample it.
        rng: random state.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        Griffiths, Ghahramani, *The Indian buffet process: an introduction and review*, 2011;
        Doshi-Velez, Ghahramani, *Accelerated sampling for the Indian buffet process*, 2009.

    >>> import numpy as np
    >>> sampler = LatentFeatureSampler(np.zeros((5, 2)), rng=np.random.default_rng(0))
    >>> sampler.sweep(sampler.start()).z.shape[0]
    5
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        *,
        mass: float | None = 1.0,
        concentration: float = 1.0,
        noise_scale: float | None = None,
        feature_scale: float | None = None,
        rng: np.random.Generator,
    ) -> None:
        """Check data and arguments; see the class."""
        self.x = np.asarray(x, dtype=np.float64)
        if self.x.ndim != 2 or not len(self.x):
            raise ValueError(f"x must have shape [N, D], got {list(self.x.shape)}")
        if not np.isfinite(self.x).all():
            raise ValueError("x must hold finite numbers, got NaN or infinite ones")
        self.concentration = check_positive("concentration", concentration)
        self._fixed = {"mass": mass, "noise_scale": noise_scale, "feature_scale": feature_scale}
        for name, value in self._fixed.items():
            if value is not None:
                check_positive(name, value)
        self.rng = rng

    # Prior --------------------------------------------------------------------------------

    def start(self) -> LatentFeatureState:
        """A draw from the prior."""
        mass = self._given("mass", self.rng.gamma(_SHAPE, 1 / _RATE))
        noise, feature = (
            self._given(name, self.rng.gamma(_SHAPE, 1 / _RATE) ** -0.5)
            for name in ("noise_scale", "feature_scale")
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.rng.integers(2**31)))
            z = IndianBuffet(mass, self.concentration, len(self.x)).sample()
        return LatentFeatureState(z.double().numpy(), noise, feature, mass)

    def _given(self, name: str, drawn: float) -> float:
        fixed = self._fixed[name]
        return drawn if fixed is None else float(fixed)

    # Moves --------------------------------------------------------------------------------

    def sweep(self, state: LatentFeatureState) -> LatentFeatureState:
        """Every z, then the scales and the mass that are not fixed."""
        z = state.z
        for n in range(len(self.x)):
            z = self._row(replace(state, z=z), n)
        state = replace(state, z=z)
        state = self._scales(state)
        if self._fixed["mass"] is None:
            served = np.arange(len(self.x)) + self.concentration
            rate = _RATE + (self.concentration / served).sum()
            mass = self.rng.gamma(_SHAPE + z.shape[1], 1 / rate)
            state = replace(state, mass=mass)
        return state

    def _row(self, state: LatentFeatureState, n: int) -> Doubles:
        """The features of example n given those of all others; columns of nobody go."""
        others = state.z.sum(0) - state.z[n]
        z, counts = state.z[:, others > 0], others[others > 0]
        row, rest = z[n].copy(), z.copy()
        rest[n] = 0.0
        view = _Prediction(rest, self.x, n, state)
        absent = len(z) - 1 + self.concentration - counts
        prior = np.log(counts) - np.log(absent)
        for k in range(len(row)):
            row[k] = 1.0
            log_odds = prior[k] + view.log_density(row)
            row[k] = 0.0
            log_odds -= view.log_density(row)
            row[k] = float(self.rng.random() < special.expit(log_odds))
        new = self._new_features(view, row, state)
        own = np.zeros((len(z), new))
        own[n] = 1.0
        rest[n] = row
        return np.hstack([rest, own])

    def _new_features(self, view: _Prediction, row: Doubles, state: LatentFeatureState) -> int:
        """How many features the example has alone."""
        rate = state.mass * self.concentration / (len(self.x) - 1 + self.concentration)
        count = np.arange(_MOST_AT_ONCE + 1)
        log_prior = count * math.log(rate) - special.gammaln(count + 1)
        logs = log_prior + view.log_density(row, count)
        return int(self.rng.choice(count, p=special.softmax(logs)))

    def _scales(self, state: LatentFeatureState) -> LatentFeatureState:
        if self._fixed["noise_scale"] is not None and self._fixed["feature_scale"] is not None:
            return state
        features = self.features(state)
        residual = self.x - state.z @ features
        found = {
            name: self._given(name, self._scale(values))
            for name, values in (("noise_scale", residual), ("feature_scale", features))
        }
        return replace(state, **found)

    def _scale(self, values: Doubles) -> float:
        """Standard deviation of values N(0, σ²), given them."""
        shape, rate = _SHAPE + values.size / 2, _RATE + (values**2).sum() / 2
        return float(self.rng.gamma(shape, 1 / rate) ** -0.5)

    def features(self, state: LatentFeatureState) -> Doubles:
        """Draw A given Z and the scales, ``[K, D]``."""
        mean, factor = _features_given(state.z, self.x, state.noise_scale, state.feature_scale)
        noise = self.rng.standard_normal(mean.shape)
        drawn: Doubles = mean + np.linalg.solve(factor.T, noise)
        return drawn


class _Prediction:
    """p(x_n | z_n, all other examples), A integrated out.

    Args:
        z: of all examples, the row of n zero, ``[N, K]``.
        x: ``[N, D]``.
        n: which example.
        state: for the scales.
    """

    def __init__(self, z: Doubles, x: Doubles, n: int, state: LatentFeatureState) -> None:
        """Reduce to K dimensions; see the class."""
        mean, factor = _features_given(z, x, state.noise_scale, state.feature_scale)
        inverse = np.linalg.inv(factor)
        self._covariance = inverse.T @ inverse  # of every column of A
        self._gram, self._along = mean @ mean.T, mean @ x[n]
        self._square, self._dim = float(x[n] @ x[n]), x.shape[1]
        self._noise, self._feature = state.noise_scale**2, state.feature_scale**2

    def log_density(self, row: Doubles, new: npt.ArrayLike = 0) -> Doubles:
        """Up to a constant, for a row of features and numbers of new ones."""
        square = self._square - 2 * (row @ self._along) + row @ self._gram @ row
        variance = self._noise + row @ self._covariance @ row + np.asarray(new) * self._feature
        found: Doubles = -0.5 * (self._dim * np.log(variance) + square / variance)
        return found


def _features_given(
    z: Doubles, x: Doubles, noise_scale: float, feature_scale: float
) -> tuple[Doubles, Doubles]:
    """Mean of A given Z and X ``[K, D]``, and the Cholesky factor of its precision ``[K, K]``."""
    precision = z.T @ z / noise_scale**2 + np.eye(z.shape[1]) / feature_scale**2
    mean = np.linalg.solve(precision, z.T @ x / noise_scale**2)
    return mean, np.linalg.cholesky(precision)


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
    mean, factor = _features_given(z, x, noise_scale, feature_scale)
    count, dim = x.shape
    features = z.shape[1]
    log_det = np.log(np.diag(factor)).sum() + features * math.log(feature_scale)
    square = (x * (x - z @ mean)).sum() / noise_scale**2
    constant = count * math.log(2 * math.pi * noise_scale**2)
    return float(-0.5 * (dim * constant + square) - dim * log_det)


@dataclass(frozen=True)
class LatentFeatureDraws:
    """Draws of chains, of :func:`sample_latent_features`.

    Attributes:
        x: the data, ``[N, D]``.
        states: by chain, then by draw.
        features: A, drawn given each state.
        log_joint: ln p(X, [Z] | σ_x, σ_A, α), ``[chains, draws]``.
    """

    x: Doubles
    states: Sequence[Sequence[LatentFeatureState]]
    features: Sequence[Sequence[Doubles]]
    log_joint: Doubles

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of features, ``[chains, draws]``."""
        return np.array([[state.z.shape[1] for state in chain] for chain in self.states])

    def best(self) -> tuple[LatentFeatureState, Doubles]:
        """The draw of the largest log joint, and its A."""
        chain, draw = np.unravel_index(self.log_joint.argmax(), self.log_joint.shape)
        return self.states[chain][draw], self.features[chain][draw]

    def to_arviz(self) -> xr.DataTree:
        """Draws as ArviZ reads them, with dims chain and draw.

        Z ``(example, feature)`` and A ``(feature, value)`` are filled up with zeros to the
        largest number of features. Features have no order and may change places between draws;
        ``features`` (their number), the scales, and what is made of Z and A together have none of
        that trouble.
        """
        most = max(int(self.counts.max()), 1)

        def padded(values: Doubles, axis: int) -> Doubles:
            extra = [(0, most - values.shape[i] if i == axis else 0) for i in range(2)]
            return np.pad(values, extra)

        scalars = {
            name: np.array([[getattr(state, name) for state in chain] for chain in self.states])
            for name in ("noise_scale", "feature_scale", "mass")
        }
        z = np.array([[padded(s.z, 1) for s in chain] for chain in self.states])
        a = np.array([[padded(value, 0) for value in chain] for chain in self.features])
        return mcmc_tree(
            {"features": self.counts, **scalars, "z": z.astype(np.int8), "A": a},
            {"z": ("example", "feature"), "A": ("feature", "value"), "x": ("example", "value")},
            sample_stats={"lp": self.log_joint},
            observed_data={"x": self.x},
        )


def sample_latent_features(
    x: npt.ArrayLike,
    *,
    draws: int = 500,
    warmup: int = 500,
    chains: int = 4,
    mass: float | None = 1.0,
    concentration: float = 1.0,
    noise_scale: float | None = None,
    feature_scale: float | None = None,
    seed: int = 0,
) -> LatentFeatureDraws:
    """Run chains of :class:`LatentFeatureSampler`, each from a draw of the prior.

    Args:
        x: ``[N, D]``.
        draws: of every chain, one a sweep.
        warmup: sweeps before them.
        chains: how many.
        mass, concentration, noise_scale, feature_scale: see the sampler.
        seed: of everything random; chain c is the same whatever their number.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    >>> import numpy as np
    >>> found = sample_latent_features(np.zeros((4, 2)), draws=3, warmup=1, chains=2)
    >>> found.counts.shape
    (2, 3)
    """
    for name, value in (("draws", draws), ("chains", chains)):
        whole(name, value)
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        raise ValueError(f"warmup must be a whole number >= 0, got {warmup!r}")
    states: list[list[LatentFeatureState]] = []
    features: list[list[Doubles]] = []
    log_joint = np.empty((chains, draws))
    for chain in range(chains):
        sampler = LatentFeatureSampler(
            x, mass=mass, concentration=concentration, noise_scale=noise_scale,
            feature_scale=feature_scale, rng=np.random.default_rng([seed, chain]),
        )  # fmt: skip
        state = sampler.start()
        states.append([])
        features.append([])
        for sweep in range(warmup + draws):
            state = sampler.sweep(state)
            if sweep >= warmup:
                states[-1].append(state)
                features[-1].append(sampler.features(state))
                log_joint[chain, sweep - warmup] = _log_joint(sampler, state)
    return LatentFeatureDraws(sampler.x, states, features, log_joint)


def _log_joint(sampler: LatentFeatureSampler, state: LatentFeatureState) -> float:
    buffet = IndianBuffet(state.mass, sampler.concentration, len(sampler.x))
    prior = float(buffet.log_prob(torch.from_numpy(state.z)))
    return prior + log_evidence(sampler.x, state.z, state.noise_scale, state.feature_scale)
