"""Architectures judged with weights that they share, all trained at once."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from bayesnas.checks import positive, seed_number, size, step_count
from bayesnas.files import path_of
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.judges.batch_statistics import batch_statistics
from bayesnas.inference.search.space import SearchSpace
from bayesnas.nn.graphs.darts_operations import Zero
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import AGGREGATIONS, Edge, edge_name
from bayesnas.runtime.random_state import RandomStream
from bayesnas.tensor_files import read_tensors, write_tensors
from bayesnas.typed import typed
from bayesnas.untrusted_files import untrusted_file


class Supernet(nn.Module):
    r"""One network of all architectures of a graph: an operation has one set of weights in all.

    .. math:: \min_w\ E_{\Gamma \sim U}\, \mathcal L_{train}(w_\Gamma, \Gamma)

    :meth:`fit` draws an architecture uniformly at every step and moves its weights alone.

    Args:
        graph: with mixed edges; it is copied with its weights.

    Attributes:
        graph: the copy.
        space: of its architectures, see ``SearchSpace.of_graph``.

    Raises:
        TypeError: for what is no graph.
        ValueError: for a graph without mixed edges.

    References:
        Guo, Zhang, Mu, Heng, Liu, Wei, Sun, *Single path one-shot neural architecture search with
        uniform sampling*, 2020; Pham, Guan, Zoph, Le, Dean, *Efficient neural architecture search
        via parameter sharing*, 2018.

    >>> layers = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> supernet = Supernet(Graph({("x", "y"): layers}, example=torch.zeros(1, 2)))
    >>> x, y = torch.randn(32, 2), torch.arange(32) % 3
    >>> losses = supernet.fit(x, y, steps=3)
    >>> supernet(x, {"x->y": "line"}).shape, len(losses)
    (torch.Size([32, 3]), 3)
    """

    @typed()
    def __init__(self, graph: Graph) -> None:
        """Copy the graph; see the class."""
        super().__init__()
        self.space = SearchSpace.of_graph(graph)
        self.graph = copy.deepcopy(graph)

    def forward(self, x: Tensor, candidate: Mapping[str, Value]) -> Tensor:
        """The output of one architecture, its operations alone computed.

        Args:
            x: inputs ``[n, ...]``.
            candidate: an operation for every mixed edge, of :attr:`space`.
        """
        graph, values = self.graph, {self.graph.input: x}
        for vertex in graph.vertices[1:]:
            kind = graph.aggregation[vertex]
            arriving = [(edge, self._operation(edge, candidate)) for edge in graph.incoming(vertex)]
            if kind == "sum":  # zeros add nothing, and need not be there
                living = [pair for pair in arriving if not isinstance(pair[1], Zero)]
                arriving = living or arriving[:1]
            terms = [operation(values[edge[0]]) for edge, operation in arriving]
            values[vertex] = terms[0] if len(terms) == 1 else AGGREGATIONS[kind](terms)
        return values[graph.output]

    @typed()
    def fit(
        self,
        x: Tensor,
        y: Tensor,
        *,
        steps: int,
        batch_size: int = 64,
        lr: float = 1e-2,
        seed: int = 0,
        progress: bool = False,
    ) -> list[float]:
        """Train by Adam with a cosine schedule, a uniformly drawn architecture at every step.

        Args:
            x: inputs ``[n, ...]``.
            y: classes ``[n]``.
            steps: how many.
            batch_size: rows of a step, drawn without replacement within an epoch.
            lr: learning rate at the start; it ends at 0.
            seed: of architectures, rows and noise.
            progress: show a bar.

        Returns:
            the cross entropy of every step, nats an example.

        Raises:
            TypeError: naming an argument of another type.
            ValueError: naming rows that the graph does not take, classes out of range, or a number
                out of range.
        """
        steps, batch_size = step_count("steps", steps), size("batch_size", batch_size)
        check_classes(self.graph, x, y)
        generator = np.random.default_rng([seed_number("seed", seed), 0])
        optimizer = torch.optim.Adam(self.parameters(), lr=positive("lr", lr))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        losses: list[float] = []
        order = torch.empty(0, dtype=torch.long)
        self.train()
        with RandomStream(seed, x.device).active():
            for _ in tqdm(range(steps), desc="supernet", disable=not progress, leave=False):
                if len(order) == 0:
                    order = torch.from_numpy(generator.permutation(len(x)))
                rows, order = order[:batch_size].to(x.device), order[batch_size:]
                optimizer.zero_grad()  # what is not chosen has no gradient, and stays
                output = self(x[rows], self.space.sample(generator))
                loss = F.cross_entropy(output, y[rows])
                if loss.requires_grad:
                    loss.backward()
                    optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
        self.eval()
        return losses

    @torch.no_grad()
    @typed()
    def measure(
        self,
        candidate: Mapping[str, Value],
        x: Tensor,
        y: Tensor,
        calibration: Tensor | None = None,
    ) -> dict[str, float]:
        """``error``, the share of wrong classes, and ``nll``, nats an example.

        The running averages of batch normalisation are those of all architectures together, so
        the architecture's own take their place, see :func:`~.batch_statistics.batch_statistics`.

        Args:
            candidate: an architecture.
            x: inputs ``[n, ...]``; with batch normalisation two or more, or ``calibration``.
            y: classes ``[n]``.
            calibration: inputs ``[m, ...]`` whose means and variances normalise; None for ``x``.

        Raises:
            TypeError: naming an argument of another type.
            ValueError: for a candidate that is none of the space.
        """
        self.eval()
        with batch_statistics(self) as norms:
            if calibration is not None and len(norms):
                self(calibration, candidate)
                norms.eval()
            output = self(x, candidate)
        wrong = int((output.argmax(-1) != y).sum())
        return {"error": wrong / len(y), "nll": float(F.cross_entropy(output, y))}

    @typed()
    def parameters_of(self, candidate: Mapping[str, Value]) -> int:
        """Number of parameters of an architecture, dead edges included.

        Raises:
            ValueError: for a candidate that is none of the space.
        """
        return _total(self.graph, self.graph.parameter_counts, self.space.checked(candidate))

    @typed()
    def multiply_adds_of(self, candidate: Mapping[str, Value]) -> int:
        """Multiply–adds an example of an architecture, dead edges included.

        Raises:
            ValueError: for a candidate that is none of the space.
        """
        return _total(self.graph, self.graph.multiply_adds, self.space.checked(candidate))

    @typed()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights, and which graph they are of, as safetensors.

        Raises:
            TypeError: for what is no path.
            OSError: where nothing can be written.
        """
        write_tensors(
            path_of("path", path), self.graph.state_dict(), {"graph": fingerprint(self.graph)}
        )

    @typed()
    def load(self, path: str | os.PathLike[str]) -> None:
        """Take up weights that :meth:`save` wrote.

        Raises:
            ValueError: they are of another graph.
        """
        place = path_of("path", path)
        tensors, metadata = read_tensors(place)
        if metadata.get("graph") != fingerprint(self.graph):
            raise ValueError(
                f"{path} must hold weights of this graph, got those of another: its fingerprint "
                f"is {metadata.get('graph')}, expected {fingerprint(self.graph)}"
            )
        with untrusted_file(place, "weights of this graph"):
            self.graph.load_state_dict(tensors)

    def _operation(self, edge: Edge, candidate: Mapping[str, Value]) -> nn.Module:
        names = self.graph.names[edge]
        name = names[0] if len(names) == 1 else str(candidate[edge_name(edge)])
        return self.graph.primitive(edge, name)


