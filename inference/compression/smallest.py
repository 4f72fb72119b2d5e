"""The smallest network along the KL weight of one fit that is as good on validation data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from torch import Tensor

from bayesnas.checks import naming, non_negative
from bayesnas.inference.compression.compressed import Compressed, weight_count
from bayesnas.inference.compression.one_standard_error import largest_good_loss, smallest_good
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.inference.posterior.kl_weights.kl_weight_list import kl_weights_to_choose_from
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.base import BayesianModel
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.models.compression.threshold_sweep import Predictor, mean_loss
from bayesnas.pruning.criteria.removal import SHARES_TO_CHOOSE_FROM
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


@typed(unchecked=("validation",))
def smallest(
    post: Posterior | KLWeightPath,
    validation: Data,
    *,
    kl_weights: Sequence[float] | None = None,
    tolerance: float = 1.0,
) -> Compressed:
    """The smallest network of a fit whose validation loss is as low as the lowest, but for chance.

    At every KL weight whole groups are removed, where the model has them, then single weights,
    those with the largest posterior density at zero first, as long as the loss of the posterior
    means is within ``tolerance`` standard errors of the lowest of all (the one-standard-error rule
    of Breiman, Friedman, Olshen, Stone, 1984; where it is above from the start, of its own). Of the
    networks within, the smallest is taken, as a plain module without its dead units. Nothing is
    trained.

    Args:
        post: of a network, at one KL weight or along it.
        validation: data that nothing was fitted to and nothing will be tested on.
        kl_weights: to choose from; None: those that were fitted, or nine over the range.
        tolerance: standard errors that the loss may lie above the lowest.

    Returns:
        the network, its posterior, and in ``path`` a stage for every KL weight, with the variables
        ``kl_weight`` and ``nonzero``, the weights that are not zero, besides.

    Raises:
        TypeError: for a model that is no network with weights to prune.
        ValueError: naming an argument that does not fit.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits", validation=0.2)
    >>> model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 10, 10]), "horseshoe")
    >>> post = bn.fit(model, data.train, kl_weight=bn.LogUniform(0.1, 1), steps=60)
    >>> small = bn.inference.smallest(post, data.validation, kl_weights=[0.1, 1])
    >>> small.path.sizes["stage"], small.weights <= 740
    (2, True)
    """
    tolerance = non_negative("tolerance", tolerance)
    whole = list(_posteriors(post, kl_weights))
    with naming("validation"):
        x, y = whole[0]._tensors(validation)
    _check_network(whole[0].model)
    losses = [_loss(each.model, x, y) for each in whole]
    limit = largest_good_loss(losses, tolerance)
    reduced = [
        _reduced(each, x, y, limit if loss <= limit else loss + tolerance * error)
        for each, (loss, error) in zip(whole, losses, strict=True)
    ]
    modules = [each.compact() for each in reduced]
    table = _table(reduced, [weight_count(module) for module in modules], x, y, limit)
    chosen = int(table["chosen"].argmax("stage"))
    before = whole[losses.index(min(losses))].model.plain_module().eval()
    return Compressed(modules[chosen], reduced[chosen], table, before, limit, whole[0].data)


def _posteriors(
    post: Posterior | KLWeightPath, kl_weights: Sequence[float] | None
) -> Iterator[Posterior]:
    if isinstance(post, Posterior):
        if kl_weights is not None:
            raise ValueError(f"kl_weights goes with a fit of many, got one at {post.kl_weight:g}")
        yield post
        return
    yield from map(post.at, kl_weights_to_choose_from(post, kl_weights))


def _check_network(model: BayesianModel) -> None:
    if not model.weight_posteriors() or not hasattr(model, "likelihood"):
        raise TypeError(f"post must be of a network with weights to prune, got {model.describe()}")


def _loss(model: BayesianModel, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean loss of the posterior means, and its standard error."""
    return mean_loss(cast(Predictor, model), x, y)


def _reduced(post: Posterior, x: Tensor, y: Tensor, limit: float) -> Posterior:
    """Without as many groups, then weights, as the limit of the loss allows."""
    if isinstance(post.model, GroupedWeights):
        sweep = post.model.group_sweep(x, y)
        good = sweep.where(sweep["loss"] <= limit, drop=True)
        if good.sizes["threshold"]:
            least = good["weights"].argmin("threshold")
            post = post.prune(by="group", threshold=float(good["threshold"][least]))
    for fraction in reversed(SHARES_TO_CHOOSE_FROM):
        smaller = post.prune(fraction=fraction)
        if _loss(smaller.model, x, y)[0] <= limit:
            return smaller
    return post


def _table(
    reduced: Sequence[Posterior], weights: Sequence[int], x: Tensor, y: Tensor, limit: float
) -> xr.Dataset:
    import xarray as xr

    losses, errors = zip(*(_loss(each.model, x, y) for each in reduced), strict=True)
    chosen = smallest_good(losses, weights, limit)
    columns = {
        "kl_weight": [each.kl_weight for each in reduced],
        "weights": list(weights),
        "nonzero": [
            sum(int(mask.sum()) for mask in each.model.keep_masks().values()) for each in reduced
        ],
        "loss": list(losses),
        "loss_error": list(errors),
        "chosen": [index == chosen for index in range(len(reduced))],
    }
    return xr.Dataset({name: ("stage", values) for name, values in columns.items()})
