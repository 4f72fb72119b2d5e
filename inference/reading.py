"""What other libraries read of a posterior: draws for ArviZ, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayesnas.checks import whole_number
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.posterior.arviz_export import draws_to_datatree, tempered_pareto_k
from bayesnas.inference.posterior.base import FittedChains

if TYPE_CHECKING:
    import xarray as xr


class ReadElsewhere(FittedChains):
    """Chains at one KL weight, exported; a base class of :class:`Posterior`."""

    @property
    def kl_weight(self) -> float:
        """λ of the fit."""
        assert self.settings.kl_weight is not None
        return self.settings.kl_weight

    def to_arviz(
        self,
        draws: int = 500,
        data: Data | None = None,
        *,
        var_names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> xr.DataTree:
        """Export draws of every chain as the tree that ArviZ reads.

        Args:
            draws: draws a chain.
            data: adds posterior_predictive, log_likelihood (pointwise, unscaled),
                observed_data and constant_data for its rows; for the training data also the
                tempered log target ``lp`` in sample_stats.
            var_names: sites to export; all by default. log_prior and log_q stay complete.
            seed: of the draws.
        """
        whole_number("draws", draws, 1)
        split = None if data is None else self._split(data)
        return draws_to_datatree(
            self._chains,
            self.run,
            self.example,
            draws,
            None if split is None else self._on_device(split),
            var_names,
            seed,
            is_training_data=split is not None and split.fingerprint == self.run.fingerprint,
        )

    def to_inference_data(self, draws: int = 500, data: Data | None = None, **options: Any) -> Any:
        """Export as ``arviz.InferenceData`` (ArviZ 0.23); arguments of :meth:`to_arviz`."""
        from bayesnas.export.datatree import to_inference_data

        return to_inference_data(self.to_arviz(draws, data, **options))

    def pareto_k(
        self, data: Data, *, draws: int = 1000, kl_weight: float | None = None, seed: int = 0
    ) -> float:
        """k̂ of importance sampling from q to the tempered target p(w) p(y | x, w)^(1/λ).

        Below 0.5 the guide is close to the target; above 0.7 it is unreliable (Yao et al. 2018).

        Args:
            data: the training data.
            draws: number of draws.
            kl_weight: λ of the target; that of the fit by default. 1 asks how far the fit is
                from the Bayesian posterior.
            seed: of the draws.
        """
        target = self.kl_weight if kl_weight is None else kl_weight
        check_kl_weight(target)
        return tempered_pareto_k(self.model, *self._tensors(data), draws, target, seed)
