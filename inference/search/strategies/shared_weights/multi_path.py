"""MultiPath: several domains, each with a path of its own through one supernet."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

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
from bayesnas.inference.elbo.nonfinite import NonFiniteLossError
from bayesnas.inference.search.judges.supernet import Supernet, check_classes
from bayesnas.inference.search.space import Candidate
from bayesnas.inference.search.strategies.policies import Controller
from bayesnas.inference.search.strategies.policy_gradients import MovingBaseline, surrogate
from bayesnas.inference.search.strategies.shared_weights.alternation import retrainable
from bayesnas.inference.search.strategies.shared_weights.samples import (
    Batches,
    Pair,
    head_outputs,
    sample_of,
)
from bayesnas.inference.search.strategies.strings import StringSpace
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
        history: ``train_nll``, the joint loss, and the mean ``loss`` of each domain, by epoch.
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
        progress: show a bar.

    Raises:
        ValueError: naming the argument; for no domain, or one without a head.
        NonFiniteLossError: the weights diverge.

    References:
        Go et al., *Multi-path neural networks for on-device multi-domain visual classification*,
        2021, algorithm 1.

    >>> options = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> graph = Graph({("x", "h"): options}, example=torch.zeros(1, 2))
    >>> part = torch.randn(32, 2), torch.arange(32) % 2
    >>> heads = {"one": nn.Linear(3, 2), "other": nn.Linear(3, 2)}
    >>> domains = {"one": (part, part), "other": (part, part)}
    >>> found = multi_path(graph, domains, heads, epochs=2, progress=False)
    >>> found.predict("other", part[0]).shape
    torch.Size([32, 2])
    """
    _check_domains(domains, heads)
    epochs, batch_size = step_count("epochs", epochs), size("batch_size", batch_size)
    options: dict[str, Any] = {
        "lr": positive("controller_lr", controller_lr),
        "hidden": step_count("hidden", hidden),
        "decay": fraction_in("baseline_decay", baseline_decay, "[0, 1)"),
        "entropy_weight": non_negative("entropy_weight", entropy_weight),
    }
    device = torch.device("cpu")
    with RandomStream(seed_number("seed", seed), device).active():
        supernet = Supernet(retrainable(graph))
        parts = [
            _Domain(name, supernet, pair, heads[name], batch_size, derived_seed(seed, k), **options)
            for k, (name, pair) in enumerate(domains.items())
        ]
        weights = [*supernet.parameters(), *(p for d in parts for p in d.head.parameters())]
        optimizer = torch.optim.SGD(weights, lr=positive("lr", lr), momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        history: dict[str, list[float]] = {"train_nll": [], **{name: [] for name in domains}}
        steps = max(max(domain.rows for domain in parts) // batch_size, 1)
        for _ in tqdm(range(epochs), disable=not progress, leave=False):
            joint = [_step(supernet, parts, optimizer) for _ in range(steps)]
            if not math.isfinite(sum(joint)):
                raise NonFiniteLossError(
                    f"the training loss is not finite: try a smaller lr than {lr:g}"
                )
            schedule.step()
            history["train_nll"].append(sum(joint) / steps)
            for domain in parts:
                history[domain.name].append(sum(domain.errors[-steps:]) / steps)
        draws = draw_count("derive", derive)
        paths = {domain.name: domain.derived(draws) for domain in parts}
    return MultiPathSearch(
        supernet,
        {domain.name: domain.head.eval() for domain in parts},
        {domain.name: domain.controller for domain in parts},
        paths,
        history,
    )


def _check_domains(
    domains: Mapping[str, tuple[Pair, Pair]], heads: Mapping[str, nn.Module]
) -> None:
    if not isinstance(domains, Mapping) or not domains:
        raise ValueError("domains must be a mapping with one domain or more, got none")
    if not isinstance(heads, Mapping) or set(domains) != set(heads):
        raise ValueError(f"heads must be given for {list(domains)}, got {shown(heads)}")
    wrong = [
        name for name, pair in domains.items() if not isinstance(pair, tuple) or len(pair) != 2
    ]
    if wrong:
        raise ValueError(f"domains must be pairs (training, validation), got others for {wrong}")


def _step(supernet: Supernet, domains: list[_Domain], optimizer: torch.optim.Optimizer) -> float:
    """A path drawn and judged in every domain, weights moved jointly, then the controllers."""
    paths = [domain.draw() for domain in domains]
    errors = [domain.error(path) for domain, path in zip(domains, paths, strict=True)]
    losses = [domain.loss(path) for domain, path in zip(domains, paths, strict=True)]
    joint = torch.stack(losses).sum()
    optimizer.zero_grad()
    joint.backward()
    nn.utils.clip_grad_norm_(supernet.parameters(), 5.0)
    optimizer.step()
    for domain, path, error in zip(domains, paths, errors, strict=True):
        domain.learn(path, error)
    return float(joint.detach())


class _Domain:
    """One domain: its examples, head and controller."""

    def __init__(
        self,
        name: str,
        supernet: Supernet,
        pair: tuple[Pair, Pair],
        head: nn.Module,
        batch_size: int,
        seed: int,
        *,
        lr: float,
        hidden: int,
        decay: float,
        entropy_weight: float,
    ) -> None:
        device = torch.device("cpu")
        train = sample_of(f"domains[{name!r}]", pair[0], device)
        self._validation = sample_of(f"domains[{name!r}]", pair[1], device)
        outputs = head_outputs(f"heads[{name!r}]", head, supernet.graph)
        for part in (train, self._validation):
            check_classes(supernet.graph, part.x, part.y, f"domains[{name!r}]", outputs)
        self.name, self.rows, self.head = name, len(train), copy.deepcopy(head)
        self._supernet, self._strings = supernet, StringSpace(supernet.space, "MultiPath")
        self._train = Batches(train, batch_size)
        self._judged = Batches(self._validation, batch_size)
        self._draws = np.random.default_rng(seed)
        self.controller = Controller(self._strings.sizes.tolist(), hidden=hidden, seed=seed)
        self._optimizer = torch.optim.Adam(self.controller.parameters(), lr=lr)
        self._baseline, self._entropy_weight = MovingBaseline(decay), entropy_weight
        self.errors: list[float] = []

    def draw(self, count: int = 1) -> Tensor:
        return self.controller.sample(self._draws.random((count, len(self._strings.names))))

    def loss(self, path: Tensor) -> Tensor:
        """Nats an example of a training batch."""
        batch = self._train.next()
        return F.cross_entropy(self._output(path[0], batch.x), batch.y)

    @torch.no_grad()
    def error(self, path: Tensor) -> float:
        """Share of wrong classes of a validation batch."""
        batch = self._judged.next()
        return float((self._output(path[0], batch.x).argmax(-1) != batch.y).double().mean())

    def learn(self, path: Tensor, error: float) -> None:
        excess = torch.tensor([self._baseline.excess(error)])
        self._baseline.update(error)
        self._optimizer.zero_grad()
        surrogate(self.controller, path, excess, self._entropy_weight).backward()
        self._optimizer.step()
        self.errors.append(error)

    @torch.no_grad()
    def derived(self, count: int) -> Candidate:
        """The path of the lowest loss on all validation examples, of several drawn."""
        x, y = self._validation.x, self._validation.y
        drawn = torch.unique(self.draw(count), dim=0)
        losses = [float(F.cross_entropy(self._output(path, x), y)) for path in drawn]
        return self._strings.candidate(drawn[int(np.argmin(losses))].numpy())

    def _output(self, path: Tensor, x: Tensor) -> Tensor:
        features = self._supernet.train()(x, self._strings.candidate(path.numpy()))
        logits: Tensor = self.head.train()(features)
        return logits
