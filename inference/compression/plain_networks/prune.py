"""Weights of a plain network removed, in rounds with training between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bayesnas.checks import flag, fraction_in, non_negative, positive, seed_number, whole_number
from bayesnas.data import Split
from bayesnas.inference.compression.plain_networks.pruned import Pruned
from bayesnas.inference.compression.plain_networks.training import (
    MOST_EPOCHS,
    PlainTask,
    Training,
    clear_removed,
    train,
)
from bayesnas.inference.config.inputs import Data
from bayesnas.likelihoods import AnyLikelihood, Likelihood
from bayesnas.pruning.criteria.curvature import SampleLoss
from bayesnas.pruning.criteria.group_masks import group_axes
from bayesnas.pruning.criteria.keep_masks import check_amount, score_at
from bayesnas.pruning.criteria.registry import Criterion, rule_of
from bayesnas.pruning.criteria.removal import RemovalPlan, Removed, is_bias
from bayesnas.pruning.criteria.subject import Subject
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed


@typed(unchecked=("data", "likelihood"))
def prune(
    module: nn.Module,
    data: Data,
    *,
    by: Criterion = "magnitude",
    fraction: float | None = None,
    threshold: float | None = None,
    groups: bool = False,
    biases: bool = False,
    rounds: int = 1,
    epochs: int = 0,
    lr: float = 1e-3,
    batch_size: int = 128,
    l1: float = 0.0,
    l2: float = 0.0,
    likelihood: AnyLikelihood = "categorical",
    noise_scale: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
) -> Pruned:
    r"""Remove weights of a trained network, and train what is left of it.

    In R rounds to a share f, round r removes weights up to the share 1 − (1 − f)^{r/R}, as large a
    part of what is left each time, then trains the others from where they are for ``epochs`` passes
    (Han, Pool, Tran, Dally 2015), by Adam with a cosine schedule on

    .. math:: -\frac1N \sum_n \ln p(y_n \mid f(x_n; w)) + a_1 \sum_i |w_i|
              + \tfrac12 a_2 \sum_i w_i^2 .

    Removed weights stay 0. Weights are the entries of matrices and kernels; norms, embeddings of
    one dim and, unless asked for, biases stay. For a criterion that needs a posterior fit a
    :class:`~bayesnas.models.GaussianNet` and call ``post.prune``.

    Args:
        module: a trained network; it is copied and never changed.
        data: training data: a part of a data set, or a pair ``(x, y)``.
        by: what goes first, the least: ``"magnitude"``; ``"obd"`` (Optimal Brain Damage), ½hw² with
            h on the diagonal of the Gauss–Newton matrix, ``"fisher"`` with the empirical Fisher's;
            ``"obs"`` (Optimal Brain Surgeon), ``"reduction"`` (Bayesian model reduction of the
            Laplace posterior, ``l2`` the precision of its prior over the number of examples) and
            ``"relevance"``, which also move what stays; ``"random"``.
        fraction: share of the weights removed, over all layers together; of groups as few go as
            remove at least so many.
        threshold: removes by value instead, in every round: where ``|w| ≤ threshold``, or where the
            loss rises by ≤ threshold nats an example; by reduction, as long as the evidence rises
            by ≥ threshold nats, 0 where no amount is given.
        groups: remove whole input units of linear layers and filters of convolutions.
        biases: whether biases may go too, and count in the share.
        rounds: R.
        epochs: passes over the sample after each round; 0 trains nothing.
        lr: learning rate at the start of each round.
        batch_size: examples in a batch.
        l1: a₁ of the training.
        l2: a₂ of the training, also part of the curvature.
        likelihood: of the targets given the outputs.
        noise_scale: for ``"gaussian"``, as for ``GaussianNet``.
        seed: of a random order and of the order of the data.
        device: where to compute.
        progress: show a bar over the rounds, where stderr is a terminal.

    Returns:
        the network and its masks.

    Raises:
        ValueError: for none or both of ``fraction`` and ``threshold``, one out of range, an unknown
            criterion (with the nearest names), too many weights for one that moves what stays,
            ``"reduction"`` of weights without a penalty, or where a layer would lose all its
            groups.
        TypeError: for a criterion that needs a posterior, or a module without weights.

    References:
        Han, Pool, Tran, Dally, *Learning both weights and connections for efficient neural
        networks*, NIPS 2015; of each criterion in docs/pruning.md.

    >>> import bayesnas as bn
    >>> digits = bn.data.load("digits").train
    >>> small = bn.prune(bn.nn.mlp([64, 20, 10]), digits, by="fisher", fraction=0.5)
    >>> small
    Pruned(Sequential: 740 of 1,480 weights)
    """
    rule = rule_of(by)
    if fraction is not None:
        fraction = fraction_in("fraction", fraction)
    elif threshold is None:
        threshold = rule.threshold
    check_amount(fraction, threshold)
    if threshold is not None:
        score_at(threshold, by)
    how = Training(
        whole_number("epochs", epochs, 0, MOST_EPOCHS),
        positive("lr", lr),
        whole_number("batch_size", batch_size),
        non_negative("l1", l1),
        non_negative("l2", l2),
    )
    rounds, seed = whole_number("rounds", rounds, 1, MOST_EPOCHS), seed_number("seed", seed)
    groups, biases = flag("groups", groups), flag("biases", biases)
    where = resolve_device(device)
    task = PlainTask.of(module, data, likelihood, noise_scale).to(where)
    net, observation, sample = task.net.eval(), task.likelihood, task.sample
    masks, example = task.masks, sample.x[:2]
    label, shown = f"prune by {by}", flag("progress", progress)
    with RandomStream(seed, where).active():
        for index in tqdm(range(rounds), desc=label, disable=None if shown else True):
            share = None if fraction is None else 1 - (1 - fraction) ** ((index + 1) / rounds)
            subject = plain_subject(net, observation, sample, masks, how.l2, seed)
            axes = group_axes(net) if groups else None
            removed = RemovalPlan(subject, by, axes=axes, biases=biases).at(share, threshold)
            masks = removed.masks
            put_in(net, removed)
            if how.epochs:
                train(net.train(), observation, sample, replace(how, masks=masks))
                net.eval()
    return Pruned(net.cpu(), {name: mask.cpu() for name, mask in masks.items()}, example.cpu())


def plain_subject(
    net: nn.Module,
    likelihood: Likelihood,
    sample: Split,
    masks: Mapping[str, Tensor],
    l2: float,
    seed: int,
    examples: int | None = None,
) -> Subject:
    """What a criterion may look at in a plain network.

    Args:
        net: the network, in evaluation mode.
        likelihood: of the targets given its outputs.
        sample: that the loss is taken on.
        masks: of an earlier pruning.
        l2: of the penalty on the weights.
        seed: of a random order.
        examples: of the training, where ``sample`` is a part of them; None for its rows.
    """
    penalty = {name: torch.tensor(l2) for name in masks if not is_bias(name)}
    scale = float(len(sample) if examples is None else examples)
    return Subject(
        {name: net.get_parameter(name).detach() for name in masks},
        masks,
        loss=SampleLoss(net, likelihood, sample.x, sample.y, penalty, scale),
        seed=seed,
    )


@torch.no_grad()
def put_in(net: nn.Module, removed: Removed) -> None:
    """Set a network's weights, in place, to what is left of them."""
    for name, value in (removed.moved or {}).items():
        net.get_parameter(name).copy_(value)
    clear_removed(net, removed.masks)
