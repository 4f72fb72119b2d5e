"""Copies of a fitted model without some of its weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.models.base import BayesianModel
from bayesnas.models.networks.base import NetModel
from bayesnas.pruning.criteria.curvature import SampleLoss
from bayesnas.pruning.criteria.group_masks import group_axes
from bayesnas.pruning.criteria.registry import Criterion, rule_of
from bayesnas.pruning.criteria.removal import RemovalPlan
from bayesnas.pruning.criteria.subject import Subject


class ModelPruning:
    """The weights of a fitted model in the order in which a criterion removes them.

    Args:
        model: a fitted model; it stays as it is.
        by: the criterion.
        seed: of a random order.
        training: inputs and targets that the loss is taken on, for criteria that look at it.
        kl_weight: λ of the fit, by which the prior weighs in the curvature.
        examples: N of the fit, where ``training`` is a part of its data; None for its rows.
        groups: whether whole input units and filters go.
        biases: whether biases may go.

    Raises:
        TypeError, ValueError: the model has not what the criterion needs.
    """

    def __init__(
        self,
        model: BayesianModel,
        by: Criterion,
        *,
        seed: int = 0,
        training: tuple[AnyInputs, Tensor] | None = None,
        kl_weight: float = 1.0,
        examples: int | None = None,
        groups: bool = False,
        biases: bool = True,
    ) -> None:
        """Rank the weights; see the class."""
        posteriors = model.weight_posteriors()
        if not posteriors:
            raise TypeError(f"{type(model).__name__} has no weights to prune")
        if rule_of(by).moves:
            model.set_weight_means({})  # raises, before any work, where they can't be set
        subject = Subject(
            locs={site: loc for site, (loc, _) in posteriors.items()},
            keep=model.keep_masks(),
            scales={site: scale for site, (_, scale) in posteriors.items()},
            prior_scales=model.weight_prior_scales(),
            loss=None if training is None else _loss(model, *training, kl_weight, examples),
            seed=seed,
            owner=f"a {type(model).__name__}",
        )
        axes = group_axes(_network(model).plain_module()) if groups else None
        self._model = model
        self._plan = RemovalPlan(subject, by, axes=axes, biases=biases)

    def at(self, fraction: float | None = None, threshold: float | None = None) -> BayesianModel:
        """A copy of the model without a share of its weights, or those beyond a threshold."""
        removed = self._plan.at(fraction, threshold)
        smaller = copy.deepcopy(self._model)
        if removed.moved is not None:
            smaller.set_weight_means(removed.moved)
        smaller.set_keep_masks(removed.masks)
        return smaller


def _loss(
    model: BayesianModel, x: AnyInputs, y: Tensor, kl_weight: float, examples: int | None
) -> SampleLoss:
    """Minus the log joint density of a network, over the number of examples."""
    network = _network(model)
    if not isinstance(x, Tensor):
        raise TypeError(
            "training must have one tensor of inputs for a criterion that looks at the loss, "
            f"got {len(x)}"
        )
    size = len(x) if examples is None else examples
    penalty = {
        site: kl_weight / (size * scale.double().square())
        for site, scale in model.weight_prior_scales().items()
    }
    with torch.no_grad():
        net = network.plain_module().to(x.device).eval()
    scale = size / kl_weight if kl_weight > 0 else None
    return SampleLoss(net, network.likelihood, x, y, penalty, scale)


def _network(model: BayesianModel) -> NetModel:
    if not isinstance(model, NetModel):
        raise TypeError(f"the model must be one of a network, got {type(model).__name__}")
    return model
