"""Smaller networks from a posterior: weights or groups removed, and a plain module to take away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from torch import nn

from bayesnas.data.inputs import by_position
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.evaluation.pruning_curve import (
    PRUNING_FRACTIONS,
    check_alone,
    chosen_amount,
    pruned,
    pruning_curve,
    without_groups,
)
from bayesnas.inference.posterior.arviz_export import ArvizExport
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.pruning.compaction import compact
from bayesnas.pruning.criteria import Criterion, Removal
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class Prunable(ArvizExport):
    """Chains whose networks are made smaller; a base class of :class:`Posterior`."""

    @typed(own=("validation",))
    def prune(
        self,
        *,
        fraction: float | None = None,
        threshold: float | None = None,
        validation: Data | None = None,
        by: Removal = "density",
        seed: int = 0,
    ) -> Self:
        """Remove weights: those with the largest relative density at zero first (Graves 2011).

        Removed weights are exactly zero in means and draws, and leave the KL. What is already
        removed stays so: groups can go first, then single weights. Give one of:

        Args:
            fraction: share of all weights (biases included) removed, over all layers together;
                of groups as few go as remove at least so many.
            threshold: removes where ρ = exp(−μ²/2σ²) ≥ threshold; by magnitude, where
                |μ| ≤ threshold; by group, where the score of ``model.group_scores()`` is
                ≥ threshold.
            validation: held-out data, on which the smallest network is chosen whose loss is within
                one standard error of the lowest (Breiman et al. 1984); the loss is the share of
                errors or the mean squared error.
            by: ``"density"`` ρ, ``"magnitude"`` |μ|, ``"random"``, the baseline, or ``"group"``:
                whole input units and filters of a ``BayesianCompressionNet``, and with them the
                units that nothing reads any more.
            seed: of the random order.

        Returns:
            a new posterior; this one stays as it is.

        Raises:
            ValueError: for none or several of ``fraction``, ``threshold`` and ``validation``, one
                out of range, or by group where a layer would lose all its groups.
            TypeError: for a model without weights, or groups, to prune.
        """
        if validation is not None:
            check_alone(fraction, threshold)
            x, y = self._tensors(validation, "validation")
            fraction, threshold = chosen_amount(self.model, x, y, by, seed)
        models = [chain.model for chain in self._chains]
        if by == "group":
            x = self.example[0]
            smaller = [without_groups(m, fraction, threshold, x) for m in models]
        else:
            smaller = [pruned(model, fraction, threshold, by, seed) for model in models]
        chains = [
            FittedChain(model, chain.history, chain.validation_nll)
            for model, chain in zip(smaller, self._chains, strict=True)
        ]
        return type(self)(self.run, chains, self.example)

    @typed(own=("data",))
    def pruning_curve(
        self,
        data: Data,
        fractions: Sequence[float] = PRUNING_FRACTIONS,
        by: Sequence[Criterion] = ("density", "magnitude", "random"),
        *,
        seed: int = 0,
    ) -> xr.Dataset:
        """Accuracy (or rmse) and nll of the posterior means against the fraction removed.

        Returns:
            variables over dims ``(by, fraction)``.
        """
        return pruning_curve(self.model, self._sample(data), fractions, by, seed)

    def compact(self) -> nn.Module:
        """Return a plain module at the posterior means, dead groups physically removed."""
        module = self.model.plain_module().eval()
        return compact(module, by_position(module, self.example[0]))
