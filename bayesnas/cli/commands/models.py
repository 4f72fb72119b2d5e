"""``bayesnas models``: the zoo."""

from __future__ import annotations

import argparse
import textwrap

import bayesnas as bn
from bayesnas.cli.output import Outcome


def run(args: argparse.Namespace) -> Outcome:
    """List the registry."""
    records = bn.models.available()
    content = {
        name: {
            "title": record.title,
            "reference": record.reference,
            "structural": record.structural,
            "class": record.cls.__name__,
        }
        for name, record in records.items()
    }
    blocks = [
        f"{name}\n"
        + textwrap.indent(
            f"{record.title}\nsource      {record.reference}\nstructural  {record.structural}", "  "
        )
        for name, record in records.items()
    ]
    return Outcome("\n\n".join(blocks), content)
