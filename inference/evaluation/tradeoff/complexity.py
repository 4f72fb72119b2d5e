"""How complex a fitted model is, from its parameters alone."""

from __future__ import annotations

from bayesnas.complexity import PriorScales, ScaleRange, structure_entropy
from bayesnas.models.base import BayesianModel
from bayesnas.pruning.criteria.relative_density import log_relative_density


def measured(model: BayesianModel, per: PriorScales, scale_range: ScaleRange) -> dict[str, float]:
    """Counts, parametric complexity, relative density and entropy; see ``Posterior.complexity``."""
    masks = model.keep_masks()
    measures = {
        "parameters": float(sum(mask.numel() for mask in masks.values())),
        "parameters_kept": float(sum(int(mask.sum()) for mask in masks.values())),
    }
    complexity = model.parametric_complexity(per, scale_range)
    if complexity is not None:
        measures["parametric_complexity"] = float(complexity)
        gaussians = model.weight_posteriors()
        if gaussians:
            logs = (
                log_relative_density(loc, scale)[masks[site]].sum()
                for site, (loc, scale) in gaussians.items()
            )
            measures["log_relative_density"] = float(sum(logs))
    entropy = structure_entropy(model.structure())
    if entropy is not None:
        measures["structure_entropy"] = entropy
    return measures
