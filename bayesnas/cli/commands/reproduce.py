"""``bayesnas reproduce``: run a published table again."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from bayesnas.checks import whole_number
from bayesnas.cli.output import Outcome, note
from bayesnas.reproductions import REPRODUCTIONS, Reproduced, Reproduction, Request
from bayesnas.reproductions.tables import as_text
from bayesnas.runtime.device import resolve_device

_MOST_SEEDS = 1_000


def run(args: argparse.Namespace) -> Outcome:
    """Reproduce, and print the table."""
    reproduction = REPRODUCTIONS[args.name]
    if args.seeds is not None:
        whole_number("seeds", args.seeds, 1)
        if args.seeds > _MOST_SEEDS:
            raise ValueError(f"seeds must be at most {_MOST_SEEDS:,}, got {args.seeds}")
    resolve_device(args.device)  # before a folder is made
    default = Path("runs") / (f"{args.name}-quick" if args.quick else args.name)
    out: Path = default if args.out is None else args.out
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"out must be a folder, got the file {out}")
    note(f"{reproduction.title}: {reproduction.reference}", args.quiet)
    request = Request(
        out=out,
        quick=args.quick,
        seeds=args.seeds,
        root=args.root,
        device=args.device,
        progress=not args.quiet,
        say=lambda text: note(text, args.quiet),
    )
    return _outcome(reproduction, reproduction.run(request), out)


def _outcome(reproduction: Reproduction, reproduced: Reproduced, out: Path) -> Outcome:
    blocks = [
        f"{reproduction.title}\n{textwrap.fill(reproduction.reference, 96)}",
        textwrap.fill(" ".join(reproduced.remarks), 96),
        as_text(reproduced.comparisons),
        "\n".join(f"{what}: {path}" for what, path in reproduced.files.items()),
    ]
    content = {
        "name": reproduced.name,
        "title": reproduction.title,
        "reference": reproduction.reference,
        "settings": dict(reproduced.settings),
        "remarks": list(reproduced.remarks),
        "comparisons": [comparison.to_dict() for comparison in reproduced.comparisons],
        "files": {what: str(path) for what, path in reproduced.files.items()},
        "out": str(out),
    }
    return Outcome("\n\n".join(blocks), content)
