"""Smaller networks from a posterior: weights or groups removed, and a plain module to take away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

from torch import nn

from bayesnas.checks import flag, seed_number
from bayesnas.data.inputs import by_position
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.evaluation.model_pruning import ModelPruning
from bayesnas.inference.evaluation.pruning_curve import (
    PRUNING_FRACTIONS,
    check_alone,
    chosen_fraction,
    chosen_threshold,
    pruning_curve,
    without_groups,
)
from bayesnas.inference.posterior.arviz_export import ArvizExport
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.models.base import BayesianModel
from bayesnas.pruning.compaction import compact
from bayesnas.pruning.criteria.registry import Criterion, Removal
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class Prunable(ArvizExport):
    """Chains whose networks are made smaller; a base class of :class:`Posterior`."""

    @typed(own=("validation", "training"))
    def prune(
        self,
        *,
        fraction: float | None = None,
        threshold: float | None = None,
        validation: Data | None = None,
        by: Removal = "density",
        groups: bool = False,
        biases: bool = True,
        training: Data | None = None,
        seed: int = 0,
    ) -> Self:
        """Remove weights: those with the largest relative density at zero first (Graves 2011).

        Removed weights are exactly zero in means and draws, and leave the KL. What is already
        removed stays so: groups can go first, then single weights. Give one of:

        Args:
            fraction: share of all weights (biases included, unless they stay) removed, over all
                layers together; of groups as few go as remove at least so many.
            threshold: removes where ρ = exp(−μ²/2σ²) ≥ threshold; by magnitude, where
                |μ| ≤ threshold; by evidence, where ΔF ≥ threshold nats, 0 if no amount is given;
                by OBD and Fisher, where the loss rises by ≤ threshold nats an example; by group,
                where the score of ``model.group_scores()`` is ≥ threshold.
            validation: held-out data, on which the smallest network is chosen whose loss is within
                one standard error of the lowest (Breiman et al. 1984); the loss is the share of
                errors or the mean squared error.
            by: what goes first (docs/pruning.md has the formulas): ``"density"`` ρ, ``"evidence"``
                ΔF, ``"magnitude"`` |μ|, ``"obd"`` ½hμ² (Optimal Brain Damage), ``"fisher"``,
                ``"obs"`` (Optimal Brain Surgeon), ``"relevance"``, ``"random"``, the baseline, or
                ``"group"``: whole input units and filters of a ``BayesianCompressionNet`` by their
                scales, and with them the units that nothing reads any more.
            groups: remove whole input units of linear layers and filters of convolutions, by the
                scores of their weights added up; by magnitude, by their norm.
            biases: whether biases may go.
            training: the training data, for ``"obd"``, ``"fisher"``, ``"obs"`` and
                ``"relevance"``, which look at the loss.
            seed: of the random order.

        Returns:
            a new posterior; this one stays as it is.

        Raises:
            ValueError: for none or several of ``fraction``, ``threshold`` and ``validation``, one
                out of range, an unknown criterion, one that needs ``training`` or is for fewer
                weights, or where a layer would lose all its groups.
            TypeError: for a model without weights, groups, or what the criterion looks at.
        """
        if validation is not None:
            check_alone(fraction, threshold)
            x, y = self._tensors(validation, "validation")
        models = [chain.model for chain in self._chains]
        if by == "group":
            if flag("groups", groups) or not flag("biases", biases):
                raise ValueError(
                    "groups and biases must be left out for by='group', which removes groups by "
                    f"their scales, got groups={groups}, biases={biases}"
                )
            if validation is not None:
                threshold = chosen_threshold(self.model, x, y)
            smaller = [without_groups(m, fraction, threshold, self.example[0]) for m in models]
        else:
            prune = partial(self._pruning, by, training, seed, groups=groups, biases=biases)
            if validation is not None:
                fraction = chosen_fraction(self.model, x, y, prune(self.model))
            smaller = [prune(model).at(fraction, threshold) for model in models]
        chains = [
            FittedChain(model, chain.history, chain.validation_nll)
            for model, chain in zip(smaller, self._chains, strict=True)
        ]
        return type(self)(self.run, chains, self.example)

    def _pruning(
        self,
        by: Criterion,
        training: Data | None,
        seed: int,
        model: BayesianModel,
        *,
        groups: bool = False,
        biases: bool = True,
    ) -> ModelPruning:
        return ModelPruning(
            model,
            by,
            seed=seed_number("seed", seed),
            training=None if training is None else self._tensors(training, "training"),
            kl_weight=self.kl_weight,
            groups=flag("groups", groups),
            biases=flag("biases", biases),
        )

    @typed(own=("data", "training"))
    def pruning_curve(
        self,
        data: Data,
        fractions: Sequence[float] = PRUNING_FRACTIONS,
        by: Sequence[Criterion] = ("density", "magnitude", "random"),
        *,
        training: Data | None = None,
        seed: int = 0,
    ) -> xr.Dataset:
        """Accuracy (or rmse) and nll of the posterior means against the fraction removed.

        Args:
            data: that it is measured on.
            fractions: shares of the weights removed.
            by: criteria, as in :meth:`prune`.
            training: the training data, for criteria that look at the loss.
            seed: of the random order.

        Returns:
            variables over dims ``(by, fraction)``.
        """
        if not len(by) or not len(fractions):
            raise ValueError(
                f"by and fractions must hold one each or more, got {by!r}, {fractions!r}"
            )
        prunings = {each: self._pruning(each, training, seed, self.model) for each in by}
        return pruning_curve(self._sample(data), fractions, prunings, seed)

    def compact(self) -> nn.Module:
        """Return a plain module at the posterior means, dead groups physically removed."""
        module = self.model.plain_module().eval()
        return compact(module, by_position(module, self.example[0]))
