"""``bayesnas fit``: fit a model to data."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import bayesnas as bn
from bayesnas.checks import draw_count, whole_number
from bayesnas.cli.arguments.config import CONFIG
from bayesnas.cli.arguments.values import KLRange
from bayesnas.cli.loading import load_data
from bayesnas.cli.make_model import model_of
from bayesnas.cli.metrics import frontier_legend, frontier_table, metrics_table
from bayesnas.cli.output import Outcome, note
from bayesnas.data import DataSet
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.files import write_atomically
from bayesnas.inference import (
    AmortizedPosterior,
    GeneralisedObjective,
    Posterior,
    Posteriors,
)
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.loggers import Logger, logger_of
from bayesnas.nn import CurvatureMap, PiecewiseMap
from bayesnas.report.findings import judged_part, parts_of, steps_taken
from bayesnas.report.frontier_findings import kl_weight_grid, measure_frontier, rows_of
from bayesnas.runtime.interrupt import InterruptedFitWarning
from bayesnas.runtime.launched import speaks
from bayesnas.scalars import is_number
from bayesnas.tensor_files import read_json

_RANGES: dict[str, Any] = {"log": bn.LogUniform, "linear": bn.Uniform}
_SETTINGS = (
    "kl_weight",
    "kl_warmup",
    "epochs",
    "steps",
    "batch_size",
    "lr",
    "schedule",
    "clip",
    "restarts",
    "patience",
    "seed",
    "device",
    "compile",
    "out",
    "checkpoint_every",
    "resume",
)


def run(args: argparse.Namespace) -> Outcome:
    """Fit, evaluate, and say where the run is."""
    draw_count("draws", args.draws, 0)
    data = load_data(args)
    model = model_of(args, data)
    if model.reconstructs:
        data = data.reconstructing()
    settings = fit_settings(args)
    validation = _validation(args, data)
    note(f"{model.describe()} on {_describe(data)}", args.quiet)
    if data.info.encoding is not None:
        note(data.info.encoding.describe(), args.quiet)
    try:
        with _logger(args, data) as on_step:
            post: Posterior | Posteriors | AmortizedPosterior = bn.fit(
                model,
                data.train,
                validation=validation,
                progress=not args.quiet,
                on_step=on_step,
                **settings,
            )
    except (KeyboardInterrupt, InterruptedFitWarning):
        keep_config(args)
        raise
    if not speaks():
        return Outcome("", {})
    saved = _is_saved(args.out)
    if saved:
        keep_config(args)
    if isinstance(post, Posterior):
        return _outcome(args, post, data, *_at_one_kl_weight(args, post, data), saved)
    return _outcome(args, post, data, *_along_kl_weight(args, post, data), saved)


def _is_saved(out: Path | None) -> bool:
    if out is None or not (out / RUN).exists():
        return False
    return bool(read_json(out / RUN)["status"] == "finished")


def _validation(args: argparse.Namespace, data: DataSet) -> AnySplit | None:
    """The held-out part, where the fit has a use for it: to stop early, or to choose λ."""
    if args.kl_weight == "validation" and data.validation is None:
        raise ValueError("kl_weight validation needs rows to choose on, as in --validation 0.2")
    used = args.patience is not None or args.kl_weight == "validation"
    return data.validation if used else None


def _logger(args: argparse.Namespace, data: DataSet) -> AbstractContextManager[Logger | None]:
    """The hook that ``--log`` asks for."""
    if args.log is None or not speaks():
        return nullcontext()
    every = whole_number("log_every", args.log_every)
    options = {"every": every, "validation": data.validation, "validate_every": 10 * every}
    try:
        return logger_of(args.log, append=args.resume, **options)
    except ImportError as error:
        raise ValueError(f"log: {error}") from error


def fit_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of ``bayesnas.fit`` that the options say."""
    settings = {name: getattr(args, name) for name in _SETTINGS}
    if isinstance(args.kl_weight, KLRange):
        settings["kl_weight"] = bn.LogUniform(*args.kl_weight)
    if args.metaparameters:
        settings["metaparameters"] = {
            name: _RANGES[spacing](low, high) for name, low, high, spacing in args.metaparameters
        }
    settings["amortize"] = args.amortize
    if args.knots is not None:
        with_knots = CurvatureMap if args.amortize == CurvatureMap.kind else PiecewiseMap
        settings["amortize"] = with_knots(knots=whole_number("knots", args.knots, 2))
    settings["compile"] = False if args.compile == "off" else args.compile
    settings["distributed"] = bn.Distributed(noise=args.noise, spread=args.spread)
    if args.likelihood_weight is not None or args.kl_weight_upper is not None:
        lower = settings.pop("kl_weight")
        settings["objective"] = _objective(args, 1.0 if lower == "auto" else lower)
    return settings


