"""Weight-agnostic search: structures evolve, no weight is trained."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bayesnas.checks import finite, flag, seed_number, step_count, whole_number
from bayesnas.data import Split
from bayesnas.files import path_of
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.search.growth.rows import check_alike, flat_rows
from bayesnas.inference.search.growth.weight_agnostic.evaluation import SharedWeights
from bayesnas.inference.search.growth.weight_agnostic.evolution import (
    Evolution,
    Generations,
    Scores,
)
from bayesnas.inference.search.growth.weight_agnostic.ranking import fronts
from bayesnas.inference.search.growth.weight_agnostic.result import WeightAgnostic
from bayesnas.nn.grown.neuron_graph import NeuronGraph
from bayesnas.runtime.interrupt import DeferredInterrupt, InterruptedFitWarning
from bayesnas.tensor_files import check_same_settings, read_json, write_json
from bayesnas.typed import typed

WEIGHTS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""Shared values that graphs are judged at in the paper."""

_CHECKPOINT = "checkpoint.json"
_RESULT = "result.json"


@typed(unchecked=("data", "validation"))
def weight_agnostic(
    data: Data,
    validation: Data | None = None,
    *,
    generations: int = 1000,
    weights: Sequence[float] = WEIGHTS,
    population: int = 200,
    tournament: int = 10,
    elite: float = 0.2,
    culled: float = 0.2,
    connected: float = 0.05,
    by_size: float = 0.8,
    changes: Sequence[float] = (0.25, 0.25, 0.5),
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 50,
    resume: bool = False,
    progress: bool = True,
) -> WeightAgnostic:
    r"""Weight-agnostic search: graphs of neurons that classify whatever one weight they all share.

    The performance of a graph at a shared weight w is the mean log-likelihood of the labels under
    the softmax of its outputs. A generation is sorted into non-dominated fronts by mean performance
    over the weights and fewness of connections (with probability ``by_size``), or by mean and best
    performance; the elite stays, the culled part goes, and each child is the best of a tournament
    with one change: a neuron inserted into a connection, a connection added, an activation changed.

    Args:
        data: labelled rows; inputs are used as they come, so scale them to about [0, 1].
        validation: by which the graph is chosen from the last front; None: by ``data``.
        generations: how many.
        weights: shared values that graphs are judged at.
        population: graphs a generation; 960 in the paper.
        tournament: graphs of which the best becomes a parent; 32 in the paper.
        elite: share of a generation that stays as it is.
        culled: share that has no children.
        connected: probability of each connection from an input to an output at the start.
        by_size: probability of ranking a generation by its sizes.
        changes: shares of inserted neurons, added connections, changed activations.
        seed: of everything random.
        out: folder for the result and checkpoints; None writes nothing.
        checkpoint_every: generations between two checkpoints.
        resume: go on from the checkpoint of ``out``, if it has one; the numbers are those of a
            search that was never interrupted. With more ``generations`` an ended one goes on too.
        progress: show a bar, where stderr is a terminal.

    Returns:
        the graphs, the history, and what their weights can do.

    Raises:
        ValueError: naming an argument out of range; for data that are not labelled rows; where
            ``out`` has a search and ``resume`` is False, or one of other settings or data.
        KeyboardInterrupt: after Ctrl-C with ``out``, once the generation is written; without
            ``out`` a warning says so, and the result is as it stood.
        TypeError: naming data that are no part of a data set and no pair.

    References:
        Gaier, Ha, *Weight agnostic neural networks*, NeurIPS 2019.

    >>> import bayesnas as bn
    >>> from bayesnas.inference.search import weight_agnostic
    >>> few = bn.data.load("digits").train.first(50)
    >>> result = weight_agnostic(few, generations=3, population=10)
    >>> result.graph.inputs, len(result.history)
    (64, 3)
    """
    rows = flat_rows("data", data, "classification")
    held_out = rows
    if validation is not None:
        held_out = flat_rows("validation", validation, "classification")
        check_alike(rows, held_out, "validation")
    how = Evolution(population, tournament, elite, culled, connected, by_size, tuple(changes))
    chosen = tuple(finite("weights", weight) for weight in weights)
    if not chosen:
        raise ValueError("weights must hold one shared value at least, got none")
    last = step_count("generations", generations)
    every = whole_number("checkpoint_every", checkpoint_every)
    settings = {**how.to_dict(), "weights": list(chosen), "seed": seed_number("seed", seed)}
    settings |= {"data": rows.fingerprint}
    classes = rows.info.classes
    assert classes is not None
    search = _Search(rows, classes, chosen, how, settings)
    folder = None if out is None else _folder(path_of("out", out), flag("resume", resume))
    if folder is not None and (folder / _CHECKPOINT).exists():
        search.restore(folder / _CHECKPOINT)
    with DeferredInterrupt() as interrupt, _bar(last, search.number, progress) as bar:
        while search.number < last and not interrupt.received():
            search.step()
            bar.update()
            if folder is not None and search.number % every == 0:
                search.write(folder / _CHECKPOINT)
        stopped = interrupt.received() and search.number < last
    if folder is not None:
        search.write(folder / _CHECKPOINT)
    where = f"at generation {search.number} of {last}"
    if stopped and folder is not None:
        raise KeyboardInterrupt(f"stopped {where}; resume=True goes on from {folder}")
    if stopped:
        warnings.warn(
            f"interrupted {where}: this is the result as it stood",
            InterruptedFitWarning,
            stacklevel=3,
        )
    result = search.result(held_out)
    if folder is not None:
        result.save(folder / _RESULT)
    return result


