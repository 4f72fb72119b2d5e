"""Models of bayesnas by ``bn.fit``, with their defaults but for what all methods are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.evaluation.reported import mean_probabilities
from bayesnas.inference.training.events import StepEvent
from bayesnas.models.base import BayesianModel
from peer_methods.task import DRAWS, Fitted, Predict, Task, by_parts


def fit_of(
    model: Callable[..., BayesianModel], kl_weight: Any = "auto"
) -> Callable[[Task], Fitted]:
    """Fits of a model of the zoo at a λ."""

    def fit(task: Task) -> Fitted:
        def look(event: StepEvent) -> None:
            epoch, within = divmod(event.step, task.batches_an_epoch)
            if within == 0:
                task.watch(epoch, probabilities(event.model, task.train))

        post = bn.fit(
            model(task.net(), likelihood="categorical"),
            task.train,
            kl_weight=kl_weight,
            epochs=task.epochs,
            batch_size=task.batch_size,
            lr=task.lr,
            seed=task.seed,
            device="cpu",
            progress=False,
            on_step=look,
        )
        assert isinstance(post, bn.Posterior)
        predict = probabilities(post.model, task.train)
        return Fitted(predict, lambda: smaller(post, task), note=f"λ = {post.kl_weight:g}")

    return fit


def probabilities(model: BayesianModel, train: Split) -> Predict:
    example = model.few_rows(train.x)
    return by_parts(lambda x: mean_probabilities(model, x, example, DRAWS, seed=0)[0])


def smaller(post: bn.Posterior, task: Task) -> tuple[float, Predict]:
    """Without what goes by the rules of docs/pruning.md: groups, or single weights."""
    by_groups = isinstance(post.model, bn.models.BayesianCompressionNet)
    how: dict[str, Any] = {"by": "group"} if by_groups else {}
    pruned = post.prune(validation=task.validation, **how)
    masks = pruned.model.keep_masks().values()
    kept = sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
    return kept, probabilities(pruned.model, task.train)
