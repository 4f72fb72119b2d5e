"""Accuracy against the share removed, of one family and start, kept for a second call."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field

import torch
from torch import nn

import bayesnas as bn
from bayesnas.data import DataSet, Split
from bayesnas.inference import Posterior
from bayesnas.inference.compression.plain_networks.prune import plain_subject, put_in
from bayesnas.inference.compression.plain_networks.training import prunable_masks
from bayesnas.likelihoods import Categorical
from bayesnas.pruning.criteria.removal import RemovalPlan
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.pruning.settings import Family, Settings, pooled
from bayesnas.tensor_files import read_json, write_json


@dataclass(frozen=True)
class Measured:
    """Test accuracies of one family and start.

    Attributes:
        whole: with all weights.
        pruned: by criterion, one for every share removed.
        retrained: the same after training what is left.
        free: with the weights removed by ΔF > 0 alone: the share removed, the accuracy, and that
            after training; empty where there is no posterior.
    """

    whole: float
    pruned: dict[str, list[float]] = field(default_factory=dict)
    retrained: dict[str, list[float]] = field(default_factory=dict)
    free: list[float] = field(default_factory=list)


def measured(
    family: Family, start: int, data: DataSet, settings: Settings, request: Request
) -> Measured:
    """Measure, or read what was measured before."""
    path = request.out / "measured" / f"{family.key}-{start}.json"
    if path.exists():
        return Measured(**read_json(path))
    request.say(f"{family.title}, start {start}")
    figures = _measure(family, start, data, settings, request)
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(figures))
    return figures


def _measure(
    family: Family, start: int, data: DataSet, settings: Settings, request: Request
) -> Measured:
    assert data.test is not None
    train, test = (pooled(part, settings.side(family)) for part in (data.train, data.test))
    if family.kind == "variational":
        return _of_a_posterior(family, start, train, test, settings, request)
    return _of_a_point(family, start, train, test, settings, request)


def _of_a_posterior(
    family: Family, start: int, train: Split, test: Split, settings: Settings, request: Request
) -> Measured:
    seed = settings.seed + start
    post = bn.fit(
        bn.models.GaussianNet(_regression(train), prior_scale="learned"),
        train,
        epochs=settings.epochs,
        lr=settings.lr,
        batch_size=settings.batch_size,
        seed=seed,
        device=request.device,
        progress=request.progress,
    )

    def retrained(smaller: Posterior) -> float:
        again = smaller.refine(
            train, epochs=settings.retraining_epochs, seed=seed, progress=request.progress
        )
        return again.evaluate(test, draws=0)["accuracy"]

    figures = Measured(post.evaluate(test, draws=0)["accuracy"])
    for by in family.criteria:
        smaller = [
            post.prune(by=by, fraction=fraction, biases=False, seed=seed)
            for fraction in settings.fractions
        ]
        figures.pruned[by] = [each.evaluate(test, draws=0)["accuracy"] for each in smaller]
        figures.retrained[by] = [retrained(each) for each in smaller]
    free = post.prune(by="evidence", biases=False)
    kept = float(free.model.keep_masks()["weight"].double().mean())
    figures.free.extend([1 - kept, free.evaluate(test, draws=0)["accuracy"], retrained(free)])
    return figures


def _of_a_point(
    family: Family, start: int, train: Split, test: Split, settings: Settings, request: Request
) -> Measured:
    seed = settings.seed + start
    l1, l2 = (settings.l1, 0.0) if family.kind == "l1" else (0.0, settings.l2)

    def trained(net: nn.Module, fraction: float, epochs: int) -> nn.Module:
        """Trained on, weights that are 0 left so: they are the smallest."""
        return bn.prune(
            net,
            train,
            by="magnitude",
            fraction=fraction,
            epochs=epochs,
            lr=settings.lr,
            batch_size=settings.batch_size,
            l1=l1,
            l2=l2,
            seed=seed,
            device=request.device,
            progress=False,
        ).module

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start_net = _regression(train)
    net = trained(start_net, 0.0, settings.epochs)
    figures = Measured(accuracy(net, test.x, test.y))
    sample = train.first(settings.curvature_examples)
    subject = plain_subject(net, Categorical(), sample, prunable_masks(net), l2, seed)
    for by in family.criteria:
        plan = RemovalPlan(subject, by, biases=False)
        smaller = [_without(net, plan, fraction) for fraction in settings.fractions]
        figures.pruned[by] = [accuracy(each, test.x, test.y) for each in smaller]
        figures.retrained[by] = [
            accuracy(trained(each, fraction, settings.retraining_epochs), test.x, test.y)
            for each, fraction in zip(smaller, settings.fractions, strict=True)
        ]
    return figures


def _without(net: nn.Module, plan: RemovalPlan, fraction: float) -> nn.Module:
    smaller = copy.deepcopy(net)
    put_in(smaller, plan.at(fraction))
    return smaller


def _regression(train: Split) -> nn.Linear:
    assert train.info.classes is not None
    return nn.Linear(train.x.shape[1], train.info.classes)
