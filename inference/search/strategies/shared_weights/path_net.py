"""PathNet: evolution of paths through shared modules, kept from one task to the next."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bayesnas.checks import (
    draw_count,
    name_of,
    positive,
    seed_number,
    shown,
    size,
    step_count,
)
from bayesnas.inference.search.judges.supernet import check_classes
from bayesnas.inference.search.strategies.shared_weights.checkpoint import (
    SearchCheckpoint,
    module_fingerprint,
)
from bayesnas.inference.search.strategies.shared_weights.modular_graph import ModularGraph, Path
from bayesnas.inference.search.strategies.shared_weights.path_evolution import PathEvolution
from bayesnas.inference.search.strategies.shared_weights.rounds import run_rounds
from bayesnas.inference.search.strategies.shared_weights.samples import (
    Pair,
    head_outputs,
    sample_of,
)
from bayesnas.nn.graphs.graph import Graph
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed


@dataclass(frozen=True)
class Learned:
    """What became of a task.

    Attributes:
        modules: names of the winning path's modules, by edge.
        errors: share of wrong classes of the winner of each tournament, while it was trained.
    """

    modules: dict[str, tuple[str, ...]]
    errors: tuple[float, ...]


@typed(unchecked=("data",))
class PathNet(ModularGraph):
    r"""Modules in layers; a path uses up to N of each, and adds up what they give.

    A population of paths evolves by binary tournaments: two paths are trained a little, one after
    the other; the loser becomes a copy of the winner in which every index moves, with probability

    .. math:: \frac{1}{N L}

    by a whole number from −2 to 2, round the layer. After a task the modules of its best path, and
    the edges that are no choice, are frozen; all others are drawn anew, as is the population. So a
    later task may use what earlier ones learned, and can't spoil it. Every task has a head.

    Args:
        graph: its L mixed edges are the layers, their operations the modules; from inputs to
            features. It is copied, its weights drawn anew.
        active: N, most modules of a path in a layer.
        population: paths.
        seed: of everything.

    Raises:
        ValueError: naming the argument; for a graph without mixed edges.

    References:
        Fernando et al., *PathNet: evolution channels gradient descent in super neural networks*,
        2017.

    >>> modules = [nn.Sequential(nn.Linear(2, 4), nn.ReLU()) for _ in range(5)]
    >>> net = PathNet(Graph({("x", "h"): modules}, example=torch.zeros(1, 2)), active=2)
    >>> x = torch.randn(32, 2)
    >>> learned = net.learn("sign", (x, (x[:, 0] > 0).long()), nn.Linear(4, 2), tournaments=2)
    >>> net.predict("sign", x).shape, len(net.frozen) == len(learned.modules["x->h"])
    (torch.Size([32, 2]), True)
    """

    def __init__(
        self, graph: Graph, *, active: int = 3, population: int = 16, seed: int = 0
    ) -> None:
        """Draw the weights; see the class."""
        self._population = draw_count("population", population, 2)
        self._seed = seed_number("seed", seed)
        with RandomStream(derived_seed(seed, 0), torch.device("cpu")).active():
            super().__init__(graph, active)
        self._tasks: dict[str, tuple[Path, nn.Module]] = {}

    @typed(unchecked=("data", "head"))
    def learn(
        self,
        task: str,
        data: Pair,
        head: nn.Module,
        *,
        tournaments: int = 100,
        steps: int = 10,
        batch_size: int = 32,
        lr: float = 0.05,
        out: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 10,
        resume: bool = False,
        progress: bool = False,
    ) -> Learned:
        """Evolve and train paths for a task, then freeze the best.

        Args:
            task: its name, a new one.
            data: ``(x, y)`` with classes y.
            head: from features to classes; it is copied.
            tournaments: of two paths.
            steps: of a path in a tournament; its fitness is its error on their batches.
            batch_size: of a step.
            lr: of SGD, of the modules that are not frozen.
            out: folder of a checkpoint of this task; None writes nothing.
            checkpoint_every: tournaments between two checkpoints.
            resume: go on from the checkpoint of ``out``, if it has one. In a new process make the
                net again and learn its tasks in their order, each from its folder: those that are
                done are read, and the numbers are those without an interruption.
            progress: show a bar.

        Raises:
            FileExistsError: ``out`` has a search, and ``resume`` is False.
            KeyboardInterrupt: after Ctrl-C with ``out``, once the tournament is written, and the
                net is as it was before; without ``out`` a warning says so, and the task is learned
                as far as it was.
            ValueError: naming the argument; for a task that was learned before; where ``out`` has
                a search of another net, head, task or data.
        """
        if name_of("task", task) in self._tasks:
            raise ValueError(f"task must be a new one, got {task!r}, which was learned before")
        sample = sample_of("data", data, torch.device("cpu"))
        outputs = head_outputs("head", head, self.graph)
        check_classes(self.graph, sample.x, sample.y, "data", outputs)
        tournaments, steps = step_count("tournaments", tournaments), step_count("steps", steps)
        options: dict[str, Any] = {
            "population": self._population,
            "steps": steps,
            "batch_size": size("batch_size", batch_size),
            "lr": positive("lr", lr),
        }
        number = len(self._tasks)
        checkpoint = SearchCheckpoint(
            out,
            {
                **options,
                "search": "path-net",
                "active": self.active,
                "tournaments": tournaments,
                "seed": self._seed,
                "tasks": [*self._tasks, task],
                "weights": module_fingerprint(self.graph),
                "head": module_fingerprint(head),
            },
            self.graph,
            {"data": sample},
            every=checkpoint_every,
            resume=resume,
        )
        rng = np.random.default_rng([self._seed, 1 + number])
        stream = RandomStream(derived_seed(self._seed, 1 + number), torch.device("cpu"))
        head = copy.deepcopy(head)
        with self._unchanged_on_errors(), stream.active():
            if number:
                self.draw_anew()
            evolution = PathEvolution(self, head, sample, rng=rng, **options)
            run_rounds(
                evolution, tournaments, checkpoint=checkpoint, stream=stream, progress=progress
            )
        self._tasks[task] = evolution.best, head.eval().requires_grad_(False)
        self.freeze(evolution.best)
        return Learned(self.names_of(evolution.best), tuple(evolution.errors))

    @torch.no_grad()
    def predict(self, task: str, x: Tensor) -> Tensor:
        """Outputs of the head of a task ``[n, classes]``, by its path.

        Raises:
            ValueError: for a task that was not learned.
        """
        if task not in self._tasks:
            raise ValueError(f"task must be one of {list(self._tasks)}, got {shown(task)}")
        path, head = self._tasks[task]
        self.graph.eval()
        logits: Tensor = head(self.features(path, x))
        return logits

    @contextlib.contextmanager
    def _unchanged_on_errors(self) -> Iterator[None]:
        before = copy.deepcopy(self.graph.state_dict())
        try:
            yield
        except BaseException:
            self.graph.load_state_dict(before)
            raise
