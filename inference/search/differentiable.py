"""Differentiable architecture search: the DARTS family as settings of one bilevel fit."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from bayesnas.checks import non_negative, positive, whole_number
from bayesnas.distributions import LogUniform
from bayesnas.inference.bilevel.hypergradients import Hypergradient
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.config.schedules import Schedule
from bayesnas.inference.fit import fit
from bayesnas.inference.posterior.amortized import AmortizedPosterior
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.search.clipped_sgd import ClippedSGD
from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import edge_name
from bayesnas.nn.hypernetworks.monotone import MonotoneMap
from bayesnas.nn.hypernetworks.options import PiecewiseMap
from bayesnas.nn.hypernetworks.parameter_map import ParameterMap
from bayesnas.typed import typed

STRUCTURE_LR = 1e-3
"""Learning rate of α, as published for 50 epochs; shorter searches need a larger one."""
TEMPERATURES = (1.0, 0.2)
"""Of the Gumbel-Softmax, at the first and the last step."""
_FIRST_LR, _LAST_LR = 0.025, 0.001


@typed()
def darts(
    graph: Graph,
    data: Data,
    validation: Data,
    *,
    hypergradient: str | Hypergradient = "greedy",
    cost_weight: float = 0.0,
    structure_lr: float = STRUCTURE_LR,
    structure_schedule: Schedule = "constant",
    start: float = 0.0,
    **options: Any,
) -> Posterior:
    r"""DARTS: γ = softmax α a point, α on validation data, weights on training data.

    .. math:: \min_\alpha\ \frac1M \mathcal L_{val}(w^*(\alpha), \alpha)
        + \tilde\lambda \sum_e \langle \mathrm{softmax}\,\alpha^e, n^e \rangle, \qquad
        w^*(\alpha) = \arg\min_w \mathcal L_{train}(w, \alpha)

    n are the parameters of the operations; λ̃ = 0 is DARTS as published. The KL weight of the fit
    is λ̃ M, since its bound is a sum over the M validation examples.

    Args:
        graph: with mixed edges, such as ``bayesnas.nn.cells()``; it is not changed.
        data: of the weights.
        validation: of α; the published split is half and half.
        hypergradient: ``"greedy"``, first-order DARTS; ``"unrolled"``, second-order.
        cost_weight: λ̃ ≥ 0, nats an example and parameter.
        structure_lr: learning rate of α.
        structure_schedule: of it, as in ``bayesnas.fit``.
        start: fraction of the steps before α moves; operations with weights need some training
            before they can compare with those that have none.
        options: of ``bayesnas.fit``; by default as published, 50 epochs in batches of 64.

    Returns:
        a posterior; ``post.model.architecture()`` is the network it found.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: naming a number out of range, an unknown hypergradient, data and options that
            ``bayesnas.fit`` does not take.

    References:
        Liu, Simonyan, Yang, *DARTS: differentiable architecture search*, 2019.

    >>> import torch, bayesnas as bn
    >>> graph = bn.nn.cells(["reduction"], channels=2, nodes=1, image=8)
    >>> half = torch.randn(8, 1, 8, 8), torch.arange(8)
    >>> post = darts(graph, half, half, epochs=None, steps=1, progress=False)
    >>> len(post.model.probabilities())
    2
    """
    model = _model(graph, "point-mass")
    chosen = _options(hypergradient, structure_lr, structure_schedule, start, options)
    weight = non_negative("cost_weight", cost_weight) * _examples(validation)
    return fit(model, data, validation=validation, kl_weight=weight, **chosen)


@typed()
def gumbel_darts(
    graph: Graph,
    data: Data,
    validation: Data,
    *,
    hypergradient: str | Hypergradient = "greedy",
    cost_weight: float = 0.0,
    structure_lr: float = STRUCTURE_LR,
    structure_schedule: Schedule = "constant",
    start: float = 0.0,
    temperature: tuple[float, float] = TEMPERATURES,
    sample: str = "example",
    **options: Any,
) -> Posterior:
    """DARTS with γ drawn from a Gumbel-Softmax, which gets colder over the steps.

    Args:
        graph: of operations, as for :func:`darts`.
        data: of the weights.
        validation: of α.
        hypergradient: kind.
        cost_weight: λ̃.
        structure_lr: learning rate of α.
        structure_schedule: of it, as in ``bayesnas.fit``.
        start: fraction of the steps before α moves; operations with weights need some training
            before they can compare with those that have none.
        temperature: of the first and the last step.
        sample: γ drawn once a ``"batch"`` or for every ``"example"``.
        options: of ``bayesnas.fit``.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: naming a number out of range, an unknown hypergradient, data and options that
            ``bayesnas.fit`` does not take.

    References:
        Xie, Zheng, Liu, Lin, *SNAS: stochastic neural architecture search*, 2019.

    >>> import torch, bayesnas as bn
    >>> graph = bn.nn.cells(["reduction"], channels=2, nodes=1, image=8)
    >>> data = (torch.rand(8, 1, 8, 8), torch.arange(8) % 10)
    >>> post = gumbel_darts(graph, data, data, steps=2, progress=False)
    >>> post.model.architecture().mixed
    ()
    """
    model = _model(graph, "penalised-gumbel-softmax", temperature=temperature, sample=sample)
    chosen = _options(hypergradient, structure_lr, structure_schedule, start, options)
    weight = non_negative("cost_weight", cost_weight) * _examples(validation)
    return fit(model, data, validation=validation, kl_weight=weight, **chosen)


@typed()
def darts_cc(
    graph: Graph,
    data: Data,
    validation: Data,
    *,
    low: float = 1e-8,
    high: float = 1e-4,
    knots: int = 5,
    monotone: bool = False,
    hypergradient: str | Hypergradient = "greedy",
    structure_lr: float = STRUCTURE_LR,
    structure_schedule: Schedule = "constant",
    start: float = 0.0,
    temperature: tuple[float, float] = TEMPERATURES,
    sample: str = "example",
    **options: Any,
) -> AmortizedPosterior:
    """DARTS with complexity control: one search for every λ̃ of a range.

    α and the classifier are piecewise linear in log λ̃, all other weights are shared; every step
    is at a λ̃ of its own. An architecture of λ̃ is ``post.at(λ̃ M).model.architecture()``.

    As published α is free at every knot, and an architecture may get larger again as λ̃ grows. With
    ``monotone`` it can't: of any two operations of an edge α of the costlier one falls behind that
    of the other, so the likeliest never costs more at a larger λ̃, and a dead edge stays dead.

    Args:
        graph: of operations, as for :func:`darts`.
        data: of the weights.
        validation: of α.
        low: smallest λ̃.
        high: largest λ̃.
        knots: of α and the classifier.
        monotone: whether costlier operations only fall behind.
        hypergradient: kind.
        structure_lr: learning rate of α.
        structure_schedule: of it, as in ``bayesnas.fit``.
        start: fraction of the steps before α moves; operations with weights need some training
            before they can compare with those that have none.
        temperature: of the first and the last step.
        sample: γ drawn once a ``"batch"`` or for every ``"example"``.
        options: of ``bayesnas.fit``.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: naming a number out of range, an unknown hypergradient, data and options that
            ``bayesnas.fit`` does not take.

    References:
        Yakovlev, Grebenkova, Bakhteev, Strijov, *Neural architecture search with structure
        complexity control*, 2022.

    >>> import torch, bayesnas as bn
    >>> graph = bn.nn.cells(["reduction"], channels=2, nodes=1, image=8)
    >>> data = (torch.rand(8, 1, 8, 8), torch.arange(8) % 10)
    >>> post = darts_cc(graph, data, data, low=1e-6, high=1e-2, steps=2, progress=False)
    >>> post.at(1e-2 * 8).model.architecture().mixed
    ()
    """
    model = _model(graph, "penalised-gumbel-softmax", temperature=temperature, sample=sample)
    chosen = _options(hypergradient, structure_lr, structure_schedule, start, options)
    knots = whole_number("knots", knots, 2)
    examples = _examples(validation)
    maps: dict[str, ParameterMap] = {name: PiecewiseMap(knots) for name in classifier(graph)}
    maps |= _monotone(model, knots) if monotone else {"structural": PiecewiseMap(knots)}
    weight = LogUniform(positive("low", low) * examples, positive("high", high) * examples)
    post = fit(model, data, validation=validation, kl_weight=weight, amortize=maps, **chosen)
    assert isinstance(post, AmortizedPosterior)
    return post


@typed()
def classifier(graph: Graph) -> list[str]:
    """Beginnings of the names of the parameters on edges to the output, in a model of a graph.

    Raises:
        TypeError: for what is no graph.

    >>> import bayesnas as bn
    >>> classifier(bn.nn.cells(["normal"], channels=2, nodes=1, image=8))
    ['net.primitives.c0->y']
    """
    return [
        f"net.primitives.{edge_name(edge)}"
        for edge in graph.incoming(graph.output)
        if sum(graph.parameter_counts[edge]) > 0
    ]


def _monotone(model: LatentStructureNet, knots: int) -> dict[str, ParameterMap]:
    """The maps of α under which operations only fall behind cheaper ones, one a group of edges."""
    counts = model.graph.parameter_counts
    return {
        f"structural.{group.site}.logits": MonotoneMap(
            tuple(number for edge in group.edges for number in counts[edge]), knots
        )
        for group in model.groups
    }


def _model(graph: Graph, guide: str, **options: Any) -> LatentStructureNet:
    chosen = {"cost": "parameters", "cost_scale": 1.0, "weights": "point", **options}
    return LatentStructureNet(graph, guide, **chosen)


def _options(
    hypergradient: str | Hypergradient,
    structure_lr: float,
    structure_schedule: Schedule,
    start: float,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The published settings of both levels, and what the caller has set otherwise."""
    upper = Bilevel(
        hypergradient,
        optimizer=partial(torch.optim.Adam, betas=(0.5, 0.999), weight_decay=1e-3),
        lr=positive("structure_lr", structure_lr),
        schedule=structure_schedule,
        start=start,
    )
    length = {} if options.get("steps") is not None else {"epochs": 50}
    lower = partial(ClippedSGD, momentum=0.9, weight_decay=3e-4)
    course = {"batch_size": 64, "lr": _FIRST_LR, "schedule": _published_schedule}
    published: dict[str, Any] = {**course, "optimizer": lower, "bilevel": upper}
    return {**published, **length, **options}


def _published_schedule(progress: float) -> float:
    """Cosine from 1 to the ratio of last and first learning rate."""
    last = _LAST_LR / _FIRST_LR
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))


def _examples(data: Data) -> int:
    counted: Any = data[1] if isinstance(data, tuple) else data
    return len(counted)
