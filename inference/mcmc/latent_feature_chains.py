"""Chains of the latent feature sampler, and their draws as ArviZ reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bayesnas.checks import draw_count, seed_number, step_count, whole_number
from bayesnas.inference.mcmc.arviz_tree import mcmc_tree
from bayesnas.inference.mcmc.latent_feature_evidence import Doubles
from bayesnas.inference.mcmc.latent_feature_sampler import LatentFeatureSampler, LatentFeatureState
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class LatentFeatureDraws:
    """Draws of chains, of :func:`sample_latent_features`.

    Attributes:
        x: the data, ``[N, D]``.
        states: by chain, then by draw.
        features: A, drawn given each state.
        log_joint: ln p(X, [Z] | σ_x, σ_A, α), ``[chains, draws]``.

    >>> from bayesnas.data import glyph_images
    >>> from bayesnas.inference.mcmc import sample_latent_features
    >>> x, _ = glyph_images(10)
    >>> chains = sample_latent_features(x.numpy(), draws=2, warmup=1, chains=2, noise_scale=0.5)
    >>> chains.counts.shape, chains.log_joint.shape
    ((2, 2), (2, 2))
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
        chain, draw = divmod(int(self.log_joint.argmax()), self.log_joint.shape[1])
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


@typed()
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
    """Run chains of :class:`LatentFeatureSampler`, each from no features.

    Chains can stay in modes of their own for long: compare ``log_joint`` between them, take
    several, and read the best.

    Args:
        x: ``[N, D]``.
        draws: of every chain, one a sweep.
        warmup: sweeps before them.
        chains: how many.
        mass: α > 0, None to sample it.
        concentration: β > 0.
        noise_scale: σ_x > 0, None to sample it.
        feature_scale: σ_A > 0, None to sample it.
        seed: of everything random; chain c is the same whatever their number.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    >>> import numpy as np
    >>> posterior = sample_latent_features(np.zeros((4, 2)), draws=3, warmup=1, chains=2)
    >>> posterior.counts.shape
    (2, 3)
    """
    seed = seed_number("seed", seed)
    draws, chains = draw_count("draws", draws), whole_number("chains", chains)
    warmup = step_count("warmup", warmup, 0)
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
                log_joint[chain, sweep - warmup] = sampler.log_joint(state)
    return LatentFeatureDraws(sampler.x, states, features, log_joint)
