"""A population of paths through shared modules, trained a little in binary tournaments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.inference.search.strategies.shared_weights.checkpoint import State
from bayesnas.inference.search.strategies.shared_weights.modular_graph import ModularGraph, Path
from bayesnas.inference.search.strategies.shared_weights.samples import Batches, Sample
from bayesnas.nn.modules.parameter_names import below


class PathEvolution:
    """The paths of one task; a round is a tournament.

    Args:
        net: whose modules are moved, but for those that are frozen.
        head: of the task; it is moved.
        sample: of the task.
        population: paths.
        steps: of a path in a tournament.
        batch_size: of a step.
        lr: of SGD.
        rng: of paths and tournaments.

    Attributes:
        errors: share of wrong classes of the winner of each tournament.
    """

    def __init__(
        self,
        net: ModularGraph,
        head: nn.Module,
        sample: Sample,
        *,
        population: int,
        steps: int,
        batch_size: int,
        lr: float,
        rng: np.random.Generator,
    ) -> None:
        """Draw the population; see the class."""
        self._net, self._head, self._steps, self._lr, self._rng = net, head, steps, lr, rng
        self._batches = Batches(sample, batch_size)
        self._paths = [net.drawn(rng) for _ in range(population)]
        self._fitness = np.full(population, np.inf)
        self.errors: list[float] = []

    @property
    def best(self) -> Path:
        """The path with the lowest error of the latest tournament that it was in."""
        return self._paths[int(np.argmin(self._fitness))]

    @property
    def done(self) -> int:
        """Tournaments so far."""
        return len(self.errors)

    def round(self) -> None:
        """Two paths are trained; the loser becomes a mutated copy of the winner."""
        pair = self._rng.choice(len(self._paths), size=2, replace=False)
        for place in pair:
            self._fitness[place] = self._trained(self._paths[place])
        winner, loser = sorted(pair, key=lambda place: self._fitness[place])
        self._paths[loser] = self._net.mutated(self._paths[winner], self._rng)
        self._fitness[loser] = np.inf  # nobody knows yet
        self.errors.append(float(self._fitness[winner]))

    def state(self) -> State:
        """All that later rounds follow from, but for torch's random state."""
        tensors = {
            "rows": self._batches.left,
            "paths": torch.from_numpy(np.stack(self._paths)),
            "fitness": torch.from_numpy(self._fitness),
        }
        for name, module in self._modules().items():
            tensors |= {f"{name}/{key}": each for key, each in module.state_dict().items()}
        return tensors, {"draws": self._rng.bit_generator.state, "errors": self.errors}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        for name, module in self._modules().items():
            module.load_state_dict(below(f"{name}/", tensors))
        self._batches.left = tensors["rows"]
        self._paths, self._fitness = list(tensors["paths"].numpy()), tensors["fitness"].numpy()
        self._rng.bit_generator.state = values["draws"]
        self.errors = values["errors"]

    def _modules(self) -> dict[str, nn.Module]:
        return {"graph": self._net.graph, "head": self._head}

    def _trained(self, path: Path) -> float:
        """Train a path; its error on the batches that it was trained on."""
        parameters = [*self._net.parameters_of(path), *self._head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=self._lr)
        self._net.graph.train()
        for edge, name in self._net.frozen:  # averages of a normalisation stay, too
            self._net.graph.primitive(edge, name).eval()
        wrong = [self._step(path, optimizer) for _ in range(self._steps)]
        return sum(wrong) / len(wrong)

    def _step(self, path: Path, optimizer: torch.optim.Optimizer) -> float:
        batch = self._batches.next()
        output = self._head(self._net.features(path, batch.x))
        optimizer.zero_grad()
        F.cross_entropy(output, batch.y).backward()
        optimizer.step()
        return float((output.argmax(-1) != batch.y).double().mean())
