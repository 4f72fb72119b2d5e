"""The cascading Indian buffet process: a prior over layered networks of any width and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.checks import draw_count, positive_scalar, size, whole_number
from bayesnas.distributions.indian_buffet.two_parameter import IndianBuffet
from bayesnas.typed import typed

_MOST_LAYERS = 100_000


@typed()
@dataclass(frozen=True)
class LayeredGraph:
    """A network as who listens to whom, from the visible layer upward.

    Attributes:
        connections: one binary matrix a hidden layer, ``[units below, units of the layer]``, in
            left-ordered form; empty where there is no hidden layer.
        visible: number of visible units.

    Raises:
        TypeError: for connections that are no sequence of tensors.
        ValueError: for fewer than one visible unit.

    >>> import torch
    >>> graph = LayeredGraph((torch.ones(3, 2),), visible=3)
    >>> [len(layer.T) for layer in graph.connections]
    [2]
    """

    connections: tuple[Tensor, ...]
    visible: int

    def __post_init__(self) -> None:
        """Check the number of units."""
        object.__setattr__(self, "visible", size("visible", self.visible))

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every layer, the visible ones first."""
        return (self.visible, *(matrix.shape[1] for matrix in self.connections))

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.connections)


@typed(unchecked=("mass", "concentration"))
class CascadingIndianBuffet:
    r"""Indian buffets on top of each other: the dishes of a layer are the customers of the next.

    The units of layer m choose their parents in layer m + 1 as the customers of an
    :class:`IndianBuffet` choose dishes, so the widths are a Markov chain,

    .. math:: K^{(m+1)} \mid K^{(m)} = k \ \sim\
        \mathrm{Poisson}\Bigl(\alpha \sum_{j=1}^{k} \frac{\beta}{j + \beta - 1}\Bigr),

    in which 0 absorbs: with probability one a layer is empty at last, and the network ends.

    Args:
        mass: α > 0, mean number of parents of a unit, a number or a tensor ``[]``.
        concentration: β > 0, likewise; the smaller, the more parents are shared.
        width: K⁰ ≥ 1, number of visible units.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        Adams, Wallach, Ghahramani, *Learning the structure of deep sparse graphical models*, 2010.

    >>> buffet = CascadingIndianBuffet(mass=1.0, concentration=1.0, width=10)
    >>> buffet.expected_widths(3)
    tensor([10.0000,  2.9290,  1.6662,  1.1292], dtype=torch.float64)
    >>> buffet.expected_depth()
    tensor(3.8436, dtype=torch.float64)
    """

    def __init__(self, mass: float | Tensor, concentration: float | Tensor, width: int) -> None:
        """Check the parameters; see the class."""
        self.mass = positive_scalar("mass", mass)
        self.concentration = positive_scalar("concentration", concentration)
        self.width = size("width", width)

    @typed()
    def layer(self, units: int) -> IndianBuffet:
        """Return the distribution of the connections of ``units`` ≥ 1 units to the layer above.

        Raises:
            ValueError: for fewer than one unit.
        """
        return IndianBuffet(self.mass, self.concentration, size("units", units))

    # Draws --------------------------------------------------------------------------------

    @typed()
    def sample(self, max_layers: int = 1000) -> LayeredGraph:
        """Draw a network.

        Args:
            max_layers: where to give up: with a large α the chain does not reach 0 in any
                reasonable time (see :meth:`expected_depth`).

        Raises:
            RuntimeError: ``max_layers`` hidden layers are not empty.
            ValueError: for a limit out of 1…100,000.
        """
        max_layers = whole_number("max_layers", max_layers, 1, _MOST_LAYERS)
        connections: list[Tensor] = []
        units = self.width
        while True:
            matrix = self.layer(units).sample_left_ordered()
            units = matrix.shape[1]
            if units == 0:
                return LayeredGraph(tuple(connections), self.width)
            if len(connections) == max_layers:
                raise _endless(max_layers)
            connections.append(matrix)

    @typed()
    def sample_widths(self, draws: int, max_layers: int = 1000) -> Tensor:
        """Draw widths alone, ``[draws, layers + 1]``, visible units first, zeros after the end.

        Raises:
            RuntimeError: as :meth:`sample`.
            ValueError: naming a number out of range.
        """
        max_layers = whole_number("max_layers", max_layers, 1, _MOST_LAYERS)
        widths = [torch.full((draw_count("draws", draws),), self.width)]
        rates = self._rates(self.width)
        while bool(widths[-1].any()):
            if len(widths) - 1 > max_layers:
                raise _endless(max_layers)
            if int(widths[-1].max()) >= len(rates):
                rates = self._rates(2 * int(widths[-1].max()))
            widths.append(torch.poisson(rates[widths[-1]]).long())
        return torch.stack(widths, 1)

    @typed()
    def log_prob(self, graph: LayeredGraph | Sequence[Tensor]) -> Tensor:
        """Ln probability of a network, ``[]``, each layer up to the order of its dishes.

        Raises:
            ValueError: where layers don't fit each other, or a unit of a hidden layer has no
                child.
        """
        matrices = graph.connections if isinstance(graph, LayeredGraph) else tuple(graph)
        units, total = self.width, self.mass.new_zeros(())
        for matrix in (*matrices, None):
            last = matrix is None
            taken = self.mass.new_zeros(units, 0) if matrix is None else matrix
            total = total + self.layer(units).log_prob(taken)
            units = taken.shape[1]
            if not last and (units == 0 or not bool(taken.any(-2).all())):
                raise ValueError(
                    "graph: every unit of a hidden layer must have a child, got an empty column"
                )
        return total

    # The chain of widths ------------------------------------------------------------------

    def transition_matrix(self) -> Tensor:
        """P(next width | width), ``[states, states]`` in double precision, state = width.

        The state space ends where less than 1e-12 of any row lies beyond; that mass is counted
        to the last state.
        """
        rates = self._rates(self._largest_state())
        to = torch.arange(len(rates), dtype=torch.float64)
        log_rates = rates[1:, None].log()
        inner = (to * log_rates - rates[1:, None] - (to + 1).lgamma()).exp()
        first = torch.zeros(1, len(rates), dtype=torch.float64)
        first[0, 0] = 1.0  # nobody is above an empty layer
        matrix = torch.cat([first, inner])
        matrix[:, -1] += (1 - matrix.sum(1)).clamp_min(0)
        return matrix

    @typed()
    def expected_widths(self, layers: int) -> Tensor:
        """Mean width of the visible and the first ``layers`` hidden layers, ``[layers + 1]``.

        Raises:
            ValueError: for layers out of 0…100,000.
        """
        probabilities = self._distributions(layers)
        return probabilities @ torch.arange(probabilities.shape[1], dtype=torch.float64)

    @typed()
    def absorption(self, layers: int) -> Tensor:
        """P(layer m is empty) for m = 0…``layers``, ``[layers + 1]``.

        Raises:
            ValueError: for layers out of 0…100,000.
        """
        return self._distributions(layers)[:, 0]

    def expected_depth(self) -> Tensor:
        """Mean number of hidden layers that are not empty; solves (I − Q) t = 1."""
        inner = self.transition_matrix()[1:, 1:]
        steps = torch.linalg.solve(
            torch.eye(len(inner), dtype=torch.float64) - inner,
            torch.ones(len(inner), dtype=torch.float64),
        )
        expected: Tensor = steps[self.width - 1] - 1
        return expected

    def _distributions(self, layers: int) -> Tensor:
        layers = whole_number("layers", layers, 0, _MOST_LAYERS)
        matrix = self.transition_matrix()
        by_layer = [torch.zeros(len(matrix), dtype=torch.float64)]
        by_layer[0][self.width] = 1.0
        for _ in range(layers):
            by_layer.append(by_layer[-1] @ matrix)
        return torch.stack(by_layer)

    def _rates(self, most: int) -> Tensor:
        """Mean number of dishes of 0…``most`` customers, ``[most + 1]``, in double precision."""
        beta = self.concentration.detach().cpu().double()
        served = torch.arange(most, dtype=torch.float64)
        dishes = self.mass.detach().cpu().double() * (beta / (served + beta)).cumsum(0)
        return torch.cat([torch.zeros(1, dtype=torch.float64), dishes])

    def _largest_state(self) -> int:
        """A width that the chain passes with probability below 1e-12."""
        state = self.width
        while True:
            # A Poisson is below its mean + 8 standard deviations + 24 but for 1e-12.
            rate = float(self._rates(state)[-1])
            reached = max(self.width, int(rate + 8 * rate**0.5) + 24)
            if reached <= state:
                return state
            state = reached


def _endless(max_layers: int) -> RuntimeError:
    return RuntimeError(
        f"the cascade has not ended after max_layers={max_layers} hidden layers: take a smaller "
        "mass, or more layers"
    )
