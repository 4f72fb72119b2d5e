"""The random numbers of a recorded step, drawn outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten
_UNIFORM: dict[Any, bool] = {
    _ATEN.randn.default: False,
    _ATEN.randn_like.default: False,
    _ATEN.normal_.default: False,
    _ATEN.rand.default: True,
    _ATEN.rand_like.default: True,
    _ATEN.uniform_.default: True,
}


@dataclass(frozen=True)
class Draw:
    """One draw of independent numbers.

    Attributes:
        uniform: from U(0, 1), else from N(0, 1).
        shape: of the numbers.
        dtype: of the numbers.
        device: of the numbers, and of the generator.
    """

    uniform: bool
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def __call__(self) -> Tensor:
        """Draw from torch's default generator."""
        draw = torch.rand if self.uniform else torch.randn
        return draw(self.shape, dtype=self.dtype, device=self.device)

    def fill(self, held: Tensor, generator: torch.Generator) -> None:
        """Draw into a tensor, the same numbers from a generator in the same state."""
        if self.uniform:
            held.uniform_(generator=generator)
        else:
            held.normal_(generator=generator)


class Noise:
    """The draws of a step, in the order of the eager run.

    Args:
        draws: in that order.

    Attributes:
        draws: as given.
        generators: what draws; none stands for torch's default generators.
    """

    generators: Sequence[torch.Generator] = ()

    def __init__(self, draws: Sequence[Draw]) -> None:
        """Keep the draws."""
        self.draws = list(draws)

    def __call__(self) -> list[Tensor]:
        """Draw the last arguments of the step."""
        return [draw() for draw in self.draws]


class StackedNoise(Noise):
    """The draws of the steps of many chains, each from a generator of its own.

    A chain is given the numbers that it is given alone: its draws come from its own stream, in
    the order of its own step.

    Args:
        draws: of the step of one chain.
        generators: of the chains.

    >>> generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    >>> draw = Draw(False, torch.Size([2]), torch.float32, torch.device("cpu"))
    >>> (found,) = StackedNoise([draw], generators)()
    >>> torch.equal(found[1], torch.randn(2, generator=torch.Generator().manual_seed(4)))
    True
    """

    def __init__(self, draws: Sequence[Draw], generators: Sequence[torch.Generator]) -> None:
        """Make the tensors that are drawn into; see the class."""
        super().__init__(draws)
        self.generators = list(generators)
        chains = len(self.generators)
        self._held = [torch.empty(chains, *d.shape, dtype=d.dtype, device=d.device) for d in draws]

    def __call__(self) -> list[Tensor]:
        """Draw ``[chains, ...]``; the next call writes the same tensors anew."""
        for chain, generator in enumerate(self.generators):
            for draw, held in zip(self.draws, self._held, strict=True):
                draw.fill(held[chain], generator)
        return self._held


def take_out_noise(graph: torch.fx.Graph) -> list[Draw]:
    """Make every draw of a graph one of its last inputs, in order; none where one can't be.

    Where a random operation depends on values (dropout), all of them stay in the graph.

    Args:
        graph: traced; it is changed.
    """
    random = random_operations(graph)
    if not all(node.target in _UNIFORM and _is_standard(node) for node in random):
        return []
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    draws = []
    for index, node in enumerate(random):
        with graph.inserting_after(last):
            last = graph.placeholder(f"noise_{index}")
        last.meta = node.meta
        node.replace_all_uses_with(last)
        graph.erase_node(node)
        like: Any = node.meta["val"]
        draws.append(Draw(_UNIFORM[node.target], like.shape, like.dtype, like.device))
    return draws


def random_operations(graph: torch.fx.Graph) -> list[torch.fx.Node]:
    """The operations of a graph that draw."""
    return [
        node
        for node in graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    ]


def _is_standard(node: torch.fx.Node) -> bool:
    # empty().normal_() is how torch.distributions draws; another mean or scale is an argument.
    in_place = node.target in (_ATEN.normal_.default, _ATEN.uniform_.default)
    return not in_place or len(node.args) == 1
