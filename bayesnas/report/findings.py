"""The numbers of a report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from bayesnas.complexity import nats_to_bits
from bayesnas.data import DataSet, Split, StreamedSplit
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference import Posterior
from bayesnas.inference.evaluation.calibration import reliability
from bayesnas.inference.evaluation.intervals import predictive_interval
from bayesnas.inference.evaluation.metrics import predictive
from bayesnas.inference.posterior.base import NEARBY, BasePosterior
from bayesnas.report.latent_findings import Latents, latents_of
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

LEVEL = 0.9
"""Probability of the predictive intervals of a regression."""

MOST_STREAMED = 10_000
"""Rows of a streamed part behind what is drawn of single rows; metrics are of all."""

INTERVAL_DRAWS = 200
"""Draws behind these intervals."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Findings:
    """The numbers of a report.

    Attributes:
        post: the posterior they are of.
        sizes: examples by part of the data.
        part: the part that predictions are judged on: test where there is one.
        draws: weights drawn for the metrics; 0: posterior means.
        metrics: what ``post.evaluate`` gives, by part.
        complexity: what ``post.complexity`` gives with the training data.
        history: loss and its terms, of all chains; of a fit over many KL weights, at the steps
            near that of the posterior.
        pruning: metrics over ``(by, fraction)``; None for a model without weights.
        calibration: confidence, accuracy and share ``[3, bins]``; None for a regression.
        predictions: means, true values, and both ends of the 90 % predictive intervals, in the
            units of the data, ``[4, n]``; None for a classification and for an autoencoder.
        signal_to_noise: ``|μ|/σ`` of the weights kept, by layer.
        latents: how relevant the dimensions of an autoencoder are; None for other models.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    >>> post = bn.fit(model, data.train, steps=5, progress=False)
    >>> bn.report.measure(post, data, draws=2).part
    'test'
    """

    post: Posterior
    sizes: dict[str, int]
    part: str
    draws: int
    metrics: dict[str, dict[str, float]]
    complexity: dict[str, float]
    history: xr.Dataset
    pruning: xr.Dataset | None
    calibration: Array | None
    predictions: Array | None
    signal_to_noise: dict[str, Array]
    latents: Latents | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays of every weight, example and step, as JSON values."""
        content: dict[str, Any] = {
            "model": self.post.model.describe(),
            "data": {"name": self.post.data.name, "task": self.post.data.task, **self.sizes},
            "settings": self.post.settings.to_dict(),
            "steps": steps_taken(self.post),
            "chains": self.post.chains,
            "best_chain": self.post.best,
            "draws": self.draws,
            "metrics": self.metrics,
            "complexity": self.complexity,
            "signal_to_noise": {
                layer: {"weights": len(r), "median": float(np.median(r)) if len(r) else None}
                for layer, r in self.signal_to_noise.items()
            },
        }
        if self.pruning is not None:
            curve = self.pruning
            content["pruning"] = {
                "part": self.part,
                "fraction": curve["fraction"].values.tolist(),
                **{
                    str(metric): {str(by): curve[metric].sel(by=by).values.tolist() for by in order}
                    for metric in curve
                    for order in [curve["by"].values]
                },
            }
        if self.calibration is not None:
            names = ("confidence", "accuracy", "share")
            rows = dict(zip(names, self.calibration.tolist(), strict=True))
            content["calibration"] = {"part": self.part, **rows}
        if self.predictions is not None:
            content["interval_coverage"] = interval_coverage(self.predictions)
        if self.latents is not None:
            content["latents"] = self.latents.to_dict()
        return content


@typed()
def measure(post: Posterior, data: DataSet, *, draws: int = 32) -> Findings:
    """Compute the numbers of a report.

    Args:
        post: a fitted posterior.
        data: what it was fitted on, in parts; predictions are judged on its test part, or else
            on its validation part, or else on its training part.
        draws: draws of the weights for the metrics; 0: posterior means.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a negative number of draws, or data that don't fit the model.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> post = bn.fit(bn.models.GaussianNet(bn.nn.mlp([64, 20, 10])), data.train, steps=20)
    >>> findings = measure(post, data, draws=2)
    >>> findings.part, sorted(findings.signal_to_noise)
    ('test', ['layer1', 'layer2'])
    """
    parts = parts_of(data)
    part, judged = judged_part(data)
    prunable = bool(post.model.weight_posteriors())
    autoencoder = post.model.reconstructs
    regression = judged.info.task == "regression"
    metrics = {
        name: post.evaluate(parts[name], draws=draws) for name in dict.fromkeys(("train", part))
    }
    complexity = post.complexity(draws=max(draws, 1))
    if autoencoder:  # its KL depends on the data: every example has latents
        complexity["kl_nats"] = metrics["train"]["kl"]
        complexity["kl_bits"] = nats_to_bits(metrics["train"]["kl"])
    # What post.complexity(data.train) adds, from draws that are evaluated already.
    complexity["mdl_bits"] = nats_to_bits(
        complexity["kl_nats"] - metrics["train"]["expected_log_lik"]
    )
    return Findings(
        post=post,
        sizes={name: len(split) for name, split in parts.items()},
        part=part,
        draws=draws,
        metrics=metrics,
        complexity=complexity,
        history=history_near(post),
        pruning=post.pruning_curve(judged) if prunable else None,
        calibration=None if regression else _calibration(post, judged, draws),
        predictions=_predictions(post, judged) if regression and not autoencoder else None,
        signal_to_noise=signal_to_noise(post),
        latents=latents_of(post.model, _on_device(post, judged)[0]),
    )


def signal_to_noise(post: Posterior) -> dict[str, Array]:
    """``|μ|/σ`` of the weights and biases that are kept, ``[weights]`` by layer."""
    masks = post.model.keep_masks()
    layers: dict[str, list[Array]] = {}
    for site, (loc, scale) in post.model.weight_posteriors().items():
        ratios = (loc.abs() / scale)[masks[site]]
        layers.setdefault(site.rpartition(".")[0] or site, []).append(ratios.cpu().numpy())
    return {layer: np.concatenate(ratios) for layer, ratios in layers.items()}


def parts_of(data: DataSet) -> dict[str, Split]:
    """The parts that a data set has, by name."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: split for name, split in parts.items() if split is not None}


