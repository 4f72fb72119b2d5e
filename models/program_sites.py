"""Which plates and sites of a Pyro program stand for the examples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesnas.export.plate_dims import plate_dims
from bayesnas.models.base import OBSERVED, is_deterministic, is_factor, stands_for_examples


@dataclass(frozen=True)
class ProgramSites:
    """What is known of a model and its guide once they have seen a batch.

    Attributes:
        plates: names of the plates that have as many members as the batch has examples.
        unplated: names of observed sites outside of them whose values have a row for every example.
        observed: names of the sites that observe data, in their order.
        self_scaled: names of observed sites with a row for every example in a plate of a fixed
            size, which scales them.
        summed_out: names of the model's enumerated sites, which the guide does not sample.
        whole_sample: why the pair must see all rows of its sample at once; empty where it need not.
        subsamples: whether some plate shows a part of its members.
        depth: of nested plates.
        dims: names of the dims of every site, those of plates and by place.
    """

    plates: frozenset[str]
    unplated: frozenset[str] = frozenset()
    observed: tuple[str, ...] = ()
    self_scaled: frozenset[str] = frozenset()
    summed_out: frozenset[str] = frozenset()
    whole_sample: str = ""
    subsamples: bool = False
    depth: int = 1
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def follows_batch(self, site: Mapping[str, Any]) -> bool:
        """Whether a site of a trace stands for the examples."""
        if self.whole_sample and not site["is_observed"]:
            return False  # its rows are those of one sample, which is seen as a whole
        frames = site["cond_indep_stack"]
        return site["name"] in self.unplated or any(frame.name in self.plates for frame in frames)

    def has_rows(self, site: Mapping[str, Any]) -> bool:
        """Whether an observed site has a log density for every example."""
        return site["name"] in self.self_scaled or self.follows_batch(site)

    def target(self, asked: str | None) -> str | None:
        """The site of the targets; None where several are observed and none is called ``"y"``.

        Args:
            asked: its name, where the user says it.

        Raises:
            ValueError: where there is no such observed site.
        """
        if asked is not None:
            if asked not in self.observed:
                raise ValueError(
                    f"target must be one of the observed sites {list(self.observed)}, got {asked!r}"
                )
            return asked
        if OBSERVED in self.observed or not self.observed:
            return OBSERVED
        return self.observed[0] if len(self.observed) == 1 else None


def find_program_sites(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    x: Tensor,
    y: Tensor,
    guide_name: str = "guide",
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
        guide_name: for the reason why the whole sample is needed.
    """
    first = _sites(model, guide, x, y)
    rows = [*range(len(x) - 1)] if len(x) > 1 else [0, 0]
    try:
        second = _sites(model, guide, x[rows], y[rows])
    except Exception:  # whatever a program does with a number of rows that it does not expect
        second = None
    pairs = [
        _SiteTwice(owner, name, site, site if second is None else second.get((owner, name)))
        for (owner, name), site in first.items()
    ]
    sizes = (len(x), len(x)) if second is None else (len(x), len(rows))
    plates = frozenset(name for pair in pairs for name in pair.plates_of(sizes))
    data = [p for p in pairs if p.site["is_observed"] and not _adds_no_data(p.site)]
    latent = [p for p in pairs if not p.site["is_observed"]]
    sampled = {pair.name for pair in latent if pair.owner == "guide"}
    return ProgramSites(
        plates,
        frozenset(p.name for p in data if p.in_no(plates) and p.has_rows(sizes)),
        tuple(pair.name for pair in data),
        frozenset(p.name for p in data if p.scales_itself() and p.has_rows(sizes)),
        frozenset(p.name for p in latent if p.name not in sampled and _is_enumerated(p.site)),
        _needs_all_rows(guide_name, latent, plates, sizes, runs_on_others=second is not None),
        any(pair.scales_itself() for pair in pairs),
        max((-frame.dim for p in pairs for frame in p.frames() if frame.vectorized), default=1),
        {pair.name: pair.dims() for pair in pairs},
    )


