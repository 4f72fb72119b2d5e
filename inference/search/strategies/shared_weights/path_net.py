"""PathNet: evolution of paths through shared modules, kept from one task to the next."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

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
from bayesnas.inference.search.strategies.shared_weights.alternation import retrainable
from bayesnas.inference.search.strategies.shared_weights.samples import (
    Batches,
    Pair,
    Sample,
    head_outputs,
    sample_of,
)
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import AGGREGATIONS, Edge, edge_name
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed

Path = np.ndarray
"""Positions of the active modules ``[layers, N]``; a module may be named twice."""
_FARTHEST = 2  # that a mutation moves an index


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
class PathNet:
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
        if not graph.mixed:
            raise ValueError("graph must have a mixed edge, got one primitive on every edge")
        self._active = step_count("active", active)
        self._population = draw_count("population", population, 2)
        self._seed = seed_number("seed", seed)
        with RandomStream(derived_seed(seed, 0), torch.device("cpu")).active():
            self.graph = retrainable(graph)
        self._layers = [len(graph.names[edge]) for edge in graph.mixed]
        self._tasks: dict[str, tuple[Path, nn.Module]] = {}
        self.frozen: set[tuple[Edge, str]] = set()

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
            progress: show a bar.

        Raises:
            ValueError: naming the argument; for a task that was learned before.
        """
        if name_of("task", task) in self._tasks:
            raise ValueError(f"task must be a new one, got {task!r}, which was learned before")
        sample = sample_of("data", data, torch.device("cpu"))
        outputs = head_outputs("head", head, self.graph)
        check_classes(self.graph, sample.x, sample.y, "data", outputs)
        tournaments, steps = step_count("tournaments", tournaments), step_count("steps", steps)
        batch_size, lr = size("batch_size", batch_size), positive("lr", lr)
        number = len(self._tasks)
        rng = np.random.default_rng([self._seed, 1 + number])
        stream = RandomStream(derived_seed(self._seed, 1 + number), torch.device("cpu"))
        with stream.active():
            if number:
                self._draw_anew()
            trainer = _Trainer(self, copy.deepcopy(head), Batches(sample, batch_size), steps, lr)
            best, errors = self._evolve(trainer, tournaments, rng, progress)
        self._tasks[task] = best, trainer.head.eval().requires_grad_(False)
        self._freeze(best)
        return Learned(self._names(best), errors)

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

    def features(self, path: Path, x: Tensor) -> Tensor:
        """The value at the graph's output along a path."""
        graph, values = self.graph, {self.graph.input: x}
        rows = dict(zip(graph.mixed, path, strict=True))
        for vertex in graph.vertices[1:]:
            arriving = [self._edge(e, rows.get(e), values[e[0]]) for e in graph.incoming(vertex)]
            kind = graph.aggregation[vertex]
            values[vertex] = arriving[0] if len(arriving) == 1 else AGGREGATIONS[kind](arriving)
        return values[graph.output]

    def mutated(self, path: Path, rng: np.random.Generator) -> Path:
        """A copy in which indices have moved."""
        moves = rng.random(path.shape) < 1 / path.size
        steps = rng.integers(-_FARTHEST, _FARTHEST + 1, size=path.shape)
        child: Path = (path + moves * steps) % np.array(self._layers)[:, None]
        return child

    def _evolve(
        self, trainer: _Trainer, tournaments: int, rng: np.random.Generator, progress: bool
    ) -> tuple[Path, tuple[float, ...]]:
        """The path with the lowest error of the latest tournament that it was in, and errors."""
        sizes = np.array(self._layers)[:, None]
        shape = (len(self._layers), self._active)
        paths = [rng.integers(sizes, size=shape) for _ in range(self._population)]
        fitness = [float("inf")] * self._population
        errors = []
        for _ in tqdm(range(tournaments), disable=not progress, leave=False):
            pair = rng.choice(self._population, size=2, replace=False)
            for place in pair:
                fitness[place] = trainer(paths[place])
            winner, loser = sorted(pair, key=lambda place: fitness[place])
            paths[loser] = self.mutated(paths[winner], rng)
            fitness[loser] = float("inf")  # nobody knows yet
            errors.append(fitness[winner])
        return paths[int(np.argmin(fitness))], tuple(errors)

    def _edge(self, edge: Edge, row: np.ndarray | None, x: Tensor) -> Tensor:
        names = self.graph.names[edge]
        chosen = names if row is None else [names[place] for place in sorted(set(row.tolist()))]
        terms: list[Tensor] = [self.graph.primitive(edge, name)(x) for name in chosen]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)

    def parameters_of(self, path: Path) -> list[nn.Parameter]:
        """Weights along a path that are not frozen."""
        rows = dict(zip(self.graph.mixed, path, strict=True))
        parameters = []
        for edge in self.graph.edges:
            names = self.graph.names[edge]
            used = names if edge not in rows else [names[p] for p in set(rows[edge].tolist())]
            for name in used:
                if (edge, name) not in self.frozen:
                    parameters += list(self.graph.primitive(edge, name).parameters())
        return parameters

    def _freeze(self, path: Path) -> None:
        fixed = {(e, n) for e in self.graph.edges if e not in self.graph.mixed
                 for n in self.graph.names[e]}  # fmt: skip
        chosen = {
            (edge, self.graph.names[edge][place])
            for edge, row in zip(self.graph.mixed, path, strict=True)
            for place in row
        }
        self.frozen |= fixed | chosen

    def _draw_anew(self) -> None:
        """Fresh weights for what is not frozen."""
        fresh = retrainable(self.graph)
        for edge in self.graph.edges:
            for name in self.graph.names[edge]:
                if (edge, name) not in self.frozen:
                    state = fresh.primitive(edge, name).state_dict()
                    self.graph.primitive(edge, name).load_state_dict(state)

    def _names(self, path: Path) -> dict[str, tuple[str, ...]]:
        return {
            edge_name(edge): tuple(self.graph.names[edge][place] for place in sorted(set(row)))
            for edge, row in zip(self.graph.mixed, path.tolist(), strict=True)
        }


class _Trainer:
    """Trains paths with the head of a task."""

    def __init__(
        self, net: PathNet, head: nn.Module, batches: Batches, steps: int, lr: float
    ) -> None:
        self._net, self.head, self._batches = net, head, batches
        self._steps, self._lr = steps, lr

    def __call__(self, path: Path) -> float:
        """The error on the batches that the path was trained on."""
        parameters = [*self._net.parameters_of(path), *self.head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=self._lr)
        self._net.graph.train()
        for edge, name in self._net.frozen:  # averages of a normalisation stay, too
            self._net.graph.primitive(edge, name).eval()
        wrong = [self._step(path, optimizer) for _ in range(self._steps)]
        return sum(wrong) / len(wrong)

    def _step(self, path: Path, optimizer: torch.optim.Optimizer) -> float:
        batch: Sample = self._batches.next()
        output = self.head(self._net.features(path, batch.x))
        optimizer.zero_grad()
        F.cross_entropy(output, batch.y).backward()
        optimizer.step()
        return float((output.argmax(-1) != batch.y).double().mean())
