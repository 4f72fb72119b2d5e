"""``bayesnas frontier``: accuracy and complexity of a run along the KL weight."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

import bayesnas as bn
from bayesnas.cli.loading import open_fitted
from bayesnas.cli.metrics import frontier_legend, frontier_table
from bayesnas.cli.output import Outcome
from bayesnas.data import DataSet
from bayesnas.files import check_plain, write_atomically
from bayesnas.inference import Posterior, Posteriors
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.plots.frontier import frontier_figure
from bayesnas.report.figure import check_picture_path, write_figure
from bayesnas.report.frontier_findings import kl_weight_grid, measure_frontier, rows_of
from bayesnas.report.tables import rows_as_csv

if TYPE_CHECKING:
    import xarray as xr

_GRID = 13


def run(args: argparse.Namespace) -> Outcome:
    """Measure, draw and print."""
    picture = args.run_folder / "frontier.png" if args.out is None else args.out
    if args.out is not None:
        check_picture_path(args.out)
    if args.csv is not None:
        if not args.csv.parent.is_dir():
            raise FileNotFoundError(
                f"there is no folder {args.csv.parent} to write {args.csv.name} to"
            )
        check_plain(args.csv)
    if not 0 <= args.threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], a relative density, got {args.threshold}")
    post, data = open_fitted(args)
    data = _judged_by(data, args.part)
    if isinstance(post, Posterior):
        raise ValueError(
            f"RUN must be fitted over a range of KL weights (bayesnas fit --kl-weight LOW:HIGH), "
            f"got {args.run_folder}, fitted at {post.kl_weight:g} alone"
        )
    fitted = post.kl_weights if isinstance(post, Posteriors) else kl_weight_grid(post, _GRID)
    kl_weights = list(fitted) if args.kl_weights is None else args.kl_weights
    others = [_separate(folder, args, data) for folder in args.separate]
    for kl_weight in kl_weights:
        post.at(kl_weight)  # refuse what is out of range before measuring
    measures = _measure(args, (post.at(k) for k in kl_weights), len(kl_weights), data)
    separate = _measure(args, iter(others), len(others), data) if others else None
    caption = _caption(post, data, measures)
    write_figure(frontier_figure(measures, separate=separate, caption=caption), picture)
    return _outcome(args, post, data, measures, separate, picture)


def _judged_by(data: DataSet, part: str | None) -> DataSet:
    """The data without the parts that come before the one that is asked for."""
    if part is None:
        return data
    if getattr(data, part) is None:
        raise ValueError(f"part must be one that the run has, got {part!r}: fit with --{part}")
    return data if part == "test" else dataclasses.replace(data, test=None)


def _separate(folder: Path, args: argparse.Namespace, data: DataSet) -> Posterior:
    post = bn.load(folder, device=args.device)
    if not isinstance(post, Posterior):
        raise ValueError(
            f"separate must name runs at one KL weight each, got {folder}, fitted over "
            f"{post.settings.kl_weight_text()}"
        )
    if post.run.fingerprint != data.train.fingerprint:
        raise ValueError(
            f"separate must name runs on the same training data, got {folder}, fitted on "
            f"{post.data.n:,} other rows of {post.data.name}"
        )
    return post


def _measure(
    args: argparse.Namespace, posts: Iterator[Posterior], count: int, data: DataSet
) -> xr.Dataset:
    # None: tqdm is silent where there is no terminal.
    hidden = True if args.quiet else None
    shown = tqdm(posts, total=count, desc="measuring", unit="λ", disable=hidden, leave=False)
    return measure_frontier(shown, data, draws=args.draws, threshold=args.threshold)


def _caption(post: KLWeightPath, data: DataSet, measures: xr.Dataset) -> str:
    drawn = f"{measures.attrs['draws']} draws" if measures.attrs["draws"] else "posterior means"
    together = "one by one" if isinstance(post, Posteriors) else "at once"
    return (
        f"{post.model.describe()} fitted to {data.name} ({len(data.train):,} training examples) "
        f"over λ = {post.settings.kl_weight_text()} {together}, {post.settings.steps:,} steps, "
        f"seed {post.settings.seed}. a: {measures.attrs['part']} part, {drawn}. b: training part. "
        f"c: weights whose relative density ρ is below {measures.attrs['threshold']:g}. "
        f"bayesnas {bn.__version__}."
    )


def _outcome(
    args: argparse.Namespace,
    post: KLWeightPath,
    data: DataSet,
    measures: xr.Dataset,
    separate: xr.Dataset | None,
    picture: Path,
) -> Outcome:
    rows, other_rows = rows_of(measures), [] if separate is None else rows_of(separate)
    rows = [{"run": str(args.run_folder), **row} for row in rows]
    folders = map(str, args.separate)
    other_rows = [{"run": run, **row} for run, row in zip(folders, other_rows, strict=True)]
    if args.csv is not None:
        write_atomically(args.csv, rows_as_csv([*rows, *other_rows]).encode())
    lines = [
        f"{post.model.describe()} on {post.data.name}, λ = {post.settings.kl_weight_text()}: "
        f"{measures.attrs['part']} part",
        frontier_table(measures),
    ]
    if separate is not None:
        lines += ["separate fits", frontier_table(separate, [str(f) for f in args.separate])]
    lines += [frontier_legend(measures), f"picture: {picture}"]
    if data.validation is not None and "parameters" in measures:
        lines.append(f"next: bayesnas compress {args.run_folder} --out small.pt2")
    content: dict[str, Any] = {
        "run": str(args.run_folder),
        "part": measures.attrs["part"],
        "draws": args.draws,
        "threshold": args.threshold,
        "frontier": rows,
        "separate": other_rows,
        "picture": str(picture),
        "csv": None if args.csv is None else str(args.csv),
    }
    return Outcome("\n".join(lines), content)
