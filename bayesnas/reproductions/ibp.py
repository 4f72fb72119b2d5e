"""The Indian buffet and its cascade: draws beside the figures known in closed form.

The picture is that of Adams, Wallach and Ghahramani (2010): one network drawn from the cascading
process at each of five pairs (α, β).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.distributions import CascadingIndianBuffet, IndianBuffet
from bayesnas.plots.structure.cascade import PARAMETERS, cascade_figure
from bayesnas.report.figure import write_figure
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.tables import write_comparisons

REFERENCE = (
    "Ghahramani, Griffiths, Sollich, Bayesian nonparametric latent feature models, 2007; "
    "Adams, Wallach, Ghahramani, Learning the structure of deep sparse graphical models, 2010"
)
CUSTOMERS, WIDTH, LAYERS = 10, 10, 3
DRAWS, QUICK_DRAWS, STARTS = 100_000, 10_000, 3
_FILES = ("cascade.png",)


@dataclass(frozen=True)
class _Moment:
    """A mean that is known, and how to see it in draws."""

    quantity: str
    column: str
    exact: float
    of: Callable[[Tensor], Tensor]


def run(request: Request) -> Reproduced:
    """Draw, and write ``comparison.csv`` and ``.md`` and ``cascade.png``.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
    """
    draws = QUICK_DRAWS if request.quick else DRAWS
    starts = request.seeds or (1 if request.quick else STARTS)
    settings = {"draws": draws, "starts": starts, "customers": CUSTOMERS, "width": WIDTH}
    claim(request.out, settings)
    comparisons = [row for pair in PARAMETERS for row in compare(*pair, draws=draws, starts=starts)]
    files = write_comparisons(request.out, comparisons)
    files |= {name: request.out / name for name in _FILES}
    write_figure(cascade_figure(width=WIDTH), files["cascade.png"])
    remarks = [
        f"Means over {draws:,} draws and {starts} seeds; in brackets the exact ones.",
        f"{CUSTOMERS} customers; {WIDTH} visible units of the cascade.",
    ]
    return Reproduced("ibp", settings, remarks, comparisons, files)


REPRODUCTION = Reproduction("moments and draws of Indian buffet processes", REFERENCE, run)


def compare(mass: float, concentration: float, *, draws: int, starts: int) -> Iterator[Comparison]:
    """Means of draws beside the exact ones, at one (α, β)."""
    buffet = IndianBuffet(mass, concentration, CUSTOMERS)
    cascade = CascadingIndianBuffet(mass, concentration, WIDTH)
    row = {"α, β": f"{mass:g}, {concentration:g}"}

    def matrices() -> Tensor:
        return buffet.sample(torch.Size([draws]))

    def widths() -> Tensor:
        return cascade.sample_widths(draws).double()

    for sample, moments in (
        (matrices, buffet_moments(buffet)),
        (widths, cascade_moments(cascade)),
    ):
        means: list[list[float]] = [[] for _ in moments]
        with torch.random.fork_rng(devices=[]):
            for seed in range(starts):
                torch.manual_seed(seed)
                drawn = sample()
                for values, moment in zip(means, moments, strict=True):
                    values.append(float(moment.of(drawn).double().mean()))
        for values, moment in zip(means, moments, strict=True):
            labels = {**row, "of": moment.column}
            yield Comparison(labels, moment.quantity, moment.exact, tuple(values))


def buffet_moments(buffet: IndianBuffet) -> list[_Moment]:
    """Dishes, dishes of a customer, dishes that two of them share."""
    return [
        _Moment("mean number of dishes", "all", float(buffet.expected_dishes), _dishes),
        _Moment("mean number of dishes", "the last", buffet.mass.item(), lambda z: z[:, -1].sum(1)),
        _Moment(
            "mean number of dishes",
            "first and last",
            float(buffet.expected_shared),
            lambda z: (z[:, 0] * z[:, -1]).sum(1),
        ),
    ]


def cascade_moments(cascade: CascadingIndianBuffet) -> list[_Moment]:
    """Width of each of the first layers, chance that it is empty, number of layers."""
    widths, empty = cascade.expected_widths(LAYERS), cascade.absorption(LAYERS)
    moments = []
    for m in range(1, LAYERS + 1):
        column = f"layer {m}"
        moments.append(_Moment("mean width", column, float(widths[m]), _layer(m)))
        moments.append(_Moment("P(empty)", column, float(empty[m]), _is_empty(m)))
    depth = float(cascade.expected_depth())
    moments.append(_Moment("mean depth", "hidden layers", depth, lambda k: (k[:, 1:] > 0).sum(1)))
    return moments


def _dishes(z: Tensor) -> Tensor:
    return z.any(1).sum(1)


def _layer(m: int) -> Callable[[Tensor], Tensor]:
    return lambda widths: widths[:, m] if m < widths.shape[1] else torch.zeros(len(widths))


def _is_empty(m: int) -> Callable[[Tensor], Tensor]:
    return lambda widths: _layer(m)(widths) == 0
