"""Which sites of a Pyro program there are once for every row of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist

DATA_PLATE = "data"
"""Name of the plate over examples; sites in it are scaled up when a minibatch is seen."""


def is_factor(site: Any) -> bool:
    """Whether a site was made by ``pyro.factor``: a log-density without a value."""
    return isinstance(unwrapped(site["fn"]), dist.Unit)


def is_deterministic(site: Any) -> bool:
    """Whether a site was made by ``pyro.deterministic``: a value without a density."""
    return bool(site["infer"] and site["infer"].get("_deterministic"))


def is_auxiliary(site: Any) -> bool:
    """Whether a guide's site is one that the model has not, as those of Pyro's autoguides."""
    return bool(site["infer"] and site["infer"].get("is_auxiliary"))


def unwrapped(fn: Any) -> Any:
    """A distribution without the reshapes, expansions and masks around it."""
    while isinstance(fn, dist.Independent | dist.MaskedDistribution | dist.ExpandedDistribution):
        fn = fn.base_dist
    return fn


@dataclass(frozen=True)
class RowSites:
    """Which sites stand for rows, so that a batch of B of N rows counts N / B times.

    Attributes:
        plates: names of the plates as long as the batch.
        own_scale: those that count for the whole sample already, as
            ``plate(name, N, subsample_size=len(x))`` does.
        shaped: observed sites outside of these plates whose shape follows the rows; None: every
            observed site but factors.
        unplated: latent sites outside of these plates whose shape follows the rows.
        targets: the observed sites of the rows, factors left out; None: the one called ``"y"``.
        tied: parameters with a value for every row.
        one_length: whether the program runs on batches of its own length alone.
        varying: deterministic sites whose shape follows the rows.
        summed: discrete sites that the guide leaves for an ELBO to sum out of the model.
    """

    plates: frozenset[str] = frozenset({DATA_PLATE})
    own_scale: frozenset[str] = frozenset()
    shaped: frozenset[str] | None = None
    unplated: tuple[str, ...] = ()
    targets: tuple[str, ...] | None = None
    tied: tuple[str, ...] = ()
    summed: frozenset[str] = frozenset()
    varying: frozenset[str] = frozenset()
    one_length: bool = False

    @property
    def whole(self) -> bool:
        """Whether the program is run on all rows at once, never on a few of them."""
        return self.one_length or bool(self.tied)

    def frame(self, site: Any) -> Any:
        """The plate of the rows that a site stands in, or None."""
        found = [f for f in site["cond_indep_stack"] if f.name in self.plates | self.own_scale]
        return found[-1] if found else None

    def is_row_site(self, site: Any) -> bool:
        """Whether there is one of a site for every row."""
        if self.frame(site) is not None:
            return True
        if not site["is_observed"]:
            return False
        if self.shaped is not None:
            return site["name"] in self.shaped
        return not is_factor(site)

    def counts_for_all(self, site: Any) -> bool:
        """Whether a plate of the program scales the site up to the whole sample itself."""
        return any(frame.name in self.own_scale for frame in site["cond_indep_stack"])
