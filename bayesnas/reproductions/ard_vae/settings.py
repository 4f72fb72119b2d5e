"""What is run: data, networks, and how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.models import ArdVae
from bayesnas.reproductions.ard_vae import published
from bayesnas.reproductions.base import Request


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        data: name of the images.
        examples: of the training part that are used.
        tested: images of the test part that are used.
        latents: L.
        hidden: widths of the encoder.
        epochs: of a fit at λ = 1.
        epochs_along: of the fit over all λ.
        seeds: of the fits of each kind at λ = 1, the first one also of that over all λ; not 0,
            with which the settings were chosen.
        importance_draws: of z for an image, behind its likelihood.
        factors: d, of the linear-Gaussian data sets.
        factor_latents: L there.
        factor_steps: of a fit there.
        factor_seeds: data sets and fits for each d.
        curve_steps: of a fit at one λ to linear-Gaussian data.
        batch_size: images a step.
        lr: learning rate at the start, cosine down to 0.
        kl_warmup: fraction of the steps in which λ rises from 0. Without it dimensions close
            before the decoder can use them, and a closed one has no gradient to open by.
        kl_weights: λ at which the fit over all of them is read.
    """

    data: str
    examples: int
    tested: int
    latents: int
    hidden: tuple[int, ...]
    epochs: int
    epochs_along: int
    seeds: tuple[int, ...]
    importance_draws: int
    factors: tuple[int, ...]
    factor_latents: int
    factor_steps: int
    factor_seeds: int
    curve_steps: int
    batch_size: int = 50
    lr: float = 2e-3
    kl_warmup: float = 0.2
    kl_weights: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0, 30.0)

    def to_dict(self) -> dict[str, Any]:
        """All settings, as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def prepare(request: Request) -> tuple[Settings, DataSet]:
    """Data and settings of a request."""
    return _quick(request) if request.quick else _full(request)


def _full(request: Request) -> tuple[Settings, DataSet]:
    """MNIST as in the source, with fewer epochs."""
    data = bn.data.load("mnist", root=request.root)
    assert data.test is not None
    settings = Settings(
        data=data.name,
        examples=len(data.train),
        tested=len(data.test),
        latents=published.LATENTS,
        hidden=published.HIDDEN,
        epochs=60,
        epochs_along=20,
        seeds=_seeds(request.seeds or 2),
        importance_draws=500,
        factors=(3, 8, 15),
        factor_latents=32,
        factor_steps=3_000,
        factor_seeds=10,
        curve_steps=2_000,
    )
    return settings, data


def _quick(request: Request) -> tuple[Settings, DataSet]:
    """A part of MNIST where it is at hand, else digits."""
    try:
        data = bn.data.load("mnist", root=request.root, download=False)
    except FileNotFoundError:
        data = bn.data.load("digits")
    assert data.test is not None
    settings = Settings(
        data=data.name,
        examples=min(len(data.train), 5_000),
        tested=min(len(data.test), 500),
        latents=30,
        hidden=(100,),
        epochs=20,
        epochs_along=20,
        seeds=_seeds(request.seeds or 1),
        importance_draws=50,
        factors=(3,),
        factor_latents=8,
        factor_steps=1_500,
        factor_seeds=2,
        curve_steps=1_000,
    )
    return settings, data


def _seeds(starts: int) -> tuple[int, ...]:
    return tuple(range(1, 1 + starts))


KINDS = {"ard": "ARD-VAE", "plain": "VAE"}
"""The two models of images, by the names of their runs: with γ and p(W), and without."""


def build_model(kind: str, shape: tuple[int, ...], settings: Settings) -> ArdVae:
    """The ARD-VAE of images, or the same networks without γ and p(W)."""
    if kind == "ard":
        return ArdVae(shape, settings.latents, hidden=settings.hidden, binarize=True)
    return ArdVae(
        shape,
        settings.latents,
        hidden=settings.hidden,
        binarize=True,
        relevance_prior=None,
        decoder_prior=None,
    )
