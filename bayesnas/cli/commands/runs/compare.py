"""``bayesnas compare``: metrics of several runs side by side."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from bayesnas.cli.loading import open_run
from bayesnas.cli.output import Outcome, number
from bayesnas.data import DataSet
from bayesnas.export.psis import GOOD_K
from bayesnas.inference import Posterior
from bayesnas.inference.criteria.comparison import loo_scores, loo_table
from bayesnas.report.findings import judged_part
from bayesnas.report.tables import table

_METRICS = ("accuracy", "rmse", "nll", "ece", "kl")
_LOO = {"elpd_loo": "elpd", "elpd": "elpd", "p_loo": "p", "p": "p", "elpd_diff": "elpd_diff"}
_LOO |= {"weight": "weight", "se": "se", "dse": "dse"}
_LOO_DRAWS = 1000


def run(args: argparse.Namespace) -> Outcome:
    """Measure each on the same rows, and compare."""
    if len(set(args.runs)) < len(args.runs):
        raise ValueError(f"RUN must be different folders, got {', '.join(map(str, args.runs))}")
    opened = {folder: _opened(args, folder) for folder in args.runs}
    part = _check_same_rows(opened)
    rows = [_row(args, folder, *both) for folder, both in opened.items()]
    names = [name for name in _METRICS if all(name in row for row in rows)]
    shown = [["run", "model", "λ", *names, "weights kept"]]
    shown += [
        [row["run"], row["model"], f"{row['kl_weight']:.4g}"]
        + [number(row[name]) for name in names]
        + [f"{row['weights_kept']:,}" if row["weights_kept"] is not None else ""]
        for row in rows
    ]
    blocks = [f"{part} part of {next(iter(opened.values()))[1].name}", table(shown)]
    content: dict[str, Any] = {"part": part, "draws": args.draws, "runs": rows}
    if args.loo:
        compared = _leave_one_out(args, opened)
        content["loo"] = compared
        blocks += ["leave-one-out on the training part, the best first", _loo_table(compared)]
    return Outcome("\n".join(blocks), content)


def _opened(args: argparse.Namespace, folder: Path) -> tuple[Posterior, DataSet]:
    return open_run(argparse.Namespace(**{**vars(args), "run_folder": folder}))


def _check_same_rows(opened: dict[Path, tuple[Posterior, DataSet]]) -> str:
    """The part that all are judged on.

    Raises:
        ValueError: they are judged on different rows.
    """
    first, *others = opened
    name, part = judged_part(opened[first][1])
    for folder in others:
        other_name, other = judged_part(opened[folder][1])
        if (other_name, other.fingerprint) != (name, part.fingerprint):
            raise ValueError(
                f"RUN must be judged on the same rows, got the {name} part of {first} "
                f"({len(part):,} rows) and another {other_name} part of {folder} ({len(other):,}): "
                "fit them with the same --test, --validation, --split-seed and --standardise"
            )
    return name


def _row(args: argparse.Namespace, folder: Path, post: Posterior, data: DataSet) -> dict[str, Any]:
    masks = post.model.keep_masks()
    return {
        "run": str(folder),
        "model": post.model.describe(),
        "kl_weight": post.kl_weight,
        **post.evaluate(judged_part(data)[1], draws=args.draws),
        "weights_kept": sum(int(mask.sum()) for mask in masks.values()) if masks else None,
    }


def _leave_one_out(
    args: argparse.Namespace, opened: dict[Path, tuple[Posterior, DataSet]]
) -> list[dict[str, Any]]:
    """Rows of ``arviz.compare``, with the number of k̂ above 0.7 of each run."""
    posts = {str(folder): post for folder, (post, _) in opened.items()}
    data = {str(folder): data.train for folder, (_, data) in opened.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that k̂ is large stands in the table
        scores = loo_scores(posts, data, _LOO_DRAWS, seed=0)
        frame = loo_table(scores)
    large = {name: int((loo.pareto_k.values > GOOD_K).sum()) for name, loo in scores.items()}
    rows = []
    for name, row in frame.iterrows():
        numbers = {_LOO[str(key)]: float(row[key]) for key in frame.columns if str(key) in _LOO}
        rows.append({"run": str(name), **numbers, "large_k": large[str(name)]})
    return rows


def _loo_table(rows: list[dict[str, Any]]) -> str:
    names = [name for name in rows[0] if name not in ("run", "large_k")]
    shown = [["run", *names, f"k̂ > {GOOD_K}"]]
    shown += [
        [row["run"], *(number(row[name]) for name in names), str(row["large_k"])] for row in rows
    ]
    return table(shown)
