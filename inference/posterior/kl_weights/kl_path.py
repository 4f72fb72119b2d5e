"""What a fit at more than one KL weight returns: a posterior at each."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import numpy as np
from torch import Tensor, nn

from bayesnas.checks import draw_count, non_negative, seed_number, shown
from bayesnas.export.grid import dataset_over, tree_over
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.evaluation.tradeoff.frontier import SUPERFLUOUS_DENSITY, frontier
from bayesnas.inference.evidence.estimate import path_evidence
from bayesnas.inference.evidence.result import Evidence
from bayesnas.inference.posterior.base import BasePosterior
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.posterior.retrain import Start
from bayesnas.models.base import BayesianModel
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

    from bayesnas.inference.training.fit_options import FitOptions

_NEEDS_A_KL_WEIGHT = (
    "evaluate",
    "predict",
    "moments",
    "interval",
    "sample",
    "structure",
    "complexity",
    "prune",
    "compact",
    "export",
)


class KLWeightPath(BasePosterior, abc.ABC):
    """q(w, Γ) at more than one KL weight.

    :meth:`at` gives the posterior at one λ, without training; everything that speaks of one
    network is asked of that.
    """

    _called: str

    @abc.abstractmethod
    def at(self, kl_weight: float, **metaparameters: float) -> Posterior:
        """The posterior at one KL weight, and at other metaparameters where the fit is over any.

        Raises:
            ValueError: for a value that was not fitted; the message says which were.
        """

    @typed()
    def architecture(self, kl_weight: float) -> nn.Module:
        """The discrete network at one KL weight; see ``Posterior.architecture``.

        Raises:
            ValueError: for a KL weight outside the fitted range.
            TypeError: for a model without architectures.
        """
        return self.at(kl_weight).architecture()

    @typed(unchecked=("data",))
    def retrain(
        self,
        kl_weight: float,
        data: Data,
        *,
        start: Start = "scratch",
        **options: Unpack[FitOptions],
    ) -> Posterior:
        """Train the discrete network at one KL weight by itself; see ``Posterior.retrain``.

        Raises:
            ValueError: naming a KL weight outside the fitted range, an unknown start, or data and
                options that ``bayesnas.fit`` does not take.
            TypeError: naming data that are no part of a data set and no pair; for a model without
                architectures.
        """
        return self.at(kl_weight).retrain(data, start=start, **options)

    @abc.abstractmethod
    def _kl_weights_down_to_one(self) -> Sequence[float]:
        """KL weights over which the evidence is integrated unless others are given."""

    @typed(unchecked=("data",))
    def evidence(
        self,
        data: Data,
        *,
        kl_weights: Sequence[float] | None = None,
        draws: int = 200,
        seed: int = 0,
    ) -> Evidence:
        """Estimate ln p(y | x) by thermodynamic integration along λ, without training.

        With β = 1/λ, d ln Z_β / dβ = E ln p(y | x, w) over the tempered posterior of λ, to which
        the guide at λ was fitted; from the largest λ to 1 that adds up to the evidence. Guides that
        are close enough to their posteriors, by k̂, are corrected by importance weights. The
        model has to be the same at all λ: learned prior and noise scales are refused unless the
        fit kept them constant (``amortize={...}`` of the guide alone).

        Args:
            data: the training data.
            kl_weights: λ ≥ 1, 1 among them; by default 33 values, evenly spaced over ln λ from 1 to
                the end of the fitted range, or those fitted.
            draws: from the guide at every λ, at least 30.
            seed: of the draws.

        Returns:
            the estimate in nats, its standard error, a bracket (the evidence lower bound, and the
            sum of the right ends of a rising integrand), the largest k̂, and what was found at every
            λ, as ``path``.

        Raises:
            ValueError: for λ that don't end at 1, a model with latents of every example, or one
                that changes along λ.
            TypeError: naming data that are no part of a data set and no pair.
        """
        draws, seed = draw_count("draws", draws), seed_number("seed", seed)
        path = self._kl_weights_down_to_one() if kl_weights is None else kl_weights
        x, y = self._tensors(data)

        def model_at(kl_weight: float) -> BayesianModel:
            return self.at(kl_weight).model

        return path_evidence(model_at, path, x, y, draws, seed).warned()

    @typed(unchecked=("data",))
    def frontier(
        self,
        kl_weights: Sequence[float],
        data: Data,
        *,
        draws: int = 32,
        threshold: float = SUPERFLUOUS_DENSITY,
        seed: int = 0,
        **metaparameters: Sequence[float],
    ) -> xr.Dataset:
        """Measure the posterior along the KL weight, or over a grid of it, without training.

        Args:
            kl_weights: λ, each in the fitted range, or one of those fitted.
            data: a part of a data set, or ``(x, y)``.
            draws: weights drawn, over which predictions are averaged; 0 uses posterior means.
            threshold: ρ = exp(−μ²/2σ²) from which a weight counts as superfluous.
            seed: of the draws.
            metaparameters: values of every other metaparameter of the fit, by name; each gives a
                dim.

        Returns:
            over the dim ``kl_weight`` (and those) what ``Posterior.evaluate`` gives, and for models
            with weights to prune ``parameters``, the number of weights with ρ below ``threshold``,
            and ``stability``, the accuracy of the posterior means over that of the means with
            90 % of the weights removed.

        Raises:
            ValueError: for a λ that :meth:`at` does not take, or none.
            TypeError: naming data that are no part of a data set and no pair.
        """
        draws = draw_count("draws", draws, 0)
        _check_any(kl_weights)
        sample = self._sample(data)

        def measured_at(**fixed: float) -> xr.Dataset:
            models = ((k, self.at(k, **fixed).model) for k in map(float, kl_weights))
            return frontier(models, sample, draws=draws, threshold=threshold, seed=seed)

        return dataset_over(_grid(metaparameters), measured_at)

    @typed(unchecked=("data",))
    def to_arviz(
        self,
        kl_weights: Sequence[float],
        draws: int = 500,
        data: Data | None = None,
        *,
        var_names: Sequence[str] | None = None,
        latent_draws: int = 20,
        prior_draws: int = 0,
        dims: Mapping[str, Sequence[str]] | None = None,
        coords: Mapping[str, Any] | None = None,
        seed: int = 0,
        **metaparameters: Sequence[float],
    ) -> xr.DataTree:
        """Export draws at several KL weights as one tree, with a dim ``kl_weight``.

        ArviZ would take the rows of all λ for more rows, so the groups of rows have names that it
        does not read; ``bayesnas.export.at_kl_weight`` takes the tree of one λ out.

        Args:
            kl_weights: λ, each in the fitted range, or one of those fitted.
            draws: draws a chain and λ.
            data: as in ``Posterior.to_arviz``.
            var_names: sites to export; all by default.
            latent_draws: as in ``Posterior.to_arviz``, like the next three.
            prior_draws: of the model alone.
            dims: names of dimensions.
            coords: labels along them.
            seed: of the draws.
            metaparameters: values of every other metaparameter of the fit, by name; each gives a
                dim after ``kl_weight``.

        Raises:
            ValueError: naming KL weights that are none or outside the fitted range, and arguments
                that ``Posterior.to_arviz`` does not take.
            TypeError: naming data that are no part of a data set and no pair.
        """
        from bayesnas.export.along_kl_weight import along_kl_weight

        _check_any(kl_weights)

        def tree_at(**fixed: float) -> xr.DataTree:
            posts = (self.at(kl_weight, **fixed) for kl_weight in kl_weights)
            options: dict[str, Any] = {
                "var_names": var_names, "latent_draws": latent_draws, "prior_draws": prior_draws,
                "dims": dims, "coords": coords,
            }  # fmt: skip
            trees = [post.to_arviz(draws, data, seed=seed, **options) for post in posts]
            return along_kl_weight(trees)

        return tree_over(_grid(metaparameters), tree_at)

    @typed(unchecked=("data", "tree"))
    def to_inference_data(
        self,
        kl_weights: Sequence[float],
        draws: int = 500,
        data: Data | None = None,
        **options: Any,
    ) -> Any:
        """Export as ``arviz.InferenceData`` (ArviZ 0.23); arguments of :meth:`to_arviz`.

        Raises:
            ValueError: as :meth:`to_arviz`.
            ImportError: under ArviZ 1.x, which has no ``InferenceData``.
        """
        from bayesnas.export.datatree import to_inference_data

        return to_inference_data(self.to_arviz(kl_weights, draws, data, **options))

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to ask for what needs one λ."""
        if name in _NEEDS_A_KL_WEIGHT:
            raise AttributeError(
                f"{self._called} has no {name!r} of its own: choose a KL weight, "
                f"post.at(kl_weight).{name}(...)"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _grid(metaparameters: Mapping[str, Sequence[float]]) -> Mapping[str, Sequence[float]]:
    for name, values in metaparameters.items():
        single = not isinstance(values, (Sequence, np.ndarray, Tensor)) or isinstance(values, str)
        if single or np.ndim(values) != 1 or not len(values):
            raise ValueError(
                f"{name} must hold at least one value, in a sequence, got {shown(values)}"
            )
    return {name: list(values) for name, values in metaparameters.items()}


def _check_any(kl_weights: Sequence[float]) -> None:
    if not kl_weights:
        raise ValueError(f"kl_weights must hold at least one KL weight, got {shown(kl_weights)}")
    for kl_weight in kl_weights:
        non_negative("kl_weights", kl_weight)
