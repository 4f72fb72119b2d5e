"""Sites of a Pyro program in two runs, on two numbers of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.distributions import Independent
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from torch import Tensor

from bayesnas.export.plate_dims import plate_dims
from bayesnas.models.site_kinds import (
    is_deterministic,
    is_factor,
    sample_sites,
    stands_for_examples,
)

Sites = dict[tuple[str, str], Any]  # by owner, "guide" or "model", and name
_RELATIVE = 1e-4  # difference of two log densities that is no rounding


@dataclass(frozen=True)
class SiteTwice:
    """A site of a program's trace on two numbers of rows.

    Attributes:
        owner: ``"guide"`` or ``"model"``.
        name: of the site.
        site: in the first run.
        other: in the second; None where that has no such site, the first where there was no second.
    """

    owner: str
    name: str
    site: Any
    other: Any

    def frames(self) -> Any:
        """The plates around it."""
        return self.site["cond_indep_stack"]

    def dims(self) -> tuple[str, ...]:
        """Names of the dims of its value, those of plates and by place."""
        shape = getattr(self.site["value"], "shape", ())
        event = 0 if is_deterministic(self.site) else self.site["fn"].event_dim
        return plate_dims(self.name, shape, self.frames(), event)

    def plates_of(self, sizes: tuple[int, int]) -> Iterator[str]:
        """Names of the plates around it that have as many members as there are rows."""
        for frame, twin in self._pairs():
            if (_full_size(frame), _full_size(twin)) == sizes:
                yield frame.name

    def plates_that_show(self, sizes: tuple[int, int]) -> Iterator[str]:
        """Names of the plates around it that show as many members as there are rows."""
        for frame, twin in self._pairs():
            if (frame.size, twin.size) == sizes:
                yield frame.name

    def _pairs(self) -> Iterator[tuple[Any, Any]]:
        frames = () if self.other is None else self.other["cond_indep_stack"]
        yield from zip(self.frames(), frames, strict=False)

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

    def is_one_event(self, rows: int) -> bool:
        """Whether all rows are one event of it, with no log density for each."""
        fn = self.site["fn"]
        while isinstance(fn, Independent):
            fn = fn.base_dist
        return rows > 1 and rows not in fn.batch_shape

    def is_of_one_sample(self, rows: int) -> bool:
        """Whether it has as many values as there are rows, however many these are."""
        return _length(self.site) == rows == _length(self.other)

    def is_scaled_by_rows(self, sizes: tuple[int, int]) -> bool:
        """Whether ``poutine.scale`` multiplies it by a number over the number of rows."""
        if self.other is None or sizes[0] == sizes[1] or self.scales_itself():
            return False
        first, second = (site["scale"] for site in (self.site, self.other))
        if isinstance(first, Tensor) or isinstance(second, Tensor):
            return False
        return bool(first != second and abs(first * sizes[0] - second * sizes[1]) < 1e-6 * first)

    def adds_data(self) -> bool:
        """Whether it observes values, rather than being a note or a term of ``pyro.factor``."""
        return (
            self.site["is_observed"]
            and not is_factor(self.site)
            and not is_deterministic(self.site)
        )


def sites_of(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    x: Tensor,
    y: Tensor,
    given: Mapping[str, Any] | None = None,
) -> Sites:
    """Sites of guide and model; random state and gradients are left alone.

    Args:
        model: called with ``(x, y)``.
        guide: likewise.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        given: values of latent sites, by name.
    """
    fixed = _Given(given or {})
    with torch.no_grad(), torch.random.fork_rng(devices=[y.device] if y.is_cuda else []):
        guide_trace = poutine.trace(fixed(guide)).get_trace(x, y)
        program = fixed(poutine.replay(model, trace=guide_trace))
        model_trace = poutine.trace(program).get_trace(x, y)
    return {
        (owner, name): site
        for owner, trace in (("guide", guide_trace), ("model", model_trace))
        for name, site in sample_sites(trace).items()
    }


def on_other_rows(
    run: Callable[[Tensor, Tensor], Sites], x: Tensor, y: Tensor
) -> tuple[Sites | None, int]:
    """Sites of a run on another number of rows, and how many; None where it takes no other."""
    n = len(x)
    for rows in ([*range(n - 1)], [*range(n), 0]):
        if rows:
            try:
                sites = run(x[rows], y[rows])
                for site in sites.values():
                    if site["is_observed"]:  # values of other rows may not fit a distribution
                        site["fn"].log_prob(site["value"])
                return sites, len(rows)
            except Exception:  # whatever a program does with rows that it does not expect
                continue
    return None, n


def plates_of_others(run: Callable[[Tensor, Tensor], Sites], x: Tensor, y: Tensor) -> list[str]:
    """Names of plates that count something else than rows.

    They have other members than rows where one row comes again and again, as a plate of the groups
    in a batch has, which may be as many as its rows.
    """
    again = [0] * (len(x) + 1)
    with contextlib.suppress(Exception):  # whatever a program does with rows that are alike
        return [
            frame.name
            for site in run(x[again], y[again]).values()
            for frame in site["cond_indep_stack"]
            if _full_size(frame) != len(again)
        ]
    return []


def changed_by_rows(
    run: Callable[..., Sites],
    first: Sites,
    x: Tensor,
    y: Tensor,
    few: int,
    shared: Sequence[tuple[str, str]],
) -> list[str]:
    """Names of sites that examples share whose log densities depend on which rows are seen.

    They are compared at the same values of the latents, on all rows, on a few of them and on one
    row again and again, which shows what counts the kinds of rows that there are. What differs from
    run to run by itself is not told apart.

    Args:
        run: :func:`sites_of` as a function of x, y and given values.
        first: what it gave on all rows; its latents are those of all runs.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        few: how many a few are.
        shared: owner and name of the sites to look at.
    """
    given = {name: first[owner, name]["value"] for owner, name in shared if _is_latent(first, name)}
    once, again = run(x, y, given), run(x, y, given)
    others = []
    for rows in ([*range(few)] if len(x) > few else [*range(len(x)), 0], [0] * (len(x) + 1)):
        with contextlib.suppress(Exception):  # whatever a program does with rows that are too few
            others.append(run(x[rows], y[rows], given))
    steady = [key for key in shared if _alike(once.get(key), again.get(key))]
    return sorted(
        {
            key[1]
            for key in steady
            if not (others and all(_alike(once.get(key), other.get(key)) for other in others))
        }
    )


def _is_latent(sites: Sites, name: str) -> bool:
    return any(key[1] == name and not site["is_observed"] for key, site in sites.items())


def _alike(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    if first["fn"].shape() != second["fn"].shape():
        return False
    one, other = (_log_density(site) for site in (first, second))
    return one == other or abs(one - other) <= _RELATIVE * max(1.0, abs(one))


def _log_density(site: Any) -> float:
    log_prob = site["fn"].log_prob(site["value"])
    scaled = scale_and_mask(log_prob, site["scale"], site["mask"])
    return scaled.detach().sum().item() if isinstance(scaled, Tensor) else float(scaled)


class _Given(Messenger):
    """Set latent sites to given values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values and not msg["is_observed"]:
            msg["value"], msg["done"] = self.values[msg["name"]], True


def _full_size(frame: Any) -> int:
    return int(frame.size if frame.full_size is None else frame.full_size)


def _length(site: Any) -> int | None:
    """Number of rows of a site's values; None where they have no dims."""
    value = None if site is None else site["value"]
    return len(value) if isinstance(value, Tensor) and value.ndim else None
