"""How large a network is: as it was built, as it stands, and without what is superfluous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bayesnas.data import DataSet
from bayesnas.inference import Posterior
from bayesnas.inference.evaluation.tradeoff.frontier import SUPERFLUOUS_DENSITY
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.nn import Graph
from bayesnas.report.compressed_figure import layer_sizes
from bayesnas.report.findings import judged_part


@dataclass(frozen=True)
class Size:
    """One state of a network.

    Attributes:
        state: which, in a few words.
        weights: with a posterior, that are kept.
        numbers: parameters of the compact plain network; None where there is none.
        units: inputs that it reads, then units or channels of every layer, as text.
        score: accuracy or rmse at the posterior means, on the part that is judged.
    """

    state: str
    weights: int
    numbers: int | None
    units: str
    score: float


@dataclass(frozen=True)
class Sizes:
    """Sizes before and after.

    Attributes:
        rows: as built, where something is removed already; as it stands; smaller.
        metric: what ``score`` is.
        part: of the data, on which it is measured.
        rule: how what is superfluous was found.
        superfluous: weights that it removes.
    """

    rows: tuple[Size, ...]
    metric: str
    part: str
    rule: str
    superfluous: int


def sizes_of(post: Posterior, data: DataSet) -> Sizes | None:
    """Measure a model with weights that can be removed; None for others.

    With a validation part the smaller network is the smallest whose loss there is within a
    standard error of the lowest, by groups where the model has groups; without one, every weight
    with ρ = exp(−μ²/2σ²) ≥ 0.99 goes.
    """
    masks = post.model.keep_masks() if post.model.weight_posteriors() else {}
    if not masks:
        return None
    part, judged = judged_part(data)
    smaller, rule = _smaller(post, data)
    metric = "accuracy" if judged.info.task == "classification" else "rmse"

    def size(state: str, of: Posterior) -> Size:
        kept = sum(int(mask.sum()) for mask in of.model.keep_masks().values())
        metrics = of.evaluate(judged, draws=0)
        return Size(state, kept, *_compact(of), metrics.get(metric, metrics["nll"]))

    now = size("as it stands", post)
    rows = [now]
    total = sum(mask.numel() for mask in masks.values())
    if now.weights < total:
        rows.insert(0, Size("as built", total, None, "", float("nan")))
    if smaller is not None:
        rows.append(size("without what is superfluous", smaller))
    return Sizes(
        rows=tuple(rows),
        metric=metric if metric in post.evaluate(judged, draws=0) else "nll",
        part=part,
        rule=rule,
        superfluous=0 if smaller is None else now.weights - rows[-1].weights,
    )


def _smaller(post: Posterior, data: DataSet) -> tuple[Posterior | None, str]:
    by: Literal["group", "density"] = "density"
    words = "weights"
    if isinstance(post.model, GroupedWeights):
        by, words = "group", "groups"
    try:
        if data.validation is not None:
            rule = (
                f"{words} are removed as long as the loss on the validation part stays within a "
                "standard error of the lowest"
            )
            return post.prune(validation=data.validation, by=by), rule
        rule = f"weights go where exp(−μ²/2σ²) ≥ {SUPERFLUOUS_DENSITY:g}, μ near 0 for its width"
        return post.prune(threshold=SUPERFLUOUS_DENSITY), rule
    except (TypeError, ValueError) as error:
        return None, f"nothing smaller was measured: {error}"


def _compact(post: Posterior) -> tuple[int | None, str]:
    try:
        net = post.compact()
    except (TypeError, ValueError):
        return None, ""
    numbers = sum(parameter.numel() for parameter in net.parameters())
    if isinstance(getattr(post.model, "net", None), Graph):  # its layers are no chain
        return numbers, ""
    try:
        return numbers, "–".join(map(str, layer_sizes(net)))
    except IndexError:  # no linear layer and no convolution
        return numbers, ""