def check_classes(
    graph: Graph, x: Tensor, y: Tensor, name: str = "", outputs: tuple[int, ...] | None = None
) -> None:
    """Refuse examples that are no input of a graph, or no class of its outputs.

    Args:
        graph: that is to take them.
        x: inputs ``[n, ...]``.
        y: classes ``[n]``.
        name: of the argument that holds both, for messages; "" where x and y are arguments.
        outputs: shape of an example's outputs; None for that of the graph.

    Raises:
        ValueError: naming x or y.
    """
    before = f"{name}: " if name else ""
    expected, row_shape = graph.shapes[graph.input], tuple(x.shape[1:])
    if x.is_complex() or row_shape != tuple(expected) or not len(x):
        raise ValueError(
            f"{before}x must hold real numbers of shape {['n', *expected]} with n >= 1, as the "
            f"graph takes them, got {list(x.shape)} of {x.dtype}"
        )
    if y.shape != x.shape[:1] or y.dtype != torch.long:
        raise ValueError(
            f"{before}y must hold {len(x)} classes, whole numbers, got {list(y.shape)} of {y.dtype}"
        )
    shape = graph.shapes[graph.output] if outputs is None else outputs
    if len(shape) != 1 or int(y.min()) < 0 or int(y.max()) >= shape[0]:
        raise ValueError(
            f"{before}y must hold classes of outputs of shape {list(shape)}, got those from "
            f"{int(y.min())} to {int(y.max())}"
        )


def fingerprint(graph: Graph) -> str:
    """Sixteen hexadecimal digits of edges, operations, aggregations and shapes of weights."""
    content = {
        "edges": [[edge_name(edge), list(graph.names[edge])] for edge in graph.edges],
        "aggregation": graph.aggregation,
        "weights": {name: list(value.shape) for name, value in graph.state_dict().items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _total(
    graph: Graph, counts: Mapping[Edge, tuple[int, ...]], candidate: Mapping[str, Value]
) -> int:
    total = 0
    for edge in graph.edges:
        names = graph.names[edge]
        place = 0 if len(names) == 1 else names.index(str(candidate[edge_name(edge)]))
        total += counts[edge][place]
    return total
