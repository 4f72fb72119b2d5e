"""Which plates and sites of a Pyro program stand for the examples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesnas.models.base import OBSERVED, is_deterministic, is_factor, stands_for_examples


@dataclass(frozen=True)
class ProgramSites:
    """What is known of a model and its guide once they have seen a batch.

    Attributes:
        plates: names of the plates that have as many members as the batch has examples.
        unplated: names of sites outside of them whose values have a row for every example.
        observed: names of the sites that observe data, in their order.
    """

    plates: frozenset[str]
    unplated: frozenset[str]
    observed: tuple[str, ...]

    def follows_batch(self, site: Mapping[str, Any]) -> bool:
        """Whether a site of a trace stands for the examples."""
        frames = site["cond_indep_stack"]
        return site["name"] in self.unplated or any(frame.name in self.plates for frame in frames)

    def target(self, asked: str | None) -> str:
        """The site of the targets.

        Args:
            asked: its name, where the user says it.

        Raises:
            ValueError: where there is no such observed site, or which one it is can't be told.
        """
        if asked is not None:
            if asked not in self.observed:
                raise ValueError(
                    f"target must be one of the observed sites {list(self.observed)}, got {asked!r}"
                )
            return asked
        if OBSERVED in self.observed or not self.observed:
            return OBSERVED
        if len(self.observed) == 1:
            return self.observed[0]
        raise ValueError(
            f"the model observes {list(self.observed)}: say of which site predictions are made, "
            "PyroPair(model, guide, target=...)"
        )


def find_program_sites(
    model: Callable[..., Any], guide: Callable[..., Any], x: Tensor, y: Tensor
) -> ProgramSites:
    """Run a pair on batches of two sizes, and see what changes with them.

    A plate of a fixed size scales its own subsample, as Pyro's does; a plate over features stays as
    it is; and a plate over the examples may have any name. Where the pair can't be run on another
    number of rows, a plate of as many members as there are rows counts as one of examples.

    Args:
        model: called with ``(x, y)``.
        guide: likewise.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
    """
    first = _sites(model, guide, x, y)
    rows = [*range(len(x) - 1)] if len(x) > 1 else [0, 0]
    try:
        second = _sites(model, guide, x[rows], y[rows])
    except Exception:  # whatever a program does with a number of rows that it does not expect
        second = None
    plates, unplated, observed = set(), set(), []
    for key, site in first.items():
        other = site if second is None else second.get(key)
        name = key[1]
        for frame, twin in zip(site["cond_indep_stack"], _frames(other), strict=False):
            sizes = _full_size(frame), _full_size(twin)
            if sizes == ((len(x), len(x)) if second is None else (len(x), len(rows))):
                plates.add(frame.name)
        if site["is_observed"] and not is_factor(site) and not is_deterministic(site):
            observed.append(name)
    for key, site in first.items():
        other = site if second is None else second.get(key)
        in_plate = any(frame.name in plates for frame in site["cond_indep_stack"])
        if site["is_observed"] and not in_plate and _has_rows(site, other, len(x), len(rows)):
            unplated.add(key[1])
    return ProgramSites(frozenset(plates), frozenset(unplated), tuple(observed))


def _sites(
    model: Callable[..., Any], guide: Callable[..., Any], x: Tensor, y: Tensor
) -> dict[tuple[str, str], Any]:
    """Sites of guide and model, by owner and name; random state and gradients are left alone."""
    with torch.no_grad(), torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        guide_trace = poutine.trace(guide).get_trace(x, y)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x, y)
    return {
        (owner, name): site
        for owner, trace in (("guide", guide_trace), ("model", model_trace))
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site)
    }


def _frames(site: Any) -> Any:
    return () if site is None else site["cond_indep_stack"]


def _full_size(frame: Any) -> int:
    return int(frame.size if frame.full_size is None else frame.full_size)


def _has_rows(site: Any, other: Any, rows: int, other_rows: int) -> bool:
    """Whether the values of a site have a row for every example, in both runs."""
    if is_factor(site):
        return False
    value = site["value"]
    if not isinstance(value, Tensor) or value.ndim == 0:
        return False
    if other is site:  # the program could be run on one number of rows alone
        return stands_for_examples(site) and len(value) == rows
    return other is not None and len(value) == rows and len(other["value"]) == other_rows
