"""The random numbers of a traced step, drawn outside of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bayesnas.inference.compile.native_normal import can_fill, fill_normal
from bayesnas.inference.compile.torch_private import Operator, schema

_ATEN = torch.ops.aten
DRAWN_BY: dict[Any, str] = {
    _ATEN.randn.default: "normal_",
    _ATEN.randn_like.default: "normal_",
    _ATEN.normal_.default: "normal_",
    _ATEN.rand.default: "uniform_",
    _ATEN.rand_like.default: "uniform_",
    _ATEN.uniform_.default: "uniform_",
    _ATEN.exponential_.default: "exponential_",
    _ATEN.bernoulli_.float: "bernoulli_",
}
_NEW: dict[str, Callable[..., Tensor]] = {"normal_": torch.randn, "uniform_": torch.rand}


@dataclass(frozen=True)
class RandomOp:
    """One draw of independent numbers.

    Attributes:
        method: of a tensor, that draws into it.
        arguments: of the method.
        shape: of the numbers.
        dtype: of the numbers.
        device: of the numbers, and of the generator.
    """

    method: str
    arguments: tuple[float, ...]
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def of_default_generator(self) -> Callable[[], Tensor]:
        """A function that draws from torch's default generator."""
        if self.method in _NEW and not self.arguments:  # an operation less
            new = _NEW[self.method]
            return functools.partial(new, self.shape, dtype=self.dtype, device=self.device)
        return self._drawn

    def _drawn(self) -> Tensor:
        empty = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        drawn: Tensor = getattr(empty, self.method)(*self.arguments)
        return drawn

    def fill(self, tensor: Tensor, generator: torch.Generator) -> None:
        """Draw into a tensor, the same numbers from a generator in the same state."""
        getattr(tensor, self.method)(*self.arguments, generator=generator)

    def compiled(self) -> RandomOp:
        """The same draw by a compiled loop, to rounding; itself where there is none."""
        plain = self.method == "normal_" and not self.arguments
        if plain and can_fill(self.shape, self.dtype, self.device) and fill_normal() is not None:
            return _CompiledNormal(**vars(self))
        return self


class _CompiledNormal(RandomOp):
    """A draw of many N(0, 1) on a CPU."""

    def of_default_generator(self) -> Callable[[], Tensor]:
        return self._drawn

    def _drawn(self) -> Tensor:
        drawn = torch.empty(self.shape, dtype=self.dtype)
        self.fill(drawn, torch.default_generator)
        return drawn

    def fill(self, tensor: Tensor, generator: torch.Generator) -> None:
        fill = fill_normal()
        assert fill is not None
        fill(tensor, generator)


class Noise:
    """The draws of a step, in the order of the eager run.

    Args:
        draws: in that order.

    Attributes:
        draws: as given.
        generators: what draws; none stands for torch's default generators.
    """

    generators: Sequence[torch.Generator] = ()

    def __init__(self, draws: Sequence[RandomOp]) -> None:
        """Keep the draws."""
        self.draws = list(draws)
        self._functions = [draw.of_default_generator() for draw in self.draws]

    def __call__(self) -> list[Tensor]:
        """Draw the last arguments of the step."""
        return [draw() for draw in self._functions]

    def compile(self) -> None:
        """Draw by compiled loops where there are any; the numbers are the same to rounding."""
        self.draws = [draw.compiled() for draw in self.draws]
        self._functions = [draw.of_default_generator() for draw in self.draws]


class StackedNoise(Noise):
    """The draws of the steps of many chains, each from a generator of its own.

    A chain is given the numbers that it is given alone: its draws come from its own stream, in
    the order of its own step.

    Args:
        draws: of the step of one chain.
        generators: of the chains.

    >>> generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    >>> draw = RandomOp("normal_", (), torch.Size([2]), torch.float32, torch.device("cpu"))
    >>> (noise,) = StackedNoise([draw], generators)()
    >>> torch.equal(noise[1], torch.randn(2, generator=torch.Generator().manual_seed(4)))
    True
    """

    def __init__(self, draws: Sequence[RandomOp], generators: Sequence[torch.Generator]) -> None:
        """Make the tensors that are drawn into; see the class."""
        super().__init__(draws)
        self.generators = list(generators)
        chains = len(self.generators)
        self._noise = [torch.empty(chains, *d.shape, dtype=d.dtype, device=d.device) for d in draws]

    def __call__(self) -> list[Tensor]:
        """Draw ``[chains, ...]``; the next call writes the same tensors anew."""
        for chain, generator in enumerate(self.generators):
            for draw, tensor in zip(self.draws, self._noise, strict=True):
                draw.fill(tensor[chain], generator)
        return self._noise


def take_out_noise(graph: torch.fx.Graph) -> list[RandomOp]:
    """Make every draw of a graph one of its last inputs, in order; none where one can't be.

    Where what is drawn depends on values, all draws stay in the graph.

    Args:
        graph: traced; it is changed.
    """
    random = random_operations(graph)
    if not all(node.target in DRAWN_BY and not _depends_on_values(node) for node in random):
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
        method = DRAWN_BY[node.target]
        draws.append(RandomOp(method, _options(node), like.shape, like.dtype, like.device))
    return draws


def random_operations(graph: torch.fx.Graph) -> list[torch.fx.Node]:
    """The operations of a graph that draw."""
    return [
        node
        for node in graph.nodes
        if isinstance(node.target, Operator)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    ]


def _options(node: torch.fx.Node) -> Any:
    """What a draw into a tensor is told besides: bounds, a rate, a probability."""
    in_place = schema(node.target).is_mutable
    return node.args[1:] if in_place else ()


def _depends_on_values(node: torch.fx.Node) -> bool:
    return any(isinstance(option, torch.fx.Node) for option in _options(node))
