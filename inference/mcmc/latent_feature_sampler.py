"""Gibbs sampling of the linear-Gaussian latent feature model, its features integrated out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from bayesnas.checks import positive
from bayesnas.distributions import IndianBuffet
from bayesnas.inference.mcmc.latent_feature_evidence import (
    Doubles,
    Prediction,
    features_given,
    log_evidence,
)
from bayesnas.inference.mcmc.split_merge import split_or_merge
from bayesnas.typed import typed

_REACH = 100  # distance of an example, in σ_A, up to which no count of own features is left out
_MARGIN = 45  # counts beyond the last one that could still have more weight than the one before
_SPLITS = 4  # attempts a sweep to split a feature or to merge two
_SHAPE = _RATE = 1.0  # of the Gamma priors on 1/σ_x², 1/σ_A² and α


@dataclass(frozen=True)
class LatentFeatureState:
    """A point of the chain.

    Attributes:
        z: which examples have which features, ``[N, K]`` of zeros and ones; every feature has one.
        noise_scale: σ_x.
        feature_scale: σ_A.
        mass: α.

    >>> import numpy as np
    >>> state = LatentFeatureState(np.ones((3, 1)), noise_scale=0.5, feature_scale=1.0, mass=1.0)
    >>> state.z.shape
    (3, 1)
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
    too; with it every z_nk is drawn that another example shares, summed over how many features
    the example has alone, and then that number (their loadings are from the prior). Numbers
    beyond 145 + 4αβ/(N − 1 + β) are left out: less than 1e-15 of the probability where x_n lies
    within 100 σ_A of what the shared features say. Then features are split in two, or two of them
    merged (:mod:`~bayesnas.inference.mcmc.split_merge`), which drawing one z after the other
    hardly ever achieves. Where they are not held fixed, σ_x and σ_A follow given
    a draw of A, and α given the number of features; 1/σ² and α have Gamma(1, 1) priors.

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

    @typed()
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
        self.concentration = positive("concentration", concentration)
        self._fixed = {"mass": mass, "noise_scale": noise_scale, "feature_scale": feature_scale}
        for name, value in self._fixed.items():
            if value is not None:
                positive(name, value)
        self.rng = rng

    # Prior --------------------------------------------------------------------------------

    def start(self) -> LatentFeatureState:
        """No features at all, and the scales and the mass from their priors.

        Features come one by one then, where from a draw of the prior many overlap for long.
        """
        mass = self._given("mass", self.rng.gamma(_SHAPE, 1 / _RATE))
        noise, feature = (
            self._given(name, self.rng.gamma(_SHAPE, 1 / _RATE) ** -0.5)
            for name in ("noise_scale", "feature_scale")
        )
        return LatentFeatureState(np.zeros((len(self.x), 0)), noise, feature, mass)

    def draw_prior(self) -> LatentFeatureState:
        """A draw from the prior."""
        state = self.start()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.rng.integers(2**31)))
            z = IndianBuffet(state.mass, self.concentration, len(self.x)).sample()
        return replace(state, z=z.double().numpy())

    def _given(self, name: str, drawn: float) -> float:
        fixed = self._fixed[name]
        return drawn if fixed is None else float(fixed)

    # Moves --------------------------------------------------------------------------------

    @typed()
    def sweep(self, state: LatentFeatureState) -> LatentFeatureState:
        """Every z, then the scales and the mass that are not fixed.

        Raises:
            TypeError: for what is no state.
        """
        z = state.z
        for n in range(len(self.x)):
            z = self._row(replace(state, z=z), n)
        for _ in range(_SPLITS):
            z = split_or_merge(
                self.x, z, state.noise_scale, state.feature_scale, state.mass,
                self.concentration, self.rng,
            )  # fmt: skip
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
        view = Prediction(rest, self.x, n, state.noise_scale, state.feature_scale)
        absent = len(z) - 1 + self.concentration - counts
        prior = np.log(counts) - np.log(absent)
        log_alone = self._log_prior_alone(state, n)
        # Summed over the number of the example's own features: they explain it as well, and to
        # draw z_nk as if there were none, and their number after it, is no Gibbs step.
        for k in range(len(row)):
            row[k] = 1.0
            log_odds = prior[k] + special.logsumexp(
                log_alone + view.log_density(row, _up_to(log_alone))
            )
            row[k] = 0.0
            log_odds -= special.logsumexp(log_alone + view.log_density(row, _up_to(log_alone)))
            row[k] = float(self.rng.random() < special.expit(log_odds))
        logs = log_alone + view.log_density(row, _up_to(log_alone))
        alone = np.zeros((len(z), int(self.rng.choice(len(log_alone), p=special.softmax(logs)))))
        alone[n] = 1.0
        rest[n] = row
        return np.hstack([rest, alone])

    def _log_prior_alone(self, state: LatentFeatureState, n: int) -> Doubles:
        """Log prior of 0, 1, … features that the example has alone, up to a constant.

        With r the distance of x_n from the rest, the k-th feature multiplies its density by at
        most exp(r² / 2σ_A²k²), the prior by rate/k. So beyond r/σ_A and 4 · rate every count has
        less than half the weight of the one before.
        """
        rate = state.mass * self.concentration / (len(self.x) - 1 + self.concentration)
        count = np.arange(math.ceil(max(4 * rate, _REACH)) + _MARGIN + 1)
        log_prior: Doubles = count * math.log(rate) - special.gammaln(count + 1)
        return log_prior

    def _scales(self, state: LatentFeatureState) -> LatentFeatureState:
        if self._fixed["noise_scale"] is not None and self._fixed["feature_scale"] is not None:
            return state
        features = self.features(state)
        residual = self.x - state.z @ features
        noise = self._given("noise_scale", self._scale(residual))
        feature = self._given("feature_scale", self._scale(features))
        return replace(state, noise_scale=noise, feature_scale=feature)

    def _scale(self, values: Doubles) -> float:
        """Standard deviation of values N(0, σ²), given them."""
        shape, rate = _SHAPE + values.size / 2, _RATE + (values**2).sum() / 2
        return float(self.rng.gamma(shape, 1 / rate) ** -0.5)

    @typed()
    def features(self, state: LatentFeatureState) -> Doubles:
        """Draw A given Z and the scales, ``[K, D]``.

        Raises:
            TypeError: for what is no state.
        """
        mean, factor = features_given(state.z, self.x, state.noise_scale, state.feature_scale)
        noise = self.rng.standard_normal(mean.shape)
        drawn: Doubles = mean + np.linalg.solve(factor.T, noise)
        return drawn

    @typed()
    def log_joint(self, state: LatentFeatureState) -> float:
        """Ln p(X, [Z] | σ_x, σ_A, α).

        Raises:
            TypeError: for what is no state.
        """
        buffet = IndianBuffet(state.mass, self.concentration, len(self.x))
        prior = float(buffet.log_prob(torch.from_numpy(state.z)))
        return prior + log_evidence(self.x, state.z, state.noise_scale, state.feature_scale)


def _up_to(weights: Doubles) -> npt.NDArray[np.int64]:
    return np.arange(len(weights))