@dataclass(frozen=True)
class _SiteTwice:
    """A site of a program's trace on two numbers of rows."""

    owner: str
    name: str
    site: Any
    other: Any

    def frames(self) -> Any:
        return self.site["cond_indep_stack"]

    def dims(self) -> tuple[str, ...]:
        """Names of the dims of its value, those of plates and by place."""
        shape = getattr(self.site["value"], "shape", ())
        event = 0 if is_deterministic(self.site) else self.site["fn"].event_dim
        return plate_dims(self.name, shape, self.frames(), event)

    def plates_of(self, sizes: tuple[int, int]) -> Iterator[str]:
        """Names of the plates around it that have as many members as there are rows."""
        frames = () if self.other is None else self.other["cond_indep_stack"]
        for frame, twin in zip(self.frames(), frames, strict=False):
            if (_full_size(frame), _full_size(twin)) == sizes:
                yield frame.name

    def in_no(self, plates: frozenset[str]) -> bool:
        """Whether no plate of examples is around it, nor one that scales what it shows of them."""
        return not self.scales_itself() and not self.is_in(plates)

    def scales_itself(self) -> bool:
        """Whether it stands in a plate that shows a part of its members."""
        frames = () if self.other is None else self.other["cond_indep_stack"]
        return any(_full_size(frame) != frame.size for frame in [*self.frames(), *frames])

    def is_in(self, plates: frozenset[str]) -> bool:
        """Whether a plate of examples is around it."""
        return any(frame.name in plates for frame in self.frames())

    def has_rows(self, sizes: tuple[int, int]) -> bool:
        """Whether its values have a row for every example, in both runs."""
        if self.other is self.site:  # the program could be run on one number of rows alone
            return stands_for_examples(self.site) and _length(self.site) == sizes[0]
        return (_length(self.site), _length(self.other)) == sizes

    def is_of_one_sample(self, rows: int) -> bool:
        """Whether it has as many values as there are rows, however many these are."""
        return _length(self.site) == rows == _length(self.other)


def _needs_all_rows(
    guide_name: str,
    latent: Sequence[_SiteTwice],
    plates: frozenset[str],
    sizes: tuple[int, int],
    *,
    runs_on_others: bool,
) -> str:
    """Why latents tie a pair to the rows of its whole sample; empty where none do."""
    in_plate = {p.name for p in latent if p.owner == "model" and p.is_in(plates)}
    fixed = {
        p.name
        for p in latent
        if p.owner == "guide" and p.name in in_plate and p.is_of_one_sample(sizes[0])
    }
    if fixed or (in_plate and not runs_on_others):
        of = sorted(fixed or in_plate)
        return f"{guide_name} has values of its own at {of} for every row of the training data"
    loose = sorted({p.name for p in latent if p.in_no(plates) and p.has_rows(sizes)})
    return f"the latent sites {loose} follow the rows but stand in no plate" if loose else ""


def _sites(
    model: Callable[..., Any], guide: Callable[..., Any], x: Tensor, y: Tensor
) -> dict[tuple[str, str], Any]:
    """Sites of guide and model, by owner and name; random state and gradients are left alone."""
    with torch.no_grad(), torch.random.fork_rng(devices=[y.device] if y.is_cuda else []):
        guide_trace = poutine.trace(guide).get_trace(x, y)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x, y)
    return {
        (owner, name): site
        for owner, trace in (("guide", guide_trace), ("model", model_trace))
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site)
    }


def _full_size(frame: Any) -> int:
    return int(frame.size if frame.full_size is None else frame.full_size)


def _length(site: Any) -> int | None:
    """Number of rows of a site's values; None where they have no dims."""
    value = None if site is None else site["value"]
    return len(value) if isinstance(value, Tensor) and value.ndim else None


def _adds_no_data(site: Any) -> bool:
    return is_factor(site) or is_deterministic(site)


def _is_enumerated(site: Any) -> bool:
    return bool(site["infer"].get("enumerate") == "parallel")
