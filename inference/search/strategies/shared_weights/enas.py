"""ENAS: a controller and the weights that all architectures share, trained in turns."""

from __future__ import annotations

import os
from dataclasses import asdict

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
from bayesnas.inference.search.strategies.policies import Controller
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
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed


@typed(unchecked=("data", "validation"))
def enas(
    graph: Graph,
    data: Pair,
    validation: Pair,
    *,
    epochs: int = 50,
    batch_size: int = 64,
    lr: float = 0.05,
    weight_decay: float = 1e-4,
    warm_up: int = 0,
    controller_steps: int = 30,
    controller_batch: int = 1,
    controller_lr: float = 3.5e-4,
    hidden: int = 64,
    temperature: float = 5.0,
    tanh_constant: float | None = 2.5,
    baseline_decay: float = 0.99,
    entropy_weight: float = 1e-4,
    loss: str = "error",
    derive: int = 100,
    seed: int = 0,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    progress: bool = True,
) -> SharedSearch:
    r"""Efficient neural architecture search: the weights of a supernet and a controller in turns.

    .. math:: \nabla_w E_{\Gamma \sim \pi_\theta} \mathcal L_{train}(w_\Gamma), \qquad
        \nabla_\theta \bigl[E_{\Gamma \sim \pi_\theta} \ell_{val}(w_\Gamma)
        - \beta H(\pi_\theta)\bigr]

    Each step of the weights is that of one architecture drawn; each step of the controller is
    REINFORCE on one validation batch. In the end many are drawn, and the best on one sample of the
    validation examples is kept. Shared weights rank architectures, they are not theirs: retrain.

    Args:
        graph: with mixed edges; it is copied, its weights drawn anew.
        data: of the weights, ``(x, y)`` with classes y.
        validation: of the controller.
        epochs: rounds: a pass over ``data``, then ``controller_steps``.
        batch_size: of both.
        lr: learning rate of the weights at the start; it falls to 0 by a cosine.
        weight_decay: of the weights.
        warm_up: rounds before the controller moves, in which architectures are drawn from its
            first, nearly uniform distribution.
        controller_steps: a round.
        controller_batch: architectures a step.
        controller_lr: of Adam; short searches need a larger one than the published 3.5e-4.
        hidden: width of the controller.
        temperature: T of the controller's logits.
        tanh_constant: c of them, or None.
        baseline_decay: of the moving average of losses.
        entropy_weight: β.
        loss: ``"error"``, the share of wrong classes as published, or ``"nll"``.
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
            graph without mixed edges.
        NonFiniteLossError: the weights diverge.

    References:
        Pham, Guan, Zoph, Le, Dean, *Efficient neural architecture search via parameter sharing*,
        2018.

    >>> import torch
    >>> from torch import nn
    >>> options = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> graph = Graph({("x", "y"): options}, example=torch.zeros(1, 2))
    >>> half = torch.randn(32, 2), torch.arange(32) % 3
    >>> search = enas(graph, half, half, epochs=2, controller_steps=2, progress=False)
    >>> search.architecture().mixed, len(search.history["entropy"])
    ((), 2)
    """
    settings = Alternation(
        epochs=step_count("epochs", epochs),
        batch_size=size("batch_size", batch_size),
        lr=positive("lr", lr),
        weight_decay=non_negative("weight_decay", weight_decay),
        warm_up=step_count("warm_up", warm_up, 0),
        policy_steps=step_count("controller_steps", controller_steps),
        policy_batch=draw_count("controller_batch", controller_batch),
        policy_lr=positive("controller_lr", controller_lr),
        baseline_decay=fraction_in("baseline_decay", baseline_decay, "[0, 1)"),
        entropy_weight=non_negative("entropy_weight", entropy_weight),
    )
    place = resolve_device(device)
    train, held_out = samples_of(graph, data, validation, place)
    checkpoint = SearchCheckpoint(
        out,
        {
            **asdict(settings),
            "search": "enas",
            "hidden": hidden,
            "temperature": temperature,
            "tanh_constant": tanh_constant,
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
        controller = Controller(
            [len(graph.names[edge]) for edge in graph.mixed],
            hidden=step_count("hidden", hidden),
            temperature=positive("temperature", temperature),
            tanh_constant=None
            if tanh_constant is None
            else positive("tanh_constant", tanh_constant),
            seed=derived_seed(seed, 0),
        )
        training = SharedTraining(
            supernet,
            controller,
            settings,
            train,
            held_out,
            loss=choice("loss", loss, LOSSES),
            penalty=None,
            seed=seed,
        )
        run_rounds(
            training, settings.epochs, checkpoint=checkpoint, stream=stream, progress=progress
        )
        ranked = training.derive(held_out, draw_count("derive", derive), lambda candidate: True)
    return SharedSearch(supernet, controller, ranked, training.history)
