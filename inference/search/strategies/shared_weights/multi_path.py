"""MultiPath: several domains, each with a path of its own through one supernet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import (
    draw_count,
    fraction_in,
    non_negative,
    positive,
    seed_number,
    shown,
    size,
    step_count,
)
from bayesnas.inference.search.judges.supernet import Supernet, check_classes
from bayesnas.inference.search.space import Candidate
from bayesnas.inference.search.strategies.policies import Controller
from bayesnas.inference.search.strategies.shared_weights.alternation import retrainable
from bayesnas.inference.search.strategies.shared_weights.checkpoint import (
    SearchCheckpoint,
    module_fingerprint,
)
from bayesnas.inference.search.strategies.shared_weights.joint_training import (
    JOINT_LOSS,
    Domain,
    JointTraining,
)
from bayesnas.inference.search.strategies.shared_weights.rounds import run_rounds
from bayesnas.inference.search.strategies.shared_weights.samples import (
    Pair,
    Sample,
    head_outputs,
    sample_of,
)
from bayesnas.nn.graphs.graph import Graph
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed


@dataclass(frozen=True)
class MultiPathSearch:
    """A network of several paths.

    Attributes:
        supernet: with the weights of all domains, from inputs to features.
        heads: from features to classes, by domain.
        controllers: by domain.
        paths: the best path drawn of each domain.
        history: ``train_nll``, the joint loss, and by domain the mean share of wrong classes of
            the paths drawn, by epoch.
    """

    supernet: Supernet
    heads: Mapping[str, nn.Module]
    controllers: Mapping[str, Controller]
    paths: Mapping[str, Candidate]
    history: Mapping[str, list[float]]

    @torch.no_grad()
    def predict(self, domain: str, x: Tensor) -> Tensor:
        """Outputs of the head of a domain ``[n, classes]``, by its path."""
        logits: Tensor = self.heads[domain](self.supernet.eval()(x, self.paths[domain]))
        return logits

    @property
    def shared_edges(self) -> dict[str, tuple[str, ...]]:
        """Edges on which domains have the same operation, and which domains these are.

        Those of more than one domain; where several operations are shared, the larger group.
        """
        shared = {}
        for edge in self.supernet.space:
            groups: dict[object, list[str]] = {}
            for domain, path in self.paths.items():
                groups.setdefault(path[edge], []).append(domain)
            largest = max(groups.values(), key=len)
            if len(largest) > 1:
                shared[edge] = tuple(largest)
        return shared


@typed(unchecked=("domains",))
def multi_path(
    graph: Graph,
    domains: Mapping[str, tuple[Pair, Pair]],
    heads: Mapping[str, nn.Module],
    *,
    epochs: int = 20,
    batch_size: int = 64,
    lr: float = 0.05,
    controller_lr: float = 5e-3,
    hidden: int = 32,
    baseline_decay: float = 0.95,
    entropy_weight: float = 1e-3,
    derive: int = 50,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    progress: bool = True,
) -> MultiPathSearch:
    r"""Paths of several domains through one supernet, a controller a domain.

    .. math:: \min_w \sum_d E_{\Gamma \sim \pi_d} \mathcal L^d_{train}(w_\Gamma), \qquad
        \min_{\theta_d} E_{\Gamma \sim \pi_d} \ell^d_{val}(w_\Gamma) - \beta H(\pi_d)

    At every step each domain draws a path, which is judged on a validation batch and adds its loss
    on a training batch; the joint loss moves the weights, the rewards move each controller by
    REINFORCE. Operations that several domains choose are trained by all of them.

    Args:
        graph: with mixed edges, from inputs of all domains to features; it is copied, its weights
            drawn anew.
        domains: by name, training and validation examples, each ``(x, y)`` with classes y.
        heads: by name, from features to classes; they are copied.
        epochs: passes over the largest training sample.
        batch_size: of training and validation.
        lr: of the weights at the start, by SGD with a momentum of 0.9; it falls to 0 by a cosine.
        controller_lr: of Adam.
        hidden: width of the controllers.
        baseline_decay: of each moving average of errors.
        entropy_weight: β.
        derive: paths drawn in the end for each domain, of which the best on its validation
            examples is kept.
        seed: of everything.
        out: folder of a checkpoint; None writes nothing.
        checkpoint_every: epochs between two checkpoints.
        resume: go on from the checkpoint of ``out``, if it has one; the numbers are those of a
            search that was never interrupted.
        progress: show a bar.

    Raises:
        FileExistsError: ``out`` has a search, and ``resume`` is False.
        KeyboardInterrupt: after Ctrl-C with ``out``, once the epoch is written; without ``out`` a
            warning says so, and the result is as it stood.
        ValueError: naming the argument; for no domain, one without a head, or one with the name
            of the joint loss, ``train_nll``; where ``out`` has a search of other settings, heads
            or data.
        NonFiniteLossError: the weights diverge.

    References:
        Go et al., *Multi-path neural networks for on-device multi-domain visual classification*,
        2021, algorithm 1.

    >>> options = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> graph = Graph({("x", "h"): options}, example=torch.zeros(1, 2))
    >>> part = torch.randn(32, 2), torch.arange(32) % 2
    >>> heads = {"one": nn.Linear(3, 2), "other": nn.Linear(3, 2)}
    >>> domains = {"one": (part, part), "other": (part, part)}
    >>> search = multi_path(graph, domains, heads, epochs=2, progress=False)
    >>> search.predict("other", part[0]).shape
    torch.Size([32, 2])
    """
    _check_domains(domains, heads)
    epochs, batch_size = step_count("epochs", epochs), size("batch_size", batch_size)
    lr, draws = positive("lr", lr), draw_count("derive", derive)
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "lr": positive("controller_lr", controller_lr),
        "hidden": step_count("hidden", hidden),
        "decay": fraction_in("baseline_decay", baseline_decay, "[0, 1)"),
        "entropy_weight": non_negative("entropy_weight", entropy_weight),
    }
    samples = {name: _samples(name, graph, pair, heads[name]) for name, pair in domains.items()}
    checkpoint = SearchCheckpoint(
        out,
        {
            **{("controller_lr" if name == "lr" else name): each for name, each in options.items()},
            "search": "multi-path",
            "epochs": epochs,
            "lr": lr,
            "domains": list(domains),
            "heads": [module_fingerprint(heads[name]) for name in domains],
            "seed": seed_number("seed", seed),
        },
        graph,
        {
            f"{name}, {part}": sample
            for name, pair in samples.items()
            for part, sample in zip(("train", "validation"), pair, strict=True)
        },
        every=checkpoint_every,
        resume=resume,
    )
    stream = RandomStream(seed, torch.device("cpu"))
    with stream.active():
        supernet = Supernet(retrainable(graph))
        parts = [
            Domain(name, supernet, *pair, heads[name], seed=derived_seed(seed, k), **options)
            for k, (name, pair) in enumerate(samples.items())
        ]
        training = JointTraining(supernet, parts, epochs=epochs, batch_size=batch_size, lr=lr)
        run_rounds(training, epochs, checkpoint=checkpoint, stream=stream, progress=progress)
        paths = {domain.name: domain.derived(draws) for domain in parts}
    return MultiPathSearch(
        supernet,
        {domain.name: domain.head.eval() for domain in parts},
        {domain.name: domain.controller for domain in parts},
        paths,
        training.history,
    )


def _samples(
    name: str, graph: Graph, pair: tuple[Pair, Pair], head: nn.Module
) -> tuple[Sample, Sample]:
    """Training and validation examples of a domain, of classes that its head has."""
    argument = f"domains[{name!r}]"
    outputs = head_outputs(f"heads[{name!r}]", head, graph)
    train, held_out = (sample_of(argument, data, torch.device("cpu")) for data in pair)
    for sample in (train, held_out):
        check_classes(graph, sample.x, sample.y, argument, outputs)
    return train, held_out


def _check_domains(
    domains: Mapping[str, tuple[Pair, Pair]], heads: Mapping[str, nn.Module]
) -> None:
    if not isinstance(domains, Mapping) or not domains:
        raise ValueError("domains must be a mapping with one domain or more, got none")
    if JOINT_LOSS in domains:
        raise ValueError(
            f"domains must have other names than {JOINT_LOSS!r}, under which the history has the "
            f"joint loss, got {list(domains)}"
        )
    if not isinstance(heads, Mapping) or set(domains) != set(heads):
        raise ValueError(f"heads must be given for {list(domains)}, got {shown(heads)}")
    wrong = [
        name for name, pair in domains.items() if not isinstance(pair, tuple) or len(pair) != 2
    ]
    if wrong:
        raise ValueError(f"domains must be pairs (training, validation), got others for {wrong}")
