"""The fits to images, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

import bayesnas as bn
from bayesnas.inference import AmortizedPosterior, Posterior
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.inference.training.fit_options import FitOptions
from bayesnas.reproductions.ard_vae.settings import KINDS, Settings, build_model
from bayesnas.reproductions.base import Request


class Fits:
    """Posteriors of images: fitted where they are not there yet, else loaded.

    Args:
        settings: of the whole.
        x: training images.
        request: folder, device, progress, and whom to tell.
    """

    def __init__(self, settings: Settings, x: Tensor, request: Request) -> None:
        """Fit nothing yet; see the class."""
        self._settings = settings
        self._x = x
        self._request = request

    def at_one(self, kind: str, seed: int) -> Posterior:
        """The ARD-VAE or the plain one at λ = 1."""
        out = self._folder(kind, seed)
        self._tell(out, f"{KINDS[kind]}, seed {seed}")
        model = build_model(kind, tuple(self._x.shape[1:]), self._settings)
        return bn.fit(
            model,
            (self._x, self._x),
            **self._options(out, seed, self._settings.epochs),
        )

    def over_range(self) -> AmortizedPosterior:
        """One ARD-VAE for every λ of the range."""
        seed = self._settings.seeds[0]
        out = self._folder("along", seed)
        weights = self._settings.kl_weights
        self._tell(out, f"{KINDS['ard']}, all λ from {weights[0]:g} to {weights[-1]:g} at once")
        model = build_model("ard", tuple(self._x.shape[1:]), self._settings)
        options = self._options(out, seed, self._settings.epochs_along)
        options["amortize"] = "piecewise"  # that of the figures of docs/reproductions/ard-vae.md
        return bn.fit(
            model,
            (self._x, self._x),
            kl_weight=bn.LogUniform(weights[0], weights[-1]),
            **options,
        )

    def _options(self, out: Path, seed: int, epochs: int) -> FitOptions:
        return {
            "epochs": epochs,
            "batch_size": self._settings.batch_size,
            "lr": self._settings.lr,
            "kl_warmup": self._settings.kl_warmup,
            "seed": seed,
            "device": self._request.device,
            "progress": self._request.progress,
            "out": out,
            "checkpoint_every": 5_000,
            "resume": True,
        }

    def _folder(self, kind: str, seed: int) -> Path:
        return self._request.out / "fits" / f"{kind}-{seed}"

    def _tell(self, out: Path, what: str) -> None:
        if not (out / RUN).exists():
            self._request.say(f"fit {what}")
