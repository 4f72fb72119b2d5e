"""What a reproduction is, and what it gives: our figures beside the published ones."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesnas.checks import whole_number
from bayesnas.runtime.device import resolve_device
from bayesnas.tensor_files import check_same_settings, read_json, write_json
from bayesnas.typed import typed


@dataclass(frozen=True)
class Comparison:
    """One published figure beside ours.

    Attributes:
        labels: what it is of, such as method and KL weight; the last one is the column of a
            printed table, the others make the row.
        quantity: what is measured.
        published: the figure of the source; None where it has none.
        ours: one value a start.

    >>> Comparison({"method": "direct"}, "accuracy", 0.9, (0.8, 1.0)).mean
    0.9
    """

    labels: Mapping[str, str]
    quantity: str
    published: float | None
    ours: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Our figure: the mean over the starts."""
        return statistics.fmean(self.ours)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the starts; None for one alone."""
        return statistics.stdev(self.ours) if len(self.ours) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            **self.labels,
            "quantity": self.quantity,
            "published": self.published,
            "ours": self.mean,
            "spread": self.spread,
            "starts": list(self.ours),
        }


@dataclass(frozen=True)
class Reproduced:
    """The outcome of a reproduction.

    Attributes:
        name: of the reproduction.
        settings: what was run, as JSON values.
        remarks: sentences that go with the figures: what differs from the source.
        comparisons: the figures.
        files: written besides the table, by what they show.
    """

    name: str
    settings: Mapping[str, Any]
    remarks: Sequence[str]
    comparisons: Sequence[Comparison]
    files: Mapping[str, Path] = field(default_factory=dict)


@typed()
@dataclass(frozen=True)
class Request:
    """What a reproduction is asked for.

    Attributes:
        out: folder of its fits and files; a second call goes on with what is there.
        quick: a small version that shows the way, in a few minutes.
        seeds: starts; None for as many as the source has, one where ``quick``.
        root: folder of downloaded data sets, None for the usual one.
        device: where to fit.
        progress: show bars.
        say: is told what is done next.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for fewer than one seed, or a device that there is none of.
    """

    out: Path
    quick: bool = False
    seeds: int | None = None
    root: str | None = None
    device: str = "auto"
    progress: bool = False
    say: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        """Check number and device."""
        resolve_device(self.device)
        if self.seeds is not None:
            whole_number("seeds", self.seeds)


@typed()
@dataclass(frozen=True)
class Reproduction:
    """An entry of the registry.

    Attributes:
        title: what is reproduced.
        reference: authors, year and title of the source.
        run: does it.

    Raises:
        TypeError: naming an argument of another type.
    """

    title: str
    reference: str
    run: Callable[[Request], Reproduced]


_SETTINGS = "settings.json"


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Say in a folder what is run there, or check that it is that.

    Args:
        out: the folder; created where it is not there.
        settings: what decides the numbers, as JSON values.

    Raises:
        ValueError: it holds a reproduction with other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / _SETTINGS
    if not path.exists():
        write_json(path, settings)
        return
    check_same_settings(out, "a reproduction", read_json(path), settings)
