"""Random architectures of a graph, of any size: what a search has to be better than."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.checks import seed_number
from bayesnas.nn.graphs.graph import Graph
from bayesnas.scalars import is_number
from bayesnas.typed import typed


@typed()
def random_architecture(graph: Graph, seed: int = 0, parameters: float | None = None) -> Graph:
    r"""One operation on every mixed edge, drawn at random, without dead edges; the baseline.

    .. math:: P(\Gamma) \propto e^{-\langle \Gamma, n \rangle / c}

    with c infinite, every operation equally likely, or such that a size is expected. Whatever c,
    choices of equal cost ⟨Γ, n⟩ are equally likely.

    Args:
        graph: with mixed edges.
        seed: of the draw.
        parameters: expected number of parameters of the whole network, before dead edges are
            left out; None for operations that are equally likely.

    Raises:
        ValueError: for a number of parameters that no such distribution has.

    >>> import bayesnas as bn
    >>> graph = bn.nn.cells(["reduction"], channels=2, nodes=2, image=8)
    >>> bn.nn.random_architecture(graph, seed=1).mixed
    ()
    """
    generator = torch.Generator().manual_seed(seed_number("seed", seed))
    tilt = 0.0 if parameters is None else _tilt(graph, parameters)
    choice = {}
    for edge in graph.mixed:
        weights = _tilted(torch.tensor(graph.parameter_counts[edge], dtype=torch.float64), tilt)
        index = int(torch.multinomial(weights, 1, generator=generator))
        choice[edge] = graph.names[edge][index]
    return graph.discrete(dict(choice.items())).without_dead_edges()


def architecture_sizes(graph: Graph) -> tuple[int, int]:
    """Parameters of the smallest and of the largest architecture, dead edges included.

    >>> import bayesnas as bn
    >>> architecture_sizes(bn.nn.cells(["reduction"], channels=2, nodes=1, image=8))
    (164, 628)
    """
    mixed = [graph.parameter_counts[edge] for edge in graph.mixed]
    fixed = graph.parameter_count - sum(map(sum, mixed))
    return fixed + sum(map(min, mixed)), fixed + sum(map(max, mixed))


def _tilted(counts: Tensor, tilt: float) -> Tensor:
    """Probabilities of operations, ∝ exp(tilt · n); a number added to all n changes nothing."""
    return (tilt * counts).softmax(0)


def _tilt(graph: Graph, parameters: float) -> float:
    """−1/c at which this many parameters are expected."""
    from scipy.optimize import brentq

    least, most = architecture_sizes(graph)
    if not is_number(parameters) or not least < parameters < most:
        raise ValueError(f"parameters must lie between {least:,} and {most:,}, got {parameters!r}")
    mixed = [graph.parameter_counts[edge] for edge in graph.mixed]
    beyond = [torch.tensor(counts, dtype=torch.float64) - min(counts) for counts in mixed]

    def excess(tilt: float) -> float:
        return least - parameters + sum(float(_tilted(n, tilt) @ n) for n in beyond)

    bound = 1.0
    while excess(-bound) > 0 or excess(bound) < 0:
        bound *= 2
    return float(brentq(excess, -bound, bound))