class _Search:
    """Generations, their scores and their history."""

    def __init__(
        self,
        rows: Split,
        classes: int,
        weights: tuple[float, ...],
        how: Evolution,
        settings: Mapping[str, Any],
    ) -> None:
        self._shared = SharedWeights(rows.x, rows.y, weights)
        self._weights = weights
        self._settings = settings
        self._generations = Generations(rows.x.shape[1], classes, how, settings["seed"])
        self._known: dict[NeuronGraph, Scores] = {}
        self._history: list[dict[str, Any]] = []
        self._front: list[tuple[NeuronGraph, Scores]] = []

    @property
    def number(self) -> int:
        """Generations done."""
        return self._generations.number

    def step(self) -> None:
        """Score a generation, note it, and make the next one."""
        graphs = self._generations.ask()
        scores = np.stack([self._score(graph) for graph in graphs])
        self._known = dict(zip(graphs, scores, strict=True))
        self._shared.forget()
        self._note(graphs, scores)
        self._generations.tell(scores)

    def result(self, held_out: Split) -> WeightAgnostic:
        """The front of the last generation, and the best of it on a sample."""
        graphs = tuple(graph for graph, _ in self._front)
        performance = torch.tensor(np.stack([scores for _, scores in self._front]))
        judge = SharedWeights(held_out.x, held_out.y, self._weights)
        means = [float(judge.log_lik(graph).mean()) for graph in graphs]
        best = graphs[int(np.argmax(means))]
        settings = {**self._settings, "generations": self.number}
        return WeightAgnostic(best, graphs, performance, self._weights, settings, self._history)

    def write(self, path: Path) -> None:
        """Write all that the search goes on from."""
        state = {
            "settings": self._settings,
            "generations": self._generations.state(),
            "history": self._history,
            "front": [(graph.to_dict(), scores.tolist()) for graph, scores in self._front],
        }
        write_json(path, state)

    def restore(self, path: Path) -> None:
        """Go on from what was written.

        Raises:
            ValueError: it is damaged, or of other settings or data.
        """
        state = read_json(path)
        try:
            stored = dict(state["settings"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"out: {path} {error}") from error
        check_same_settings(path, "a search", stored, self._settings)
        try:
            self._generations.restore(state["generations"])
            self._history = list(state["history"])
            self._front = [
                (NeuronGraph.from_dict(graph), np.array(scores)) for graph, scores in state["front"]
            ]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"out: {path} {error}") from error

    def _score(self, graph: NeuronGraph) -> Scores:
        known = self._known.get(graph)
        return self._shared.log_lik(graph).numpy() if known is None else known

    def _note(self, graphs: Sequence[NeuronGraph], scores: Scores) -> None:
        means = scores.mean(1)
        best = int(means.argmax())
        sizes = np.array([len(graph.connections) for graph in graphs])
        first = fronts(np.stack([means, -sizes], 1))[0]
        places = first[np.argsort(-means[first], kind="stable")]
        self._front = list({graphs[place]: scores[place] for place in places}.items())
        self._history.append(
            {
                "generation": self.number + 1,
                "performance": float(means[best]),
                "best_weight": float(scores[best].max()),
                "connections": int(sizes[best]),
                "neurons": len(graphs[best].activations),
                "median": float(np.median(means)),
            }
        )


def _folder(path: Path, resume: bool) -> Path:
    """The folder, made where it is not there.

    Raises:
        ValueError: it has a search, and ``resume`` is False.
    """
    path.mkdir(parents=True, exist_ok=True)
    if (path / _CHECKPOINT).exists() and not resume:
        raise ValueError(f"out: {path} has a search; give another folder, or resume=True")
    return path


def _bar(total: int, done: int, progress: bool) -> Any:
    shown = None if flag("progress", progress) else True
    return tqdm(total=total, initial=done, desc="weight-agnostic", unit="generation", disable=shown)
