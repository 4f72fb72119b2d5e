"""``bayesnas evaluate``: metrics of a run on the parts of its data, or on new rows."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import bayesnas as bn
from bayesnas.checks import draw_count, fraction_in, whole_number
from bayesnas.cli.arguments.shared import data_options_given
from bayesnas.cli.loading import at_kl_weight, open_run
from bayesnas.cli.metrics import metrics_table
from bayesnas.cli.output import Outcome
from bayesnas.data import Split
from bayesnas.export.psis import GOOD_K
from bayesnas.inference import Posterior
from bayesnas.report.findings import parts_of

_PARETO_DRAWS = 200
_SIMULATED_DRAWS, _SIMULATED_ROWS = 100, 100
_LEVEL = 0.05  # of a shift, over the number of predictions


def run(args: argparse.Namespace) -> Outcome:
    """Measure and print."""
    fraction_in("level", args.level, "(0, 1)")
    if args.simulations is not None:
        whole_number("simulations", args.simulations, 10)
    if args.data is not None and Path(args.data).suffix in (".csv", ".npz"):
        post, parts = _new_rows(args)
    else:
        post, data = open_run(args)
        parts = parts_of(data)
    metrics = {name: _measured(post, part, args) for name, part in parts.items()}
    outside = None if args.out_of_distribution is None else _told_apart(post, parts, args)
    pareto = _pareto_k(post, parts, args) if args.pareto_k else None
    simulated = None if args.simulations is None else _simulated(post, parts, args)
    sizes = ", ".join(f"{len(part):,} rows of {name}" for name, part in parts.items())
    content = {
        "run": str(args.run_folder),
        "kl_weight": post.kl_weight,
        "draws": args.draws,
        "rows": {name: len(part) for name, part in parts.items()},
        "level": args.level if post.data.task == "regression" else None,
        "metrics": metrics,
        "out_of_distribution": outside,
        "pareto_k": pareto,
        "simulations": simulated,
    }
    lines = [f"{post.model.describe()}, λ = {post.kl_weight:g}: {sizes}"]
    lines.append(metrics_table(post, metrics))
    if outside is not None:
        auroc = f"{outside['auroc']:.4f} of {outside['inside']} against {args.out_of_distribution}"
        lines.append(f"AUROC out of distribution: {auroc}")
    if pareto is not None:
        lines.append(_pareto_k_text(pareto))
    if simulated is not None:
        lines.append(_simulated_text(simulated))
    return Outcome("\n".join(lines), content)


def _measured(post: Posterior, part: Split, args: argparse.Namespace) -> dict[str, float]:
    """Metrics; those that need several draws, or targets that are predicted, where there are."""
    metrics = post.evaluate(part, draws=args.draws)
    if args.draws < 2 or post.model.reconstructs:
        return metrics
    return {**metrics, **post.metrics(part, level=args.level, draws=args.draws)}


def _pareto_k(post: Posterior, parts: dict[str, Split], args: argparse.Namespace) -> dict[str, Any]:
    """k̂ of all weights, by layer, and of the predictions of the last of the parts."""
    if "train" not in parts:
        raise ValueError("--pareto-k needs the training data of the run, got --data of new rows")
    draws, train = max(args.draws, _PARETO_DRAWS), parts["train"]
    reliability: dict[str, Any] = {"draws": draws, "weights": post.pareto_k(train, draws=draws)}
    if post.model.reconstructs:  # with latents of every row
        return reliability
    reliability["layers"] = post.pareto_k_by_layer(train, draws=_PARETO_DRAWS)
    name, part = list(parts.items())[-1]
    k = post.pareto_k_of_predictions(part.x, train, draws=draws)
    large = (k > GOOD_K).reshape(len(k), -1).any(dim=1)
    reliability["predictions"] = {
        "part": name,
        "largest": k.max().item(),
        "large": int(large.sum()),
    }
    return reliability


def _pareto_k_text(reliability: dict[str, Any]) -> str:
    lines = [f"k̂ of {reliability['draws']} draws: {reliability['weights']:.2f} of all weights"]
    if layers := reliability.get("layers"):
        lines.append(", ".join(f"{k:.2f} of {layer}" for layer, k in layers.items()))
    if of_rows := reliability.get("predictions"):
        lines.append(
            f"{of_rows['largest']:.2f} at most of the predictions of {of_rows['part']}, "
            f"{of_rows['large']:,} of them above {GOOD_K}"
        )
    return "; ".join(lines)


def _simulated(
    post: Posterior, parts: dict[str, Split], args: argparse.Namespace
) -> dict[str, Any]:
    """VSBC of predictions of the last of the parts, by fits as the run was made."""
    if "train" not in parts:
        raise ValueError("--simulations needs the training data of the run, got --data of new rows")
    settings = post.settings
    if post.model.reconstructs or settings.bilevel or settings.objective:
        raise ValueError(
            "--simulations needs a run that predicts targets and has the bound alone for its "
            f"objective, got {post.model.describe()}: use bayesnas.vsbc"
        )
    name, part = list(parts.items())[-1]
    rows = part.first(_SIMULATED_ROWS)
    options = ("steps", "batch_size", "lr", "schedule", "clip", "kl_warmup", "precision")
    calibration = bn.vsbc(
        post.model, parts["train"], simulations=args.simulations, rows=rows.x, var_names=[],
        draws=max(args.draws, _SIMULATED_DRAWS), kl_weight=post.kl_weight, device=args.device,
        progress=not args.quiet, **{option: getattr(settings, option) for option in options},
    )  # fmt: skip
    table = calibration.table()
    return {
        "simulations": args.simulations,
        "part": name,
        "rows": len(rows),
        "predictions": len(table),
        "spread": float(table["spread"].mean()),
        "shifted": int((table["symmetry"] * len(table) < _LEVEL).sum()),
    }


def _simulated_text(simulated: dict[str, Any]) -> str:
    return (
        f"{simulated['simulations']} fits to simulated data: spread {simulated['spread']:.2f} of "
        f"{simulated['predictions']:,} predictions of {simulated['part']} (1 of an exact "
        f"posterior, more of one too narrow), {simulated['shifted']:,} of them shifted"
    )


def _told_apart(
    post: Posterior, parts: dict[str, Split], args: argparse.Namespace
) -> dict[str, Any]:
    """How well uncertainty tells rows of a file from the last of the parts."""
    name, part = list(parts.items())[-1]
    x, _ = bn.data.read_rows(args.out_of_distribution, post.data)
    inside = part.x if isinstance(part, Split) else part
    auroc = post.out_of_distribution(inside, x, draws=max(args.draws, 2))
    return {"inside": name, "rows": len(x), "auroc": auroc}


def _new_rows(args: argparse.Namespace) -> tuple[Posterior, dict[str, Split]]:
    """All rows of a file, as the run took those it was fitted on."""
    others = [option for option in data_options_given(args) if option != "--target"]
    if others:
        raise ValueError(f"{', '.join(others)} can't come with a file of new rows")
    draw_count("draws", args.draws, 0)
    post = at_kl_weight(bn.load(args.run_folder, device=args.device), args)
    x, y = bn.data.read_rows(args.data, post.data, target=args.target)
    if post.model.reconstructs:
        y = x
    if y is None:
        raise ValueError(
            f"data must have targets, got {args.data} without a column that is known as theirs: "
            "name it with --target"
        )
    info = dataclasses.replace(post.data, part="all", n=len(x))
    return post, {Path(args.data).name: Split.of(Split(x, y, info))}
