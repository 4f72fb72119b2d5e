"""The DARTS space: normal and reduction cells (Liu, Simonyan, Yang 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bayesnas.checks import whole_number
from bayesnas.nn.graphs.darts_operations import PRIMITIVES, FactorizedReduce, convolution_1x1
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import Edge, Primitives, Vertex
from bayesnas.typed import typed

KINDS = ("normal", "reduction")


_LARGEST = 65_536  # of a size; beyond it memory would go before anything is said


@typed()
def cells(
    kinds: Sequence[str] = ("normal", "reduction", "reduction"),
    *,
    channels: int = 16,
    nodes: int = 4,
    in_channels: int = 1,
    image: int | tuple[int, int] = 28,
    classes: int = 10,
    operations: Sequence[str] = tuple(PRIMITIVES),
    stem: int = 3,
) -> Graph:
    """The DARTS space as a graph: a stem, cells, and a linear classifier on the mean pixel.

    A cell takes the outputs of the two cells before it, brings both to its width, and computes
    ``nodes`` sums one after the other: each over mixed edges from both inputs and from all
    earlier nodes, 14 edges for four nodes. Its output is the nodes side by side. A reduction cell
    halves the image and doubles the channels. Normalisation in the cells has no parameters.

    Vertices are ``x``, ``stem``, ``c0in0``, ``c0in1``, ``c0node0``, ..., ``c0``, ``c1in0``, ...,
    ``y``; the default reproduces the search space of Yakovlev et al. (2022).

    Args:
        kinds: ``"normal"`` or ``"reduction"`` for every cell.
        channels: width of the first cell.
        nodes: nodes of a cell.
        in_channels: channels of the images.
        image: side of the images in pixels, or (height, width).
        classes: number of outputs.
        operations: names out of ``bayesnas.nn.graphs.darts_operations.PRIMITIVES``.
        stem: the stem has ``stem · channels`` channels.

    Returns:
        A graph that takes ``[n, in_channels, height, width]`` and gives ``[n, classes]``.

    Raises:
        ValueError: for an unknown kind or operation, or a size that is not a whole number >= 1.

    >>> graph = cells(["normal"], channels=4, nodes=2, image=8)
    >>> len(graph.mixed), graph.names["c0in0", "c0node0"][3]
    (5, 'sep_conv_3x3')
    """
    _check(kinds, operations)
    sizes = {"channels": channels, "nodes": nodes, "in_channels": in_channels, "stem": stem}
    whole_number("nodes", nodes, 1, 64)
    for name, size in {**sizes, "classes": classes}.items():
        if whole_number(name, size) > _LARGEST:
            raise ValueError(f"{name} must be at most {_LARGEST:,}, got {size!r}")
    width = stem * channels
    edges: dict[tuple[Vertex, Vertex], Primitives] = {
        ("x", "stem"): nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
    }
    aggregation: dict[Vertex, str] = {}
    # Name, channels and number of halvings of the two latest outputs.
    before, last = ("stem", width, 0), ("stem", width, 0)
    for number, kind in enumerate(kinds):
        cell, reduces = f"c{number}", kind == "reduction"
        channels = 2 * channels if reduces else channels
        edges |= _inputs(cell, (before, last), channels)
        edges |= _nodes(cell, nodes, channels, 2 if reduces else 1, operations)
        edges |= {(f"{cell}node{i}", cell): nn.Identity() for i in range(nodes)}
        aggregation[cell] = "concat"
        before, last = last, (cell, nodes * channels, last[2] + reduces)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last[1], classes))
    edges[last[0], "y"] = head
    height, breadth = (image, image) if isinstance(image, int) else image
    for side in (height, breadth):
        whole_number("image", side, 1, 4096)
    example = torch.zeros(1, in_channels, height, breadth)
    return Graph(edges, example=example, aggregation=aggregation)


def _inputs(
    cell: str, sources: tuple[tuple[str, int, int], tuple[str, int, int]], channels: int
) -> dict[tuple[Vertex, Vertex], Primitives]:
    """What brings the outputs of the two cells before to a cell's width and to one image size."""
    halvings = max(source[2] for source in sources)
    edges: dict[tuple[Vertex, Vertex], Primitives] = {}
    for position, (vertex, width, halved) in enumerate(sources):
        bring = convolution_1x1 if halved == halvings else FactorizedReduce
        edges[vertex, f"{cell}in{position}"] = bring(width, channels)
    return edges


def _nodes(
    cell: str, nodes: int, channels: int, stride: int, operations: Sequence[str]
) -> dict[tuple[Vertex, Vertex], Primitives]:
    """The mixed edges of a cell; those from its inputs have its stride."""
    edges: dict[tuple[Vertex, Vertex], Primitives] = {}
    for node in range(nodes):
        target = f"{cell}node{node}"
        sources = [(f"{cell}in{i}", stride) for i in range(2)]
        sources += [(f"{cell}node{i}", 1) for i in range(node)]
        for source, by in sources:
            edge: Edge = (source, target)
            edges[edge] = {name: PRIMITIVES[name](channels, by) for name in operations}
    return edges


def _check(kinds: Sequence[str], operations: Sequence[str]) -> None:
    for name, given, known in (
        ("kinds", kinds, list(KINDS)),
        ("operations", operations, list(PRIMITIVES)),
    ):
        wrong = [item for item in given if item not in known]
        if wrong or not len(given):
            raise ValueError(f"{name} must be one or more of {known}, got {wrong or list(given)}")
