"""What a part of the reproduction of searches gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesnas.reproductions.base import Comparison, Request


@dataclass(frozen=True)
class Part:
    """The figures of one part.

    Attributes:
        comparisons: ours beside the published or exact ones.
        remarks: sentences that go with them.
        files: written, by what they show.
    """

    comparisons: Sequence[Comparison]
    remarks: Sequence[str]
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class PartRecord:
    """An entry of the parts that ``bayesnas reproduce search`` runs one after the other.

    Attributes:
        settings: of a request, as JSON values: what decides the numbers.
        run: does it, in the folder of the request; goes on with what is there.
    """

    settings: Callable[[Request], Mapping[str, Any]]
    run: Callable[[Request, Mapping[str, Any]], Part]
