"""A Pyro model and its guide, called with the same arguments: their sites, and draws of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.infer import config_enumerate, infer_discrete
from pyro.poutine.messenger import Messenger
from torch import Tensor

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Program:
    """Model, guide and the arguments that both are called with.

    Args:
        model: a Pyro model, conditioned on its data.
        guide: of its latent sites, but for discrete ones that are summed out.
        args: of every call.
        kwargs: likewise.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    def trace(self, program: Callable[..., Any]) -> Any:
        """Sites of one call, without gradients."""
        with torch.no_grad():
            return poutine.trace(program).get_trace(*self.args, **self.kwargs)

    def guided(self, program: Callable[..., Any]) -> tuple[Any, Any]:
        """One draw from the guide, and the sites of a program replayed with it."""
        drawn = self.trace(self.guide)
        return drawn, self.trace(poutine.replay(program, trace=drawn))

    def anew(self) -> Callable[..., Any]:
        """The model with its observed sites to be drawn, and deterministic ones as they are."""
        return _Unobserved()(self.model)

    def discrete(self, drawn: Any, nesting: int) -> Any:
        """Sites of the model given a draw of the guide, enumerated ones from their posterior."""
        with_guide = poutine.replay(config_enumerate(self.model), trace=drawn)
        inferred = infer_discrete(with_guide, first_available_dim=-1 - nesting, temperature=1)
        return self.trace(inferred)


class _Unobserved(Messenger):
    """As ``pyro.poutine.uncondition``, which draws deterministic sites too, in another shape."""

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["is_observed"] and not msg["infer"].get("_deterministic", False):
            msg.update(is_observed=False, value=None, done=False)


@dataclass(frozen=True)
class Sites:
    """The sites of a program by what they are.

    Attributes:
        latent: continuous or discrete, with a guide.
        enumerated: discrete, without a guide: they are summed out.
        observed: data.
        deterministic: functions of others, of ``pyro.deterministic``.
        nodes: of the model's trace by name.
        nesting: how many dims plates take.
    """

    latent: tuple[str, ...]
    enumerated: tuple[str, ...]
    observed: tuple[str, ...]
    deterministic: tuple[str, ...]
    nodes: Mapping[str, Any]
    nesting: int

    @classmethod
    def of(cls, program: Program) -> Sites:
        """Look at one call.

        Raises:
            ValueError: a latent site has no guide and can't be summed out, or a plate draws some of
                its rows.
        """
        drawn, trace = program.guided(program.model)
        nodes = {name: n for name, n in trace.nodes.items() if n["type"] == "sample"}
        _check_whole(trace)
        data = [name for name, n in nodes.items() if n["is_observed"] and not _is_plate(n)]
        fixed = [name for name in data if nodes[name]["infer"].get("_deterministic", False)]
        free = [name for name, n in nodes.items() if not n["is_observed"] and not _is_plate(n)]
        guided = [n for n in free if n in drawn.nodes and not _is_auxiliary(drawn.nodes[n])]
        left = [name for name in free if name not in guided]
        for name in left:
            if not getattr(nodes[name]["fn"], "has_enumerate_support", False):
                raise ValueError(
                    f"guide must have the sites of the model, got none for {name!r}, which is not "
                    "discrete and can't be summed out"
                )
        frames = [frame for n in nodes.values() for frame in n["cond_indep_stack"]]
        nesting = max([-frame.dim for frame in frames if frame.vectorized], default=0)
        observed = [name for name in data if name not in fixed]
        return cls(tuple(guided), tuple(left), tuple(observed), tuple(fixed), nodes, nesting)

    def plates(self, name: str) -> set[str]:
        """Names of the plates of a site."""
        stack = self.nodes[name]["cond_indep_stack"]
        return {frame.name for frame in stack if frame.vectorized}

    def rows(self) -> set[str]:
        """Names of the plates that observed sites lie in."""
        return {plate for name in self.observed for plate in self.plates(name)}

    def local(self) -> list[str]:
        """Latent sites of the rows whose likelihood is given."""
        return [name for name in self.latent if self.rows() & self.plates(name)]


def _is_plate(node: Any) -> bool:
    return type(node["fn"]).__name__ == "_Subsample"


def _is_auxiliary(node: Any) -> bool:
    return bool(node["infer"].get("is_auxiliary", False))


def _check_whole(trace: Any) -> None:
    for name, node in trace.nodes.items():
        if node["type"] == "sample" and _is_plate(node) and len(node["value"]) < node["fn"].size:
            raise ValueError(
                f"model must see all rows, got {len(node['value'])} of {node['fn'].size} of the "
                f"plate {name!r}: export it without subsampling"
            )
