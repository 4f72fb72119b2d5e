"""What a model says of its single weights, for those who remove some."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bayesnas.complexity import ANY_SCALE, PriorScales, ScaleRange


class PrunableWeights(nn.Module):
    """The part of :class:`~bayesnas.models.base.BayesianModel` on single weights: none by default.

    Weights are grouped by site, the names of their tensors.
    """

    def weight_posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of every prunable weight, by site; none by default."""
        return {}

    def keep_masks(self) -> dict[str, Tensor]:
        """Which weights are kept, boolean, by site of :meth:`weight_posteriors`."""
        return {
            site: torch.ones_like(loc, dtype=torch.bool)
            for site, (loc, _) in self.weight_posteriors().items()
        }

    def set_keep_masks(self, masks: Mapping[str, Tensor]) -> None:
        """Remove the weights whose mask is false: they become exactly zero."""
        raise TypeError(f"{type(self).__name__} has no weights to prune")

    def weight_prior_scales(self) -> dict[str, Tensor]:
        """Standard deviation of the Gaussian prior N(0, s²) of the weights, by site.

        One number or one a weight; empty, the default, where the prior is another one.
        """
        return {}

    def set_weight_means(self, means: Mapping[str, Tensor]) -> None:
        """Give every weight, by site, another posterior mean."""
        raise TypeError(
            f"{type(self).__name__} has no means of single weights to set, which a criterion that "
            "moves the weights that stay needs"
        )

    def parametric_complexity(
        self, per: PriorScales = "layer", scale_range: ScaleRange = ANY_SCALE
    ) -> Tensor | None:
        """Min over the prior's scales of KL(q ‖ p), in nats; None where not known."""
        return None
