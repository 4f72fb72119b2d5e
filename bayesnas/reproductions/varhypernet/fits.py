"""The fits behind the tables, each in a folder of its own."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.inference import AmortizedPosterior, Posterior
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.inference.training.fit_options import FitOptions
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.varhypernet import published
from bayesnas.reproductions.varhypernet.settings import METHODS, Method, Settings, build_model
from bayesnas.runtime.interrupt import InterruptedFitWarning


class Fits:
    """Posteriors by method and KL weight: fitted where they are not there yet, else loaded.

    Args:
        folder: of all runs.
        settings: of the whole.
        data: what is fitted to.
        request: device, progress, and whom to tell.
    """

    def __init__(self, folder: Path, settings: Settings, data: DataSet, request: Request) -> None:
        """Fit nothing yet; see the class."""
        self._folder = folder
        self._settings = settings
        self._data = data
        self._request = request

    def posterior(self, method: Method, kl_weight: float) -> Posterior:
        """The posterior of a method at a KL weight, a chain for every start."""
        if method.amortize is not None:
            return self._amortized(method).at(kl_weight * self._settings.scale)
        if method.base is not None:
            return self._refined(method, kl_weight)
        return self._direct(method, kl_weight)

    def _direct(self, method: Method, kl_weight: float) -> Posterior:
        out = self._folder / f"{method.key}-{kl_weight:g}"
        self._tell(out, f"{method.title} at λ = {kl_weight:g}")
        return bn.fit(
            build_model(self._data),
            self._data.train,
            kl_weight=kl_weight * self._settings.scale,
            **self._options(method, out),
        )

    def _amortized(self, method: Method) -> AmortizedPosterior:
        out = self._folder / method.key
        self._tell(out, f"{method.title}, all λ at once")
        return bn.fit(
            build_model(self._data),
            self._data.train,
            kl_weight=span(self._settings.scale),
            **self._options(method, out),
        )

    def _options(self, method: Method, out: Path) -> FitOptions:
        """Options that all fits of a method share."""
        return {
            "amortize": method.amortize,
            "epochs": self._settings.epochs_of(method),
            "lr": self._settings.lr_of(method),
            "batch_size": self._settings.batch_size,
            "restarts": self._settings.starts,
            "seed": self._settings.seed,
            "device": self._request.device,
            "progress": self._request.progress,
            "out": out,
            "resume": True,
        }

    def _refined(self, method: Method, kl_weight: float) -> Posterior:
        out = self._folder / f"{method.key}-{kl_weight:g}"
        if (out / RUN).exists():
            post = bn.load(out, device=self._request.device)
            assert isinstance(post, Posterior)
            return post
        assert method.base is not None
        start = self.posterior(METHODS[method.base], kl_weight)
        self._tell(out, f"{method.title} at λ = {kl_weight:g}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", InterruptedFitWarning)  # half an epoch is no result
            refined = start.refine(
                self._data.train,
                epochs=self._settings.epochs_of(method),
                lr=self._settings.lr_of(method),
                progress=self._request.progress,
            )
        _save_whole(refined, out)
        return refined

    def _tell(self, out: Path, what: str) -> None:
        if not (out / RUN).exists():
            self._request.say(f"fit ({out.name.split('-')[0]}) {what}")


def span(scale: float = 1.0) -> bn.LogUniform:
    """The range of KL weights, for a sample so many times that of the source."""
    return bn.LogUniform(published.KL_WEIGHTS[0] * scale, published.KL_WEIGHTS[-1] * scale)


def _save_whole(post: Posterior, out: Path) -> None:
    """Save a run that has no checkpoints so that a crash leaves all of it or nothing."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    post.save(partial)
    partial.rename(out)
