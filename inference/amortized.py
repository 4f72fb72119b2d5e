"""What an amortised fit returns: a posterior at every KL weight of its range."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from torch import nn

from bayesnas.distributions import LogUniform
from bayesnas.inference.chains import FittedChains
from bayesnas.inference.frontier import SUPERFLUOUS_DENSITY, frontier
from bayesnas.inference.inputs import Data
from bayesnas.inference.posterior import Posterior
from bayesnas.inference.retrain import Start
from bayesnas.inference.settings import check_kl_weight, whole

if TYPE_CHECKING:
    import xarray as xr

    from bayesnas.inference.fit import FitOptions

_NEEDS_A_KL_WEIGHT = (
    "evaluate",
    "predict",
    "sample",
    "structure",
    "complexity",
    "prune",
    "compact",
)


class AmortizedPosterior(FittedChains):
    """q(w, Γ) at every KL weight of a range, from one fit.

    :meth:`at` gives the posterior at one λ, without training; everything that speaks of one
    network is asked of that. Made by ``bayesnas.fit`` with ``kl_weight=LogUniform(low, high)``
    and by ``bayesnas.load``.

    >>> import torch, bayesnas as bn
    >>> data = (torch.randn(30, 4), torch.arange(30) % 3)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([4, 5, 3]))
    >>> post = bn.fit(model, data, kl_weight=bn.LogUniform(0.1, 10), amortize="linear", steps=5)
    >>> post.at(2.0)
    Posterior(GaussianNet 4–5–3 on arrays, kl_weight=2)
    >>> post.at(20.0)
    Traceback (most recent call last):
    ...
    ValueError: kl_weight must be in the fitted range [0.1, 10], got 20.0
    """

    @property
    def kl_weight(self) -> LogUniform:
        """The range of λ."""
        assert self.settings.amortization is not None
        span = self.settings.amortization.span
        return LogUniform(span.low, span.high)

    def at(self, kl_weight: float) -> Posterior:
        """The posterior at one KL weight.

        Its chains have the history of the whole fit; the best is the one whose bound was
        highest over its last steps near this λ.

        Raises:
            ValueError: for a λ outside the fitted range; the message says the range.
        """
        check_kl_weight(kl_weight)
        settings = dataclasses.replace(self.settings, kl_weight=float(kl_weight), amortization=None)
        run = dataclasses.replace(self.run, settings=settings)
        chains = [chain.at(float(kl_weight)) for chain in self._chains]
        return Posterior(run, chains, self.example)

    def architecture(self, kl_weight: float) -> nn.Module:
        """The discrete network at one KL weight; see ``Posterior.architecture``."""
        return self.at(kl_weight).architecture()

    def retrain(
        self,
        kl_weight: float,
        data: Data,
        *,
        start: Start = "scratch",
        **options: Unpack[FitOptions],
    ) -> Posterior:
        """Train the discrete network at one KL weight by itself; see ``Posterior.retrain``."""
        return self.at(kl_weight).retrain(data, start=start, **options)

    def frontier(
        self,
        kl_weights: Sequence[float],
        data: Data,
        *,
        draws: int = 32,
        threshold: float = SUPERFLUOUS_DENSITY,
        seed: int = 0,
    ) -> xr.Dataset:
        """Measure the posterior along the KL weight, without training.

        Args:
            kl_weights: λ, each in the fitted range.
            data: a part of a data set, or ``(x, y)``.
            draws: weights drawn, over which predictions are averaged; 0 uses posterior means.
            threshold: ρ = exp(−μ²/2σ²) from which a weight counts as superfluous.
            seed: of the draws.

        Returns:
            over the dim ``kl_weight`` what ``Posterior.evaluate`` gives, and for models with
            weights to prune ``parameters``, the number of weights with ρ below ``threshold``,
            and ``stability``, the accuracy of the posterior means over that of the means with
            90 % of the weights removed.

        Raises:
            ValueError: for a λ outside the fitted range, or none.
        """
        whole("draws", draws, 0)
        if not kl_weights:
            raise ValueError(f"kl_weights must hold at least one KL weight, got {kl_weights!r}")
        x, y = self._tensors(data)
        models = ((kl_weight, self.at(kl_weight).model) for kl_weight in map(float, kl_weights))
        return frontier(models, x, y, draws=draws, threshold=threshold, seed=seed)

    def to_arviz(
        self,
        kl_weights: Sequence[float],
        draws: int = 500,
        data: Data | None = None,
        *,
        var_names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> xr.DataTree:
        """Export draws at several KL weights as one tree, with a dim ``kl_weight``.

        Args:
            kl_weights: λ, each in the fitted range.
            draws: draws a chain and λ.
            data: as in ``Posterior.to_arviz``, and the next two as well.
            var_names: sites to export; all by default.
            seed: of the draws.
        """
        from bayesnas.export import along_kl_weight

        if not kl_weights:
            raise ValueError(f"kl_weights must hold at least one KL weight, got {kl_weights!r}")
        trees = [
            self.at(kl_weight).to_arviz(draws, data, var_names=var_names, seed=seed)
            for kl_weight in kl_weights
        ]
        return along_kl_weight(trees)

    def to_inference_data(
        self,
        kl_weights: Sequence[float],
        draws: int = 500,
        data: Data | None = None,
        **options: Any,
    ) -> Any:
        """Export as ``arviz.InferenceData`` (ArviZ 0.23); arguments of :meth:`to_arviz`."""
        from bayesnas.export import to_inference_data

        return to_inference_data(self.to_arviz(kl_weights, draws, data, **options))

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to ask for what needs one λ."""
        if name in _NEEDS_A_KL_WEIGHT:
            raise AttributeError(
                f"an amortised posterior has no {name!r} of its own: choose a KL weight, "
                f"post.at(kl_weight).{name}(...)"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
