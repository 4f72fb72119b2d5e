"""Which plates and sites of a Pyro program stand for the examples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from bayesnas.models.base import FEW
from bayesnas.models.programs.runs import (
    SiteTwice,
    changed_by_rows,
    on_other_rows,
    plates_of_others,
    sites_of,
)
from bayesnas.models.site_kinds import OBSERVED


@dataclass(frozen=True)
class ProgramSites:
    """What is known of a model and its guide once they have seen a batch.

    Attributes:
        plates: names of the plates that have as many members as the batch has examples.
        unplated: names of observed sites outside of them whose values have a row for every example.
        observed: names of the sites that observe data, in their order.
        self_scaled: names of observed sites with a row for every example in a plate of a fixed
            size, which scales them.
        showing: names of plates of a fixed size that show as many members as there are rows.
        sampled: names of the latent sites of the guide.
        summed_out: names of the model's enumerated sites, which the guide does not sample.
        whole_sample: why the pair must see all rows of its sample at once; empty where it need not.
        shared_by_rows: why what examples share must be taken from all rows; empty where a few do.
        subsamples: whether some plate shows a part of its members.
        depth: of nested plates.
        dims: names of the dims of every site, those of plates and by place.
    """

    plates: frozenset[str]
    unplated: frozenset[str] = frozenset()
    observed: tuple[str, ...] = ()
    self_scaled: frozenset[str] = frozenset()
    showing: frozenset[str] = frozenset()
    sampled: frozenset[str] = frozenset()
    summed_out: frozenset[str] = frozenset()
    whole_sample: str = ""
    shared_by_rows: str = ""
    subsamples: bool = False
    depth: int = 1
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def row_plates(self) -> frozenset[str]:
        """Names of all plates whose members are the examples."""
        return self.plates | self.showing

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
    it is; and a plate over the examples may have any name. A pair that can't be run on another
    number of rows must see all of them, and a plate of as many members counts as one of examples.

    Args:
        model: called with ``(x, y)``.
        guide: likewise.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        guide_name: for the reason why the whole sample is needed.
    """
    run = partial(sites_of, model, guide)
    first = run(x, y)
    second, other_rows = on_other_rows(run, x, y)
    sizes = (len(x), other_rows)
    pairs = [
        SiteTwice(owner, name, site, site if second is None else second.get((owner, name)))
        for (owner, name), site in first.items()
    ]
    plates = frozenset(name for pair in pairs for name in pair.plates_of(sizes))
    plates -= {*plates_of_others(run, x, y)} if plates and second is not None else set()
    data = [pair for pair in pairs if pair.adds_data()]
    latent = [pair for pair in pairs if not pair.site["is_observed"]]
    sampled = frozenset(pair.name for pair in latent if pair.owner == "guide")
    whole = _needs_all_rows(
        guide_name, pairs, latent, plates, sizes, runs_on_others=second is not None
    )
    shared = [
        (pair.owner, pair.name)
        for pair in pairs
        if pair.in_no(plates) and not (pair.adds_data() and pair.has_rows(sizes))
    ]
    changed = [] if whole else changed_by_rows(run, first, x, y, FEW, shared)
    return ProgramSites(
        plates,
        unplated=frozenset(p.name for p in data if p.in_no(plates) and p.has_rows(sizes)),
        observed=tuple(pair.name for pair in data),
        self_scaled=frozenset(p.name for p in data if p.scales_itself() and p.has_rows(sizes)),
        showing=frozenset(n for p in pairs if second for n in p.plates_that_show(sizes)),
        sampled=sampled,
        summed_out=frozenset(
            p.name for p in latent if p.name not in sampled and _is_enumerated(p.site)
        ),
        whole_sample=whole,
        shared_by_rows=f"the log densities of {changed}, which all examples share, depend on the "
        "rows that the program sees"
        if changed
        else "",
        subsamples=any(pair.scales_itself() for pair in pairs),
        depth=max(
            (-frame.dim for p in pairs for frame in p.frames() if frame.vectorized), default=1
        ),
        dims={pair.name: pair.dims() for pair in pairs},
    )


def _needs_all_rows(
    guide_name: str,
    pairs: Sequence[SiteTwice],
    latent: Sequence[SiteTwice],
    plates: frozenset[str],
    sizes: tuple[int, int],
    *,
    runs_on_others: bool,
) -> str:
    """Why a pair is tied to the rows of its whole sample; empty where it is not."""
    in_plate = {p.name for p in latent if p.owner == "model" and p.is_in(plates)}
    fixed = {
        p.name
        for p in latent
        if p.owner == "guide" and p.name in in_plate and p.is_of_one_sample(sizes[0])
    }
    if (fixed and runs_on_others) or (in_plate and not runs_on_others):
        of = sorted(fixed or in_plate)
        return f"{guide_name} has values of its own at {of} for every row of the training data"
    if not runs_on_others:
        return f"the program runs on {sizes[0]} rows alone"
    if loose := sorted({p.name for p in latent if p.in_no(plates) and p.has_rows(sizes)}):
        return f"the latent sites {loose} follow the rows but stand in no plate"
    if named := sorted({p.name for p in pairs if p.other is None}):
        return f"the sites {named} are there or not as the number of rows is"
    if scaled := sorted({p.name for p in pairs if p.adds_data() and p.is_scaled_by_rows(sizes)}):
        return (
            f"poutine.scale multiplies {scaled} by a number over that of the rows (leave it out: "
            "a fit multiplies by N/B itself)"
        )
    joint = [p for p in pairs if p.adds_data() and p.in_no(plates) and p.has_rows(sizes)]
    if events := sorted(p.name for p in joint if p.is_one_event(sizes[0])):
        return f"all rows are one event of {events}"
    return ""


def _is_enumerated(site: Any) -> bool:
    return bool(site["infer"].get("enumerate") == "parallel")
