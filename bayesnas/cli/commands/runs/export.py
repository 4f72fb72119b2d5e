"""``bayesnas export``: a run as one file for other programs."""

from __future__ import annotations

import argparse

import bayesnas as bn
from bayesnas.checks import draw_count
from bayesnas.cli.loading import at_kl_weight, in_memory, open_run
from bayesnas.cli.output import Outcome, note
from bayesnas.cli.parsers.runs.export import SUFFIXES
from bayesnas.data import Split
from bayesnas.files import check_new_file


def run(args: argparse.Namespace) -> Outcome:
    """Write the file."""
    draw_count("draws", args.draws, 1)
    suffix = SUFFIXES[args.format]
    path = args.run_folder / f"export{suffix}" if args.out is None else args.out
    check_new_file("out", path, (suffix,))
    if args.format == "code":
        post, data = open_run(args)
        bn.code(post, in_memory(data, "a code").train, size=args.size, device=args.device).encode(
            path
        )
    elif args.format == "netcdf":
        post, data = open_run(args)
        train = data.train if isinstance(data.train, Split) else None
        if train is None:
            note("rows that are read when needed leave no log-likelihoods in the file", args.quiet)
        post.export(path, draws=args.draws, data=train)
    else:
        post = at_kl_weight(bn.load(args.run_folder, device=args.device), args)
        post.export(path)
    content = {
        "run": str(args.run_folder),
        "format": args.format,
        "kl_weight": post.kl_weight,
        "bytes": path.stat().st_size,
        "out": str(path),
    }
    return Outcome(f"{post.model.describe()}: {content['bytes']:,} bytes in {path}", content)
