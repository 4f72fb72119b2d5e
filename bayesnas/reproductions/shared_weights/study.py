"""Architectures searched with shared weights, and random ones, each trained from fresh weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bayesnas.inference.search.strategies.shared_weights.budgeted_supernet import budgeted_supernet
from bayesnas.inference.search.strategies.shared_weights.enas import enas
from bayesnas.inference.search.strategies.shared_weights.shared_search import SharedSearch
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.random_architectures import architecture_sizes, random_architecture
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.shared_weights.space import (
    Settings,
    fashion_graph,
    images,
    retrained,
)
from bayesnas.tensor_files import read_json, write_json


@dataclass(frozen=True)
class Trained:
    """An architecture trained again: its size, and accuracies by seed."""

    parameters: int
    validation: tuple[float, ...]
    test: tuple[float, ...]


class Study:
    """All architectures, each searched and trained once; a second call goes on with a folder.

    Args:
        settings: of the whole.
        request: folder, data, and whom to tell.
    """

    def __init__(self, settings: Settings, request: Request) -> None:
        """Load the images; see the class."""
        self._settings, self._say = settings, request.say
        self._file = request.out / "architectures.json"
        self._parts = images(settings, request.root)
        self._space = fashion_graph(settings.channels)

    def run(self) -> dict[str, list[Trained]]:
        """By method, an entry a search or a random architecture."""
        settings = self._settings
        by_method = {
            "random": [
                self._trained(f"random-{index}", partial(self._random, index))
                for index in range(settings.random)
            ]
        }
        for method, search in self._searches():
            by_method[method] = [
                self._trained(f"{method}-{seed}", partial(_architecture, search, seed))
                for seed in range(settings.searches)
            ]
        return by_method

    def _searches(self) -> Iterator[tuple[str, Callable[..., SharedSearch]]]:
        train, held_out = self._parts.train, self._parts.validation
        options: dict[str, Any] = {
            "epochs": self._settings.epochs,
            "warm_up": self._settings.epochs // 3,
            "device": "cpu",
            "progress": False,
        }
        pair, validation = (train.x, train.y), (held_out.x, held_out.y)
        yield (
            "ENAS",
            partial(
                enas, self._space, pair, validation, controller_lr=5e-3, controller_batch=4,
                **options,
            ),
        )  # fmt: skip
        for share, budget in self._budgets().items():
            yield (
                f"budgeted, {share:.0%}",
                partial(
                    budgeted_supernet, self._space, pair, validation, budget=budget,
                    policy_batch=4, **options,
                ),
            )  # fmt: skip

    def _budgets(self) -> dict[float, float]:
        least, most = architecture_sizes(self._space)
        return {share: least + share * (most - least) for share in self._settings.budgets}

    def _random(self, index: int) -> Graph:
        """One of a spread of sizes, as many parameters expected."""
        least, most = architecture_sizes(self._space)
        share = (index + 0.5) / self._settings.random
        return random_architecture(self._space, index, least + share * (most - least))

    def _trained(self, key: str, make: Callable[[], Graph]) -> Trained:
        """The accuracies of an architecture, read where they are known."""
        known: dict[str, Any] = read_json(self._file) if self._file.exists() else {}
        if key not in known:
            self._say(key)
            graph = make()
            pairs = [
                retrained(graph, self._parts, self._settings, 100 + seed)
                for seed in range(self._settings.retrainings)
            ]
            operations = {f"{a}->{b}": "+".join(graph.names[a, b]) for a, b in graph.edges}
            known[key] = {
                "parameters": graph.parameter_count,
                "validation": [validation for validation, _ in pairs],
                "test": [test for _, test in pairs],
                "operations": operations,
            }
            write_json(self._file, known)
        entry = known[key]
        return Trained(entry["parameters"], tuple(entry["validation"]), tuple(entry["test"]))


def _architecture(search: Callable[..., SharedSearch], seed: int) -> Graph:
    return search(seed=seed).architecture()
