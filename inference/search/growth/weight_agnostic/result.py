"""What a weight-agnostic search gives: graphs, their scores, and what their weights can do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from bayesnas.checks import positive, seed_number, size, whole_number
from bayesnas.data import Split
from bayesnas.files import path_of
from bayesnas.inference.compression.plain_networks.training import MOST_EPOCHS, Training, train
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.search.growth.rows import check_alike, flat_rows
from bayesnas.inference.search.growth.weight_agnostic.evaluation import SharedWeights
from bayesnas.inference.search.growth.weight_agnostic.weight_posterior import (
    HIGH,
    LOW,
    WeightPosterior,
    weight_posterior,
)
from bayesnas.likelihoods import make_likelihood
from bayesnas.nn.grown.neuron_graph import NeuronGraph
from bayesnas.nn.grown.neuron_net import NeuronNet
from bayesnas.runtime.random_state import RandomStream
from bayesnas.tensor_files import read_json, write_json
from bayesnas.typed import typed
from bayesnas.untrusted_files import untrusted_file

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "bayesnas weight-agnostic search 1"
_GRID = 200  # weights of the mean over a random one
_AT_ONCE = 8  # weights evaluated together


@dataclass(frozen=True)
class WeightAgnostic:
    """Graphs found by :func:`~bayesnas.inference.search.weight_agnostic`.

    Attributes:
        graph: the one chosen: of the best mean performance, on validation data where there were.
        front: graphs of the last generation that none surpasses both in mean performance and in
            fewness of connections, by falling performance.
        performance: mean log-likelihood of a training label at each shared weight, nats, float64
            ``[front, weights]``.
        weights: the shared values that graphs were judged at.
        settings: what decides the numbers, as JSON values.
        generations: what is known of each, see :attr:`history`.

    >>> import bayesnas as bn
    >>> from bayesnas.inference.search import weight_agnostic
    >>> few = bn.data.load("digits").train.first(50)
    >>> weight_agnostic(few, generations=2, population=10).graph.inputs
    64
    """

    graph: NeuronGraph
    front: tuple[NeuronGraph, ...] = field(repr=False)
    performance: Tensor = field(repr=False)
    weights: tuple[float, ...]
    settings: Mapping[str, Any] = field(repr=False)
    generations: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def history(self) -> pd.DataFrame:
        """One row a generation.

        ``performance`` is the mean over shared weights of the generation's best graph, nats a
        label, ``best_weight`` the performance of that graph at its best weight, ``connections`` and
        ``neurons`` (hidden ones) its size, ``median`` the median performance of the generation.
        """
        import pandas as pd

        return pd.DataFrame.from_records(list(self.generations), index="generation")

    @typed()
    def module(self, weight: float | None = None) -> NeuronNet:
        """The chosen graph as a network whose weights can be trained.

        Args:
            weight: the value that they share at the start; None: the one of :attr:`weights` with
                the best training performance.

        Raises:
            ValueError: for a weight that is not finite.
        """
        if weight is None:
            place = self.front.index(self.graph)
            weight = self.weights[int(self.performance[place].argmax())]
        return NeuronNet.of(self.graph, weight)

    @typed()
    def posterior(self, data: Data, prior: Distribution | None = None) -> WeightPosterior:
        """The exact posterior of the shared weight of the chosen graph, and its evidence.

        Args:
            data: labelled rows.
            prior: of the weight, a ``Uniform`` or a ``Normal``; by default uniform on [−2, 2].

        Raises:
            TypeError: naming an argument of another type.
            ValueError: naming rows that the graph does not take.
        """
        rows = self._rows("data", data)
        return weight_posterior(self.graph, rows.x, rows.y, prior)

    @typed()
    def evidence(self, data: Data, prior: Distribution | None = None) -> pd.DataFrame:
        """The evidence of every graph of the front, which ranks structures; one row a graph.

        Args:
            data: labelled rows.
            prior: as for :meth:`posterior`.

        Returns:
            columns ``connections``, ``neurons``, ``log_evidence`` (nats), ``mean`` and ``std`` of
            the shared weight's posterior.

        Raises:
            TypeError: naming an argument of another type.
            ValueError: naming rows that the graph does not take.
        """
        import pandas as pd

        rows = self._rows("data", data)
        posteriors = [weight_posterior(graph, rows.x, rows.y, prior) for graph in self.front]
        return pd.DataFrame(
            {
                "connections": [len(graph.connections) for graph in self.front],
                "neurons": [len(graph.activations) for graph in self.front],
                "log_evidence": [each.log_evidence for each in posteriors],
                "mean": [each.mean for each in posteriors],
                "std": [each.std for each in posteriors],
            }
        )

    @typed()
    def trained(
        self,
        data: Data,
        *,
        epochs: int = 300,
        lr: float = 0.01,
        batch_size: int = 128,
        seed: int = 0,
    ) -> NeuronNet:
        """The chosen graph with one trained weight a connection, by Adam from the tuned weight.

        Args:
            data: labelled rows.
            epochs: passes over them.
            lr: learning rate at the start, cosine down to 0.
            batch_size: rows a step.
            seed: of the order of the rows.

        Raises:
            TypeError: naming an argument of another type.
            ValueError: naming rows that the graph does not take, or a number out of range.
        """
        rows, seed = self._rows("data", data), seed_number("seed", seed)
        how = Training(
            whole_number("epochs", epochs, 0, MOST_EPOCHS),
            positive("lr", lr),
            size("batch_size", batch_size),
        )
        net = NeuronNet.of(self.graph, weight_posterior(self.graph, rows.x, rows.y).best)
        if not net(rows.x[:1]).requires_grad:  # steps alone, or nothing, lie behind the outputs
            return net
        with RandomStream(seed, torch.device("cpu")).active():
            train(net, make_likelihood("categorical"), rows, how)
        return net

    @typed()
    def table(self, train: Data, test: Data, *, epochs: int = 300, seed: int = 0) -> pd.DataFrame:
        """Test accuracy by what becomes of the weights: the four rows of the paper's table.

        ``random``: one shared weight, uniform on [−2, 2], mean and standard deviation over it;
        ``ensemble``: probabilities averaged over :attr:`weights`; ``tuned``: the one shared weight
        of the largest training likelihood; ``trained``: one weight a connection, by gradients.

        Args:
            train: what weights are tuned and trained on.
            test: what is counted.
            epochs: of the training.
            seed: of the training.

        Returns:
            columns ``accuracy`` and ``deviation``, the latter of ``random`` alone.

        Raises:
            TypeError: naming an argument of another type.
            ValueError: naming rows that the graph does not take, or a number out of range.
        """
        import pandas as pd

        rows, held_out = self._rows("train", train), self._rows("test", test)
        check_alike(rows, held_out, "test")
        step = (HIGH - LOW) / _GRID
        random = self._accuracies(held_out, torch.arange(_GRID) * step + LOW + step / 2)
        outputs = SharedWeights(held_out.x, held_out.y, self.weights).outputs(self.graph)
        ensemble = outputs.softmax(1).mean(0).argmax(0) == held_out.y
        best = weight_posterior(self.graph, rows.x, rows.y).best
        net = self.trained(rows, epochs=epochs, seed=seed)
        with torch.no_grad():
            trained = net(held_out.x).argmax(1) == held_out.y
        by_row = {
            "random": (float(random.mean()), float(random.std())),
            "ensemble": (float(ensemble.double().mean()), None),
            "tuned": (float(self._accuracies(held_out, torch.tensor([best]))), None),
            "trained": (float(trained.double().mean()), None),
        }
        frame = pd.DataFrame.from_dict(by_row, orient="index", columns=["accuracy", "deviation"])
        frame.index.name = "weights"
        return frame.astype(float)

    @typed()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to a JSON file; one that is there is replaced.

        Raises:
            OSError: naming the path, where it can't be written.
            TypeError: for what is no path.
        """
        write_json(path_of("path", path), self.to_dict())

    @classmethod
    @typed()
    def load(cls, path: str | os.PathLike[str]) -> WeightAgnostic:
        """The result of a file of :meth:`save`, or of a folder ``out`` of a search that ended.

        Raises:
            FileNotFoundError: there is none.
            ValueError: naming the file, where it is cut off, or not such a result.
        """
        place = path_of("path", path)
        place = place / "result.json" if place.is_dir() else place
        content = read_json(place)
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{place} must be of format {FORMAT!r}, got {content.get('format')!r:.100}"
            )
        with untrusted_file(place, "result of a weight-agnostic search"):
            return cls._from_dict(content)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "format": FORMAT,
            "settings": dict(self.settings),
            "graph": self.front.index(self.graph),
            "front": [graph.to_dict() for graph in self.front],
            "performance": self.performance.tolist(),
            "weights": list(self.weights),
            "generations": [dict(each) for each in self.generations],
        }

    @classmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> WeightAgnostic:
        front = tuple(NeuronGraph.from_dict(each) for each in content["front"])
        weights = tuple(float(weight) for weight in content["weights"])
        performance = torch.tensor(content["performance"], dtype=torch.float64)
        if performance.shape != (len(front), len(weights)):
            raise ValueError(f"performance has shape {list(performance.shape)}")
        graph = front[whole_number("graph", content["graph"], 0, len(front) - 1)]
        return cls(graph, front, performance, weights, content["settings"], content["generations"])

    def _accuracies(self, rows: Split, weights: Tensor) -> Tensor:
        parts = weights.split(_AT_ONCE)
        return torch.cat([SharedWeights(rows.x, rows.y, w).accuracy(self.graph) for w in parts])

    def _rows(self, name: str, data: Data) -> Split:
        rows = flat_rows(name, data, "classification")
        if rows.x.shape[1] != self.graph.inputs or int(rows.y.max()) >= self.graph.outputs:
            raise ValueError(
                f"{name} must have {self.graph.inputs} features and labels below "
                f"{self.graph.outputs}, as the graph, got {rows.x.shape[1]} and "
                f"{int(rows.y.max())}"
            )
        return rows
