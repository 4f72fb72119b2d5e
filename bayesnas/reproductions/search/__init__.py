"""Searches by trials: grid against random, and every strategy on a space whose best is known.

Each part is a module with a ``PART``; a new one is a line in ``PARTS``.
"""

from __future__ import annotations

from bayesnas.reproductions.base import Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.search import (
    adanet,
    add_del,
    grid_and_random,
    schema_counts,
    table_of_strategies,
    weight_agnostic,
)
from bayesnas.reproductions.search.parts import PartRecord
from bayesnas.reproductions.tables import write_comparisons

REFERENCE = (
    "J. Bergstra, Y. Bengio, Random search for hyper-parameter optimization, 2012; X. Dong, "
    "Y. Yang, NAS-Bench-201, 2020, for the space; the sources of the strategies stand with them"
)

PARTS: dict[str, PartRecord] = {
    "grid-and-random": grid_and_random.PART,
    "schemata": schema_counts.PART,
    "strategies": table_of_strategies.PART,
    "weight-agnostic": weight_agnostic.PART,
    "add-del": add_del.PART,
    "adanet": adanet.PART,
}
"""In the order in which they are run."""


def run(request: Request) -> Reproduced:
    """Run all parts, and write ``comparison.csv`` and ``comparison.md``.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
    """
    settings = {name: dict(part.settings(request)) for name, part in PARTS.items()}
    claim(request.out, settings)
    parts = [part.run(request, settings[name]) for name, part in PARTS.items()]
    comparisons = [each for part in parts for each in part.comparisons]
    remarks = [each for part in parts for each in part.remarks]
    files = {name: path for part in parts for name, path in part.files.items()}
    files |= write_comparisons(request.out, comparisons)
    return Reproduced("search", settings, remarks, comparisons, files)


REPRODUCTION = Reproduction("searches by trials against random search", REFERENCE, run)
