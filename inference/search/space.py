"""A search space: named variables, some of which depend on others."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bayesnas.checks import instance, shown
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.variables import Categorical, Variable, variable_of
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import Edge, edge_name
from bayesnas.typed import typed

Candidate = dict[str, Value]
"""A value for every variable that is there, in the order of the space."""


class SearchSpace(Mapping[str, Variable]):
    """Variables by name; a candidate has a value for each whose condition holds.

    Args:
        variables: by name, in an order in which a variable comes after the one it depends on.

    Raises:
        ValueError: naming the variable, for no variables or a condition that can't hold.
        TypeError: naming what is no variable.

    >>> from bayesnas.inference.search import Categorical, Integer, When
    >>> space = SearchSpace(
    ...     {
    ...         "depth": Integer(1, 2),
    ...         "width": Categorical((16, 64)),
    ...         "skip": Categorical((True, False), when=When("depth", (2,))),
    ...     }
    ... )
    >>> space.size, space.checked({"width": 64, "depth": 1})
    (6, {'depth': 1, 'width': 64})
    """

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        """Check names and conditions; see the class."""
        if not isinstance(variables, Mapping) or not variables:
            raise ValueError(
                f"variables must be a mapping with one variable or more, got {shown(variables)}"
            )
        for name, variable in variables.items():
            if not isinstance(name, str) or not name or not isinstance(variable, Variable):
                raise TypeError(
                    "variables must map names to Categorical, Integer, Real or LogReal, got "
                    f"{shown(name)}: {shown(variable)}"
                )
        self._variables = dict(variables)
        for name in self._variables:
            self._check_condition(name)

    @classmethod
    @typed()
    def of_graph(cls, graph: Graph) -> SearchSpace:
        """One operation an edge: a categorical of operation names for each mixed edge.

        Args:
            graph: with mixed edges.

        Raises:
            ValueError: for a graph without mixed edges.

        >>> import torch
        >>> layers = {"wide": torch.nn.Linear(2, 1), "narrow": torch.nn.Linear(2, 1, bias=False)}
        >>> graph = Graph({("x", "y"): layers}, example=torch.zeros(1, 2))
        >>> SearchSpace.of_graph(graph)
        SearchSpace({'x->y': Categorical(when=None, choices=('wide', 'narrow'))})
        """
        if not graph.mixed:
            raise ValueError("graph must have a mixed edge, got one primitive on every edge")
        return cls({edge_name(edge): Categorical(graph.names[edge]) for edge in graph.mixed})

    def __getitem__(self, name: str) -> Variable:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __repr__(self) -> str:
        return f"SearchSpace({self._variables!r})"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same variables in the same order."""
        return isinstance(other, SearchSpace) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def is_active(self, name: str, candidate: Mapping[str, Value]) -> bool:
        """Whether a candidate has the variable, by what it has of the earlier ones.

        Raises:
            ValueError: for a name that no variable has.
        """
        if not isinstance(name, str) or name not in self._variables:
            raise ValueError(f"name must be one of {list(self._variables)}, got {shown(name)}")
        condition = self._variables[name].when
        return condition is None or condition.holds(candidate)

    def checked(self, candidate: Mapping[str, object]) -> Candidate:
        """The candidate in the order of the space, its values of the variables' own types.

        Raises:
            TypeError: for something that is no mapping.
            ValueError: naming the variable, for a missing or superfluous entry, or a value that
                is none of the variable's.
        """
        instance("candidate", candidate, Mapping, "mapping by name")
        checked: Candidate = {}
        for name, variable in self._variables.items():
            if self.is_active(name, checked):
                if name not in candidate:
                    raise ValueError(f"candidate must have a value for {name!r}, got none")
                checked[name] = variable.checked(name, candidate[name])
        superfluous = [name for name in candidate if name not in checked]
        if superfluous:
            raise ValueError(
                f"candidate must have values for {list(checked)} alone, got also {superfluous}"
            )
        return checked

    @typed()
    def sample(self, generator: np.random.Generator) -> Candidate:
        """A candidate, each variable drawn on its own.

        Raises:
            TypeError: for what is no generator of NumPy's.
        """
        candidate: Candidate = {}
        for name, variable in self._variables.items():
            if self.is_active(name, candidate):
                candidate[name] = variable.sample(generator)
        return candidate

    @property
    def size(self) -> int | float:
        """Number of candidates, ``math.inf`` where a variable is real or has too many values."""
        if self.choices is None:
            return math.inf
        counts: dict[str, int] = {}
        for name in reversed(self._variables):  # a variable comes after the one it depends on
            counts[name] = self._count(name, counts)
        return math.prod(counts[name] for name, each in self._variables.items() if not each.when)

    def _count(self, name: str, counts: Mapping[str, int]) -> int:
        """Values of a variable together with those of the variables that depend on it.

        n = Σ_k Π_c n_c over its values k, and over the variables c that are there at k.
        """
        dependent = [
            (counts[other], each.when.values)
            for other, each in self._variables.items()
            if each.when is not None and each.when.name == name
        ]
        decisive = {value for _, values in dependent for value in values}
        others = len(self._variables[name].values or ()) - len(decisive)
        return others + sum(
            math.prod(count for count, values in dependent if value in values) for value in decisive
        )

    @property
    def choices(self) -> dict[str, tuple[Value, ...]] | None:
        """Every value by name, None where a variable is real or has too many to list."""
        by_name = {name: variable.values for name, variable in self._variables.items()}
        if any(values is None for values in by_name.values()):
            return None
        return {name: values for name, values in by_name.items() if values is not None}

    def candidates(self) -> Iterator[Candidate]:
        """Every candidate, the last variable running fastest.

        Raises:
            ValueError: for a space with a real variable, naming it.
        """
        for name, variable in self._variables.items():
            if variable.values is None:
                raise ValueError(
                    "a space must be finite to be enumerated, got a real variable or one of too "
                    f"many values, {name!r}"
                )
        return self._from(list(self._variables), {})

    def _from(self, names: list[str], candidate: Candidate) -> Iterator[Candidate]:
        if not names:
            yield dict(candidate)
        elif not self.is_active(names[0], candidate):
            yield from self._from(names[1:], candidate)
        else:
            for value in self._variables[names[0]].values or ():
                yield from self._from(names[1:], {**candidate, names[0]: value})

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: variable.to_dict() for name, variable in self._variables.items()}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Mapping[str, Any]]) -> SearchSpace:
        """The space that :meth:`to_dict` described.

        Raises:
            TypeError: for what is no mapping.
            ValueError: naming a variable that is not described as :meth:`to_dict` does.

        >>> from bayesnas.inference.search import LogReal
        >>> space = SearchSpace({"scale": LogReal(0.1, 10.0)})
        >>> SearchSpace.from_dict(space.to_dict()) == space
        True
        """
        instance("spec", spec, Mapping, "mapping by name")
        return cls({name: variable_of(each) for name, each in spec.items()})

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits, the same for the same variables in any process."""
        text = json.dumps(list(self.to_dict().items()), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _check_condition(self, name: str) -> None:
        condition = self._variables[name].when
        if condition is None:
            return
        earlier = list(self._variables)[: list(self._variables).index(name)]
        if condition.name not in earlier:
            raise ValueError(
                f"the condition of {name!r} must name a variable before it, one of {earlier}, "
                f"got {shown(condition.name)}"
            )
        for value in condition.values:
            self._variables[condition.name].checked(f"{condition.name} (for {name})", value)


@typed(unchecked=("candidate",))
def architecture(graph: Graph, candidate: Mapping[str, Value]) -> dict[Edge, str]:
    """A candidate of :meth:`SearchSpace.of_graph` as the choice that ``graph.discrete`` takes.

    Raises:
        TypeError: for what is no graph or no mapping.
        ValueError: for a candidate that is none of the graph's space.

    >>> import torch
    >>> layers = {"wide": torch.nn.Linear(2, 1), "narrow": torch.nn.Linear(2, 1, bias=False)}
    >>> graph = Graph({("x", "y"): layers}, example=torch.zeros(1, 2))
    >>> graph.discrete(architecture(graph, {"x->y": "narrow"})).parameter_count
    2
    """
    checked = SearchSpace.of_graph(graph).checked(candidate)
    return {edge: str(checked[edge_name(edge)]) for edge in graph.mixed}


def network_of(graph: Graph, candidate: Mapping[str, Value]) -> Graph:
    """The network of a candidate by itself, without dead edges, with the weights of the graph."""
    return graph.discrete(dict(architecture(graph, candidate).items())).without_dead_edges()