def judged_part(data: DataSet) -> tuple[str, Split]:
    """The part that predictions are judged on: test, or else validation, or else train."""
    parts = parts_of(data)
    part = next(name for name in ("test", "validation", "train") if name in parts)
    return part, parts[part]


def target_scale(post: Posterior) -> float | None:
    """What one unit of a standardised target is in the data's own; None where it has none."""
    standardisation = post.data.standardisation
    scales = None if standardisation is None else standardisation.y_scale
    return scales[0] if scales is not None and len(scales) == 1 else None


def _calibration(post: Posterior, split: Split, draws: int) -> Array:
    x, y = _on_device(post, split)
    means = predictive(post.model.eval(), x, y, draws, seed=0).means
    return torch.stack(reliability(means, y)).cpu().numpy()


def _predictions(post: Posterior, split: Split) -> Array:
    x, y = _on_device(post, split)
    model = post.model.eval()
    low, high = predictive_interval(model, x, post.example[0], LEVEL, INTERVAL_DRAWS, seed=0)
    means = predictive(model, x, y, INTERVAL_DRAWS, seed=0).means
    rows = torch.stack([v.reshape(y.shape).cpu().double() for v in (means, y, low, high)])
    scale = post.data.standardisation
    return (rows if scale is None else scale.invert_y(rows)).flatten(1).numpy()


def interval_coverage(predictions: Array) -> float:
    """Share of the true values that lie in their intervals; ``predictions`` as in `Findings`."""
    _, true, low, high = predictions
    return float(np.mean((low <= true) & (true <= high)))


def latents_in_use(findings: Findings) -> tuple[int, int] | None:
    """Latent dimensions of an autoencoder, and the smallest count that a measure calls active."""
    latents = findings.latents
    return None if latents is None else (len(latents.measures.latent), min(latents.active.values()))


def _on_device(post: Posterior, split: AnySplit) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets in memory; of a streamed part the first rows."""
    if isinstance(split, StreamedSplit):
        split = split.first(MOST_STREAMED)
    return split.x.to(post.example[0]), split.y.to(post.example[1])


def range_of_fit(post: Posterior) -> tuple[float, float] | None:
    """Smallest and largest KL weight of the fit behind a posterior; None where it had one.

    While a KL weight warms up it never falls; one that is drawn for every step does.
    """
    weights = post.history()["kl_weight"].values[post.best]
    weights = weights[np.isfinite(weights)]
    if bool((np.diff(weights) >= 0).all()):
        return None
    warm = weights[math.ceil(post.settings.kl_warmup * post.settings.steps) :]
    return (float(warm.min()), float(warm.max())) if len(warm) else None


def history_near(post: Posterior) -> xr.Dataset:
    """History of a posterior; of a fit over many KL weights, the steps near that of ``post``."""
    history = post.history()
    if range_of_fit(post) is None:
        return history
    weights = history["kl_weight"] / post.kl_weight
    near = (weights > math.exp(-NEARBY)) & (weights < math.exp(NEARBY))
    return history.where(near) if bool(near.any()) else history


def steps_taken(post: BasePosterior) -> int:
    """Steps of the best chain, which may have stopped early."""
    loss = post.history()["loss"].values[post.best]
    return int(np.isfinite(loss).sum())
