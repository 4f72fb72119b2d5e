"""A budgeted super network with shared weights: edges with learned logits, an expected cost."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict

import torch
from torch import Tensor

from bayesnas.checks import (
    choice,
    draw_count,
    fraction_in,
    non_negative,
    positive,
    seed_number,
    size,
    step_count,
)
from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.inference.search.space import Candidate
from bayesnas.inference.search.strategies.policies import IndependentPolicy, Policy
from bayesnas.inference.search.strategies.shared_weights.alternation import (
    LOSSES,
    Alternation,
    SharedTraining,
    retrainable,
)
from bayesnas.inference.search.strategies.shared_weights.checkpoint import SearchCheckpoint
from bayesnas.inference.search.strategies.shared_weights.rounds import run_rounds
from bayesnas.inference.search.strategies.shared_weights.samples import Pair, samples_of
from bayesnas.inference.search.strategies.shared_weights.shared_search import SharedSearch
from bayesnas.nn.graphs.graph import Graph
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed

COSTS = ("parameters", "multiply-adds")


@typed(unchecked=("data", "validation"))
def budgeted_supernet(
    graph: Graph,
    data: Pair,
    validation: Pair,
    *,
    budget: float,
    cost: str = "parameters",
    cost_weight: float = 10.0,
    epochs: int = 50,
    batch_size: int = 64,
    lr: float = 0.05,
    weight_decay: float = 1e-4,
    warm_up: int = 0,
    policy_steps: int = 30,
    policy_batch: int = 1,
    policy_lr: float = 0.05,
    baseline_decay: float = 0.95,
    entropy_weight: float = 0.0,
    loss: str = "nll",
    derive: int = 100,
    seed: int = 0,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    progress: bool = True,
) -> SharedSearch:
    r"""Stochastic edges over shared weights, their expected cost within a budget.

    .. math:: \min_\theta\ E_{\Gamma \sim \pi_\theta} \ell_{val}(w_\Gamma)
        + \lambda \max\Bigl(0, \frac{E\, C(\Gamma)}{C_0} - 1\Bigr), \qquad
        E\, C = c + \sum_e \langle \mathrm{softmax}\,\theta^e, n^e \rangle

    The loss by REINFORCE, the expected cost exactly; c is the cost of the edges that are fixed. An
    edge of two operations, one of them "none", is Bernoulli. In the end many architectures are
    drawn, and the best of those within the budget on the validation examples is kept; where none
    is within it, the best of all, with a warning.

    Args:
        graph: with mixed edges; it is copied, its weights drawn anew.
        data: of the weights, ``(x, y)`` with classes y.
        validation: of the logits; ``data`` again for one level, as published.
        budget: C₀ > 0, of the whole network, in units of ``cost``.
        cost: ``"parameters"`` or ``"multiply-adds"`` an example, dead edges included.
        cost_weight: λ ≥ 0, in units of the loss.
        epochs: rounds: a pass over ``data``, then ``policy_steps``.
        batch_size: of both.
        lr: learning rate of the weights at the start; it falls to 0 by a cosine.
        weight_decay: of the weights.
        warm_up: rounds before the logits move.
        policy_steps: a round.
        policy_batch: architectures a step.
        policy_lr: of Adam, of logits.
        baseline_decay: of the moving average of losses.
        entropy_weight: β ≥ 0.
        loss: ``"nll"`` or ``"error"``.
        derive: architectures drawn in the end.
        seed: of everything.
        device: of the supernet.
        out: folder of a checkpoint; None writes nothing.
        checkpoint_every: rounds between two checkpoints.
        resume: go on from the checkpoint of ``out``, if it has one; the numbers are those of a
            search that was never interrupted.
        progress: show a bar.

    Raises:
        FileExistsError: ``out`` has a search, and ``resume`` is False.
        KeyboardInterrupt: after Ctrl-C with ``out``, once the round is written; without ``out`` a
            warning says so, and the result is as it stood.
        ValueError: naming the argument; where ``out`` has a search of other settings or data; for a
            graph without mixed edges, or a budget below the cost of its cheapest architecture.
        NonFiniteLossError: the weights diverge.

    References:
        Veniat, Denoyer, *Learning time/memory-efficient deep architectures with budgeted super
        networks*, 2018.

    >>> from torch import nn
    >>> options = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> graph = Graph({("x", "y"): options}, example=torch.zeros(1, 2))
    >>> half = torch.randn(32, 2), torch.arange(32) % 3
    >>> search = budgeted_supernet(
    ...     graph, half, half, budget=6, epochs=2, policy_steps=2, progress=False
    ... )
    >>> search.candidate
    {'x->y': 'line'}
    """
    settings = Alternation(
        epochs=step_count("epochs", epochs),
        batch_size=size("batch_size", batch_size),
        lr=positive("lr", lr),
        weight_decay=non_negative("weight_decay", weight_decay),
        warm_up=step_count("warm_up", warm_up, 0),
        policy_steps=step_count("policy_steps", policy_steps),
        policy_batch=draw_count("policy_batch", policy_batch),
        policy_lr=positive("policy_lr", policy_lr),
        baseline_decay=fraction_in("baseline_decay", baseline_decay, "[0, 1)"),
        entropy_weight=non_negative("entropy_weight", entropy_weight),
    )
    place = resolve_device(device)
    train, held_out = samples_of(graph, data, validation, place)
    checkpoint = SearchCheckpoint(
        out,
        {
            **asdict(settings),
            "search": "budgeted",
            "budget": budget,
            "cost": cost,
            "cost_weight": cost_weight,
            "loss": loss,
            "seed": seed_number("seed", seed),
            "device": place.type,
        },
        graph,
        {"data": train, "validation": held_out},
        every=checkpoint_every,
        resume=resume,
    )
    stream = RandomStream(seed, place)
    with stream.active():
        supernet = Supernet(retrainable(graph)).to(place)
        costs = ExpectedCost(graph, choice("cost", cost, COSTS))
        costs.check_budget(budget)
        weight = non_negative("cost_weight", cost_weight)
        training = SharedTraining(
            supernet,
            IndependentPolicy([len(graph.names[edge]) for edge in graph.mixed]),
            settings,
            train,
            held_out,
            loss=choice("loss", loss, LOSSES),
            penalty=lambda policy: weight * (costs(policy) / budget - 1).relu(),
            seed=seed,
        )
        run_rounds(
            training, settings.epochs, checkpoint=checkpoint, stream=stream, progress=progress
        )
        ranked = training.derive(
            held_out, draw_count("derive", derive), lambda each: costs.of(each) <= budget
        )
    if costs.of(ranked[0][0]) > budget:
        warnings.warn(
            f"none of {derive} architectures drawn is within the budget of {budget:,.0f}: search "
            "for longer, or with a larger cost_weight",
            stacklevel=2,
        )
    return SharedSearch(supernet, training.policy, ranked, training.history)


class ExpectedCost:
    """E C of a graph whose edges are drawn independently, and C of a candidate.

    Args:
        graph: with mixed edges.
        cost: of :data:`COSTS`.

    >>> from torch import nn
    >>> options = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> costs = ExpectedCost(Graph({("x", "y"): options}, example=torch.zeros(1, 2)), "parameters")
    >>> costs(IndependentPolicy([2])).item()
    7.5
    """

    def __init__(self, graph: Graph, cost: str) -> None:
        """Look up the costs; see the class."""
        counts = graph.parameter_counts if cost == "parameters" else graph.multiply_adds
        mixed = [counts[edge] for edge in graph.mixed]
        most = max(map(len, mixed))
        self._table = torch.tensor([[*row, *[0] * (most - len(row))] for row in mixed]).float()
        self._fixed = float(sum(sum(counts[e]) for e in graph.edges if e not in graph.mixed))
        self._least = self._fixed + sum(map(min, mixed))
        self._by_edge = [
            dict(zip(graph.names[edge], row, strict=True))
            for edge, row in zip(graph.mixed, mixed, strict=True)
        ]

    def __call__(self, policy: Policy) -> Tensor:
        """E C ``[]``, with a gradient by the logits."""
        assert isinstance(policy, IndependentPolicy)
        return self._fixed + (policy.probabilities * self._table).sum()

    def of(self, candidate: Candidate) -> float:
        """C of one candidate."""
        pairs = zip(candidate.values(), self._by_edge, strict=True)
        return self._fixed + sum(costs[str(name)] for name, costs in pairs)

    def check_budget(self, budget: float) -> None:
        """Raise where no architecture is as cheap."""
        if positive("budget", budget) < self._least:
            raise ValueError(
                f"budget must be at least the cost of the cheapest architecture, "
                f"{self._least:,.0f}, got {budget!r}"
            )