def _objective(args: argparse.Namespace, lower: object) -> GeneralisedObjective:
    """Q and L of the options; what is not given is 1."""
    given = {"likelihood_weight": args.likelihood_weight, "kl_weight_upper": args.kl_weight_upper}
    if not is_number(lower):
        raise ValueError(f"kl_weight must be one number beside {', '.join(given)}, got several")
    weights = {name: value for name, value in given.items() if value is not None}
    return GeneralisedObjective(kl_weight_lower=lower, **weights)


def keep_config(args: argparse.Namespace) -> None:
    """Write the options that made a run into its folder, unless there is none."""
    if args.out is not None and (args.out / RUN).exists():
        heading = f"# bayesnas {bn.__version__}: bayesnas fit --config THIS_FILE --out ANOTHER\n"
        write_atomically(args.out / CONFIG, (heading + args.config_text).encode(errors="replace"))


def _at_one_kl_weight(
    args: argparse.Namespace, post: Posterior, data: DataSet
) -> tuple[str, dict[str, Any]]:
    judged = {"train": data.train} | dict([judged_part(data)])
    metrics = {name: post.evaluate(part, draws=args.draws) for name, part in judged.items()}
    return metrics_table(post, metrics), {"best_chain": post.best, "metrics": metrics}


def _along_kl_weight(
    args: argparse.Namespace, post: Posteriors | AmortizedPosterior, data: DataSet
) -> tuple[str, dict[str, Any]]:
    fitted = post.kl_weights if isinstance(post, Posteriors) else kl_weight_grid(post)
    chosen, why = _chosen(post, data) if isinstance(post, AmortizedPosterior) else ({}, "")
    if isinstance(post, AmortizedPosterior):
        post = post.given(**chosen)
    measures = measure_frontier(map(post.at, fitted), data, draws=args.draws)
    content = {"part": measures.attrs["part"], "frontier": rows_of(measures)}
    if not chosen:
        return f"{frontier_table(measures)}\n{frontier_legend(measures)}", content
    values = ", ".join(f"{name}={value:.3g}" for name, value in chosen.items())
    text = f"at {values}, {why}:\n{frontier_table(measures)}\n{frontier_legend(measures)}"
    return text, {"metaparameters": chosen, **content}


def _chosen(post: AmortizedPosterior, data: DataSet) -> tuple[dict[str, float], str]:
    """Metaparameters besides λ by the evidence, and in words how they were chosen."""
    amortization = post.settings.amortization
    assert amortization is not None
    if not amortization.others:
        return {}, ""
    if not amortization.span.contains(1.0):
        return dict(amortization.all_at(0.5)[1]), "in the middle, since λ = 1 was not fitted"
    choice = post.choose(data.train, points=5, draws=8)
    return dict(choice.values), "of most evidence by the bound at λ = 1"


def _outcome(
    args: argparse.Namespace,
    post: Posterior | Posteriors | AmortizedPosterior,
    data: DataSet,
    text: str,
    measures: dict[str, Any],
    saved: bool,
) -> Outcome:
    lines = [
        f"{post.model.describe()} on {data.name}, λ = {post.settings.kl_weight_text()}, "
        f"{steps_taken(post):,} steps, seed {post.settings.seed}",
        text,
    ]
    if saved:
        command = "report" if isinstance(post, Posterior) else "frontier"
        lines.append(f"saved in {args.out}; next: bayesnas {command} {args.out}")
    elif args.out is None:
        note("nothing is saved: give a folder with --out to keep the fit", args.quiet)
    else:
        note(f"bayesnas: error: the fit is done but not saved in {args.out}, see above")
    content = {
        "model": post.model.describe(),
        "data": {"name": data.name, **{name: len(part) for name, part in parts_of(data).items()}},
        "settings": post.settings.to_dict(),
        "steps": steps_taken(post),
        "chains": post.chains,
        "draws": args.draws,
        **measures,
        "out": str(args.out) if saved else None,
    }
    return Outcome("\n".join(lines), content, exit_code=0 if saved or args.out is None else 1)


def _describe(data: DataSet) -> str:
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in parts_of(data).items())
    return f"{data.name}: {sizes}"
