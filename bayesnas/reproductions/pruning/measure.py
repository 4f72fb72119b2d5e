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
from bayesnas.inference.evaluation.tradeoff.model_pruning import ModelPruning
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.likelihoods import Categorical
from bayesnas.models.base import BayesianModel
from bayesnas.pruning.criteria.registry import rule_of
from bayesnas.pruning.criteria.removal import RemovalPlan, Removed
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.pruning.settings import Family, Settings, in_rounds, pooled
from bayesnas.tensor_files import read_json, write_json


@dataclass(frozen=True)
class Measured:
    """Test accuracies of one family and start.

    Attributes:
        whole: with all weights.
        pruned: by criterion, one for every share removed.
        retrained: the same after training what is left.
        free: by criterion, with the weights removed by ΔF > 0 alone: the share removed, the
            accuracy, and that after training; empty where there is no evidence.
    """

    whole: float
    pruned: dict[str, list[float]] = field(default_factory=dict)
    retrained: dict[str, list[float]] = field(default_factory=dict)
    free: dict[str, list[float]] = field(default_factory=dict)


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

    def refined(smaller: Posterior, epochs: int) -> Posterior:
        return smaller.refine(train, epochs=epochs, seed=seed, progress=request.progress)

    def tested(smaller: Posterior) -> float:
        return smaller.evaluate(test, draws=0)["accuracy"]

    def retrained(smaller: Posterior) -> float:
        return tested(refined(smaller, settings.retraining_epochs))

    figures = Measured(tested(post))
    curvature = train.first(settings.curvature_examples)
    for by in family.criteria:
        pruning = ModelPruning(
            post.model,
            by,
            seed=seed,
            training=(curvature.x, curvature.y),
            examples=len(train),
            biases=False,
        )
        smaller = [_with(post, pruning.at(fraction)) for fraction in settings.fractions]
        figures.pruned[by] = [tested(each) for each in smaller]
        figures.retrained[by] = [retrained(each) for each in smaller]
        if rule_of(by).threshold is not None:
            free = _with(post, pruning.at())
            kept = float(free.model.keep_masks()["weight"].double().mean())
            figures.free[by] = [1 - kept, tested(free), retrained(free)]
    for by in family.rounds:
        name, current = in_rounds(by), post
        figures.pruned[name], figures.retrained[name] = [], []
        for share in settings.round_shares:
            current = current.prune(by=by, fraction=share, biases=False)
            if share in settings.fractions:
                figures.pruned[name].append(tested(current))
                figures.retrained[name].append(retrained(current))
            current = refined(current, 1)
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
    subject = plain_subject(net, Categorical(), sample, prunable_masks(net), l2, seed, len(train))
    for by in family.criteria:
        plan = RemovalPlan(subject, by, biases=False)
        smaller = [_without(net, plan.at(fraction)) for fraction in settings.fractions]
        figures.pruned[by] = [accuracy(each, test.x, test.y) for each in smaller]
        figures.retrained[by] = [
            accuracy(trained(each, fraction, settings.retraining_epochs), test.x, test.y)
            for each, fraction in zip(smaller, settings.fractions, strict=True)
        ]
        if rule_of(by).threshold is not None:
            free = _without(net, plan.at())
            share = float((free.get_parameter("weight") == 0).double().mean())
            again = trained(free, share, settings.retraining_epochs)
            figures.free[by] = [
                share,
                accuracy(free, test.x, test.y),
                accuracy(again, test.x, test.y),
            ]
    return figures


def _with(post: Posterior, model: BayesianModel) -> Posterior:
    """A posterior of one chain with another model in it."""
    record = post.records()[0]
    chain = FittedChain(model, record.history, record.validation_nll)
    return Posterior(post.run, [chain], post.example)


def _without(net: nn.Module, removed: Removed) -> nn.Module:
    smaller = copy.deepcopy(net)
    put_in(smaller, removed)
    return smaller


def _regression(train: Split) -> nn.Linear:
    assert train.info.classes is not None
    return nn.Linear(train.x.shape[1], train.info.classes)
