"""Checks of the options of a network with a latent structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bayesnas.checks import choice, positive
from bayesnas.models.architecture.guides import StructureGuide
from bayesnas.nn.graphs.graph import Graph
from bayesnas.scalars import is_number

COUPLINGS = ("independent", "conjugate")
SAMPLES = ("batch", "example")
WEIGHTS = ("gaussian", "point")
STRUCTURE_PRIORS = ("cost", "learned")


def check_graph(graph: object) -> Graph:
    """Return a graph that has a mixed edge; ValueError for anything else."""
    if not isinstance(graph, Graph) or not graph.mixed:
        raise ValueError(
            "graph must be a bayesnas.nn.Graph with an edge of two or more primitives, "
            f"got {type(graph).__name__}"
        )
    return graph


def check_options(
    family: StructureGuide, sample: str, coupling: str, weights: str, gamma_floor: float
) -> None:
    """Raise ValueError for an unknown option, or options that do not go together."""
    choice("sample", sample, SAMPLES)
    choice("coupling", coupling, COUPLINGS)
    choice("weights", weights, WEIGHTS)
    if positive("gamma_floor", gamma_floor) > 1:
        raise ValueError(f"gamma_floor must be in (0, 1], got {gamma_floor!r}")
    inside = weights == "gaussian" and not family.is_hard and sample == "batch"
    if coupling == "conjugate" and not inside:
        raise ValueError(
            "coupling must be 'independent' for weights='point', on vertices and for "
            "sample='example', where no weights follow a γ inside the domain, got 'conjugate'"
        )


def check_prior(
    structure_prior: str, prior_scale: object, family: StructureGuide, sample: str
) -> None:
    """Raise ValueError for priors that the guide or the way of sampling does not take."""
    choice("structure_prior", structure_prior, STRUCTURE_PRIORS)
    if structure_prior == "learned" and not family.has_density:
        raise ValueError(
            "structure_prior must be 'cost' for a guide with a penalty in place of a KL, which "
            "has no density to learn, got 'learned'"
        )
    if prior_scale == "ard" and sample == "example":
        raise ValueError(
            "prior_scale must be one a layer for sample='example', which averages densities of a "
            "layer over γ, got 'ard'"
        )


def start_and_end(temperature: float | Sequence[float]) -> tuple[float, float]:
    """First and last temperature of a fit, out of one number or two.

    >>> start_and_end(0.5), start_and_end((1.0, 0.2))
    ((0.5, 0.5), (1.0, 0.2))
    """
    is_pair = isinstance(temperature, (tuple, list)) and len(temperature) == 2
    if not is_number(temperature) and not is_pair:
        raise ValueError(f"temperature must be a number or two, (start, end), got {temperature!r}")
    pair: Any = (temperature, temperature) if is_number(temperature) else temperature
    return positive("temperature", pair[0]), positive("temperature", pair[1])
