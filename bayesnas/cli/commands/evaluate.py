"""``bayesnas evaluate``: metrics of a run on the parts of its data, or on new rows."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import bayesnas as bn
from bayesnas.checks import draw_count
from bayesnas.cli.arguments.shared import data_options_given
from bayesnas.cli.loading import at_kl_weight, open_run
from bayesnas.cli.metrics import metrics_table
from bayesnas.cli.output import Outcome
from bayesnas.data import Split
from bayesnas.inference import Posterior
from bayesnas.models.autoencoders.base import Autoencoder
from bayesnas.report.findings import parts_of


def run(args: argparse.Namespace) -> Outcome:
    """Measure and print."""
    if args.data is not None and Path(args.data).suffix in (".csv", ".npz"):
        post, parts = _new_rows(args)
    else:
        post, data = open_run(args)
        parts = parts_of(data)
    metrics = {name: post.evaluate(part, draws=args.draws) for name, part in parts.items()}
    sizes = ", ".join(f"{len(part):,} rows of {name}" for name, part in parts.items())
    content = {
        "run": str(args.run_folder),
        "kl_weight": post.kl_weight,
        "draws": args.draws,
        "rows": {name: len(part) for name, part in parts.items()},
        "metrics": metrics,
    }
    heading = f"{post.model.describe()}, λ = {post.kl_weight:g}: {sizes}"
    return Outcome(f"{heading}\n{metrics_table(post, metrics)}", content)


def _new_rows(args: argparse.Namespace) -> tuple[Posterior, dict[str, Split]]:
    """All rows of a file, as the run took those it was fitted on."""
    others = [option for option in data_options_given(args) if option != "--target"]
    if others:
        raise ValueError(f"{', '.join(others)} can't come with a file of new rows")
    draw_count("draws", args.draws, 0)
    post = at_kl_weight(bn.load(args.run_folder, device=args.device), args)
    x, y = bn.data.read_rows(args.data, post.data, target=args.target)
    if isinstance(post.model, Autoencoder):
        y = x
    if y is None:
        raise ValueError(
            f"data must have targets, got {args.data} without a column that is known as theirs: "
            "name it with --target"
        )
    info = dataclasses.replace(post.data, part="all", n=len(x))
    return post, {Path(args.data).name: Split.of(Split(x, y, info))}
