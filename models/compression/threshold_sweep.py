"""How a net's error grows as more of its groups are removed, and where that begins."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import finite
from bayesnas.data.inputs import AnyInputs, call_with
from bayesnas.likelihoods import Likelihood
from bayesnas.models.base import ROWS_AT_ONCE
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

_THRESHOLDS = 60
_TRIFLE = 0.1  # share of the log loss that no weights are kept for


class Predictor(Protocol):
    """A model of a network."""

    likelihood: Likelihood

    def plain_module(self) -> nn.Module:
        """The posterior-mean network."""


class Groupwise(Predictor, Protocol):
    """A model whose groups have scores and can be removed by them."""

    def group_scores(self) -> dict[str, Tensor]:
        """Score of every group, ``[groups]`` by layer; +inf where it is removed."""

    def remove_groups(self, threshold: float) -> None:
        """Remove the groups at or above a threshold, in place."""

    def keep_masks(self) -> dict[str, Tensor]:
        """Which weights are kept, by site."""


def sweep_groups(
    model: Groupwise, x: Tensor, y: Tensor, thresholds: Sequence[float] | None = None
) -> xr.Dataset:
    """Loss of the posterior means on validation data at a range of thresholds.

    Args:
        model: a fitted model; it stays as it is.
        x: validation inputs.
        y: validation targets.
        thresholds: in units of the scores; by default up to 60, between neighbouring scores,
            from the smallest that leaves every layer a group to one that removes nothing.

    Returns:
        over ``threshold`` (falling, so nets get smaller): ``loss``, the mean over examples of
        the error (classification) or of the squared error; ``loss_error``, its standard error;
        ``nll``, mean negative log-likelihood; ``nll_error``, standard error of how much it lies
        above the lowest, over the same examples, so 0 there; ``weights``, how many are kept; and
        ``groups``, how many are kept, over ``(threshold, layer)``.

    Raises:
        ValueError: at a threshold that would remove a whole layer.
    """
    import xarray as xr

    scores = model.group_scores()
    if thresholds is None:
        chosen = _between(scores)
    else:
        chosen = sorted((finite("thresholds", each) for each in thresholds), reverse=True)
    rows: dict[str, list[float]] = {"loss": [], "loss_error": [], "weights": []}
    nll, groups = [], []
    for threshold in chosen:
        smaller = copy.deepcopy(model)
        smaller.remove_groups(threshold)
        loss, error = mean_loss(smaller, x, y)
        nll.append(_nll(smaller, x, y))
        rows["loss"].append(loss)
        rows["loss_error"].append(error)
        rows["weights"].append(sum(int(mask.sum()) for mask in smaller.keep_masks().values()))
        groups.append([int((score < threshold).sum()) for score in scores.values()])
    rows["nll"], rows["nll_error"] = _means_and_errors(torch.stack(nll))
    variables = {name: ("threshold", values) for name, values in rows.items()}
    return xr.Dataset(
        {**variables, "groups": (("threshold", "layer"), groups)},
        coords={"threshold": chosen, "layer": list(scores)},
    )


@typed()
def knee(sweep: xr.Dataset) -> float:
    """The threshold of the smallest net whose loss is within one standard error of the best.

    As groups that carry noise alone are removed the loss stays flat, then it climbs; this is
    the last place on the flat (the one-standard-error rule of Breiman, Friedman, Olshen, Stone,
    *Classification and regression trees*, 1984). Few rows count few errors, so that by them alone
    the rule takes groups that matter: the log loss has to be near its lowest too, within one
    standard error of the difference on the same rows, or a tenth.

    Args:
        sweep: what :func:`sweep_groups` gives, on data that nothing was trained or will be
            tested on; without ``nll_error`` the loss alone decides.

    Raises:
        TypeError: for what is no data set of xarray's.
        KeyError: for one without the variables of a sweep.

    >>> import xarray as xr
    >>> loss = ("threshold", [0.020, 0.018, 0.019, 0.050])
    >>> sweep = xr.Dataset({"loss": loss, "loss_error": ("threshold", [0.002] * 4),
    ...     "weights": ("threshold", [90, 50, 20, 5])}, {"threshold": [2.0, 1.0, 0.0, -1.0]})
    >>> knee(sweep)
    0.0
    """
    loss = sweep["loss"].values
    best = int(np.nanargmin(loss))
    good = loss <= loss[best] + sweep["loss_error"].values[best]
    if "nll_error" in sweep:
        nll, lowest = sweep["nll"].values, np.nanmin(sweep["nll"].values)
        good &= nll <= lowest + np.maximum(sweep["nll_error"].values, _TRIFLE * abs(lowest))
    weights = np.where(good, sweep["weights"].values, np.inf)
    return float(sweep["threshold"].values[int(np.argmin(weights))])


def _between(scores: Mapping[str, Tensor]) -> list[float]:
    """Thresholds between neighbouring scores, from all groups kept down to one in some layer."""
    limit = max(float(score.min()) for score in scores.values())
    pooled = torch.cat([score.double().flatten().cpu() for score in scores.values()])
    values = pooled[pooled.isfinite()].unique()
    values = values[values >= limit]
    middles = 0.5 * (values[1:] + values[:-1])
    every = torch.cat([middles, (values[-1:] + 1)]).flip(0)
    places = torch.linspace(0, len(every) - 1, min(_THRESHOLDS, len(every))).round().long()
    return [float(value) for value in every[places]]


def losses_of(model: Predictor, x: AnyInputs, y: Tensor) -> Tensor:
    """Loss of the posterior means on every example, ``[n]``: the error, or the squared error.

    Args:
        model: a fitted model of a network.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
    """
    parts = [
        _loss(model.likelihood, model.likelihood(output), targets)
        for output, targets in _outputs(model, x, y)
    ]
    return torch.cat(parts).double()


def mean_loss(model: Predictor, x: AnyInputs, y: Tensor) -> tuple[float, float]:
    """The mean of :func:`losses_of`, and its standard error: NaN for one example."""
    losses = losses_of(model, x, y)
    spread = losses.std().item() if len(losses) > 1 else math.nan
    return losses.mean().item(), spread / math.sqrt(len(losses))


def _nll(model: Predictor, x: AnyInputs, y: Tensor) -> Tensor:
    """Negative log-likelihood of the posterior means on every example, ``[n]``."""
    parts = []
    for output, targets in _outputs(model, x, y):
        observed = model.likelihood.observed(targets, output)
        log_probs = model.likelihood(output).log_prob(observed)
        parts.append(-log_probs.double().reshape(len(targets), -1).sum(1))
    return torch.cat(parts)


def _means_and_errors(losses: Tensor) -> tuple[list[float], list[float]]:
    """Mean loss of every net ``[nets, n]``, and the standard error of its excess over the lowest.

    One row has no error; the excess of a net over itself is 0 in any case.
    """
    means = losses.mean(1)
    lowest = int(means.nan_to_num(nan=math.inf).argmin())
    excess = losses - losses[lowest]
    errors = excess.std(1) / math.sqrt(len(losses[0])) if losses.shape[1] > 1 else excess.sum(1) * 0
    return means.tolist(), errors.tolist()


def _outputs(model: Predictor, x: AnyInputs, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs of the posterior-mean network and targets, in batches."""
    module = model.plain_module().eval()
    for start in range(0, len(y), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        with torch.no_grad():
            yield call_with(module, x[rows]), y[rows]


def _loss(likelihood: Likelihood, predicted: TorchDistribution, y: Tensor) -> Tensor:
    """Whether a row's class is wrong, the share of its labels that are, or its squared error."""
    if likelihood.task == "regression":
        return (predicted.mean - y).square().reshape(len(y), -1).mean(1)
    probabilities = getattr(predicted, "probs", None)
    if isinstance(probabilities, Tensor) and probabilities.ndim == y.ndim + 1:
        return (probabilities.argmax(-1) != y).float()
    return ((predicted.mean > 0.5) != (y > 0.5)).float().reshape(len(y), -1).mean(1)
