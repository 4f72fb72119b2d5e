"""What follows the rows in a user's program: seen by running it on two batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesnas.models.row_sites import DATA_PLATE, RowSites, is_deterministic, is_factor

if TYPE_CHECKING:
    from bayesnas.models.pyro_pair import PyroPair

_ROWS = (5, 7)


@dataclass
class _Run:
    """Sites and parameters of one run.

    Attributes:
        rows: of the batch.
        model: sites of the model, by name.
        guide: those of the guide.
        parameters: shape by name.
    """

    rows: int
    model: dict[str, Any]
    guide: dict[str, Any]
    parameters: dict[str, torch.Size]

    def sites(self) -> Iterator[Any]:
        yield from self.model.values()
        yield from self.guide.values()


def row_sites(pair: PyroPair, x: Tensor, y: Tensor | None) -> RowSites:
    """Find what is there once for every row of a batch.

    Copies of the pair run on 5 and on 7 rows: what is of another size then follows the rows, and
    a plate of features that happens to be as long as a batch does not. A program that runs on
    batches of one length alone is judged by that length.

    Args:
        pair: model and guide; it is not changed.
        x: inputs of a batch.
        y: its targets.
    """
    try:
        return _compared(*(_run(pair, x, y, rows) for rows in _ROWS))
    except Exception:  # whatever a program does that was written for one length
        return replace(_by_length(_run(pair, x, y, len(x))), one_length=True)


def _run(pair: PyroPair, x: Tensor, y: Tensor | None, rows: int) -> _Run:
    index = torch.arange(rows, device=x.device) % len(x)
    batch = (x[index], None if y is None else y[index])
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = copy.deepcopy(pair)
        guide_trace = poutine.trace(own.guide).get_trace(*batch)
        replayed = poutine.replay(own.model, trace=guide_trace)
        model_trace = poutine.trace(replayed).get_trace(*batch)
        shapes = {name: value.shape for name, value in own.named_parameters()}
    return _Run(rows, _samples(model_trace), _samples(guide_trace), shapes)


def _samples(trace: Any) -> dict[str, Any]:
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site)
    }


def _compared(first: _Run, second: _Run) -> RowSites:
    before, after = _plates(first), _plates(second)
    both = before.keys() & after.keys()
    lengths = (first.rows, second.rows)
    follow = {name for name in both if lengths in zip(before[name], after[name], strict=True)}
    own = {n for n in follow if before[n][0] == after[n][0] and before[n][0] != first.rows}
    shapes = {name: _shape(site) for name, site in second.model.items()}
    moved = {name for name, site in first.model.items() if _shape(site) != shapes.get(name)}
    tied = [n for n, shape in first.parameters.items() if second.parameters.get(n) != shape]
    return _sites(first, frozenset(follow - own), frozenset(own), moved, tuple(tied))


def _by_length(run: _Run) -> RowSites:
    plates = _plates(run)
    with_target = {
        frame.name
        for site in run.model.values()
        if site["is_observed"] and not is_deterministic(site)
        for frame in site["cond_indep_stack"]
    }
    named = with_target | {DATA_PLATE}
    long = {n for n, (full, size) in plates.items() if run.rows in (full, size) and n in named}
    own = {n for n in long if plates[n][1] == run.rows != plates[n][0]}
    moved = {n for n, s in run.model.items() if run.rows in _shape(s)[:1]}
    frames = {f.name for site in run.guide.values() for f in site["cond_indep_stack"]}
    local = frames & long
    tied = [n for n, shape in run.parameters.items() if local and run.rows in shape]
    return _sites(run, frozenset(long - own), frozenset(own), moved, tuple(tied))


def _sites(
    run: _Run,
    plates: frozenset[str],
    own: frozenset[str],
    moved: set[str],
    tied: tuple[str, ...],
) -> RowSites:
    found = RowSites(plates, own, tied=tied)
    free = {n for n in moved if found.frame(run.model[n]) is None}
    observed = [n for n, s in run.model.items() if s["is_observed"] and not is_deterministic(s)]
    shaped = frozenset(n for n in observed if n in free)
    targets = tuple(
        n for n in observed
        if not is_factor(run.model[n]) and (n in shaped or found.frame(run.model[n]) is not None)
    )  # fmt: skip
    unplated = tuple(n for n, s in run.model.items() if n in free and not s["is_observed"])
    summed = frozenset(
        n for n, s in run.model.items()
        if not s["is_observed"] and n not in run.guide and (s["infer"] or {}).get("enumerate")
    )  # fmt: skip
    varying = frozenset(n for n in free if is_deterministic(run.model[n]))
    unplated = tuple(n for n in unplated if n not in summed)
    return RowSites(plates, own, shaped, unplated, targets, tied, summed, varying)


def _plates(run: _Run) -> dict[str, tuple[int, int]]:
    """Size of the sample and of the batch by plate."""
    return {
        frame.name: (int(frame.full_size or frame.size), int(frame.size))
        for site in run.sites()
        for frame in site["cond_indep_stack"]
    }


def _shape(site: Any) -> tuple[int, ...]:
    value = tuple(site["value"].shape) if isinstance(site["value"], Tensor) else ()
    return (*site["fn"].batch_shape, *value)
