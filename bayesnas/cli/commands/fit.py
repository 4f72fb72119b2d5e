"""``bayesnas fit``: fit a model to data."""

from __future__ import annotations

import argparse
from typing import Any

import bayesnas as bn
from bayesnas.checks import draw_count, is_number
from bayesnas.cli.model_options import add_model_options, model_of
from bayesnas.cli.options import (
    add_data_options,
    add_device_option,
    add_draws_option,
    add_output_options,
    amortize_of,
    kl_weight,
    load_data,
    path_word,
    settings_of,
)
from bayesnas.cli.output import Outcome, frontier_table, metrics_table, note
from bayesnas.data import DataSet
from bayesnas.inference import AmortizedPosterior, GeneralisedObjective, Posterior
from bayesnas.inference.runs.atomic_files import read_json
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.models.autoencoders.base import Autoencoder
from bayesnas.report.findings import judged_part, parts_of, steps_taken
from bayesnas.report.frontier_findings import kl_weight_grid, measure_frontier, rows_of

_DESCRIPTION = """
Fit a model by maximising E_q log p(D|w) - λ KL(q||p), sums over the whole sample and all weights.
Prints metrics of the training and the test part. With --out, the folder keeps checkpoints and the
result; without, nothing is written.
"""
_EXAMPLE = """
example:
  bayesnas fit gaussian-net --data mnist --hidden 50 --kl-weight 1 --epochs 25 --out runs/a

one fit for every λ of a range, measured along it by bayesnas frontier:
  bayesnas fit gaussian-net --data mnist --hidden 50 --prior-scale 0.1 --kl-weight 0.1:100 \\
    --lr 0.006 --epochs 50 --out runs/all
"""
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


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "fit",
        help="fit a model to data",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_folder_options(parser)
    add_draws_option(parser)
    add_output_options(parser)
    add_data_options(parser, default="digits")
    add_model_options(parser)
    _add_training_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Outcome:
    """Fit, evaluate, and say where the run is."""
    draw_count("draws", args.draws, 0)
    if args.resume and args.out is None:
        raise ValueError("resume needs out, the folder of the run to go on with")
    data = load_data(args)
    model = model_of(args, data)
    if isinstance(model, Autoencoder):
        data = data.reconstructing()
    settings = _settings(args)
    note(f"{model.describe()} on {_describe(data)}", args.quiet)
    post: Posterior | AmortizedPosterior = bn.fit(
        model, data.train, validation=data.validation, progress=not args.quiet, **settings
    )
    saved = args.out is not None and read_json(args.out / RUN)["status"] == "finished"
    if isinstance(post, AmortizedPosterior):
        return _outcome(args, post, data, *_along_kl_weight(args, post, data), saved)
    return _outcome(args, post, data, *_at_one_kl_weight(args, post, data), saved)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(args, _SETTINGS)
    settings["amortize"] = amortize_of(args)
    settings["compile"] = False if args.compile == "off" else args.compile
    if args.likelihood_weight is not None or args.kl_weight_upper is not None:
        settings["objective"] = _objective(args, settings.pop("kl_weight"))
    return settings


def _objective(args: argparse.Namespace, lower: object) -> GeneralisedObjective:
    """Q and L of the options; what is not given is 1."""
    given = {"likelihood_weight": args.likelihood_weight, "kl_weight_upper": args.kl_weight_upper}
    if not is_number(lower):
        raise ValueError(f"kl_weight must be one number beside {', '.join(given)}, got a range")
    weights = {name: value for name, value in given.items() if value is not None}
    return GeneralisedObjective(kl_weight_lower=lower, **weights)


def _at_one_kl_weight(
    args: argparse.Namespace, post: Posterior, data: DataSet
) -> tuple[str, dict[str, Any]]:
    judged = {"train": data.train} | dict([judged_part(data)])
    metrics = {name: post.evaluate(part, draws=args.draws) for name, part in judged.items()}
    return metrics_table(post, metrics), {"best_chain": post.best, "metrics": metrics}


def _along_kl_weight(
    args: argparse.Namespace, post: AmortizedPosterior, data: DataSet
) -> tuple[str, dict[str, Any]]:
    posts = (post.at(kl_weight) for kl_weight in kl_weight_grid(post))
    measures = measure_frontier(posts, data, draws=args.draws)
    rows = rows_of(measures)
    return frontier_table(measures), {"part": measures.attrs["part"], "frontier": rows}


def _outcome(
    args: argparse.Namespace,
    post: Posterior | AmortizedPosterior,
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


def _add_folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="DIR",
        help="folder for checkpoints and the result; it must not hold another run",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the interrupted run in --out, the other options as they were",
    )
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        default=500,
        metavar="STEPS",
        help="steps between checkpoints (%(default)s)",
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--kl-weight",
        type=kl_weight,
        default=1.0,
        metavar="λ",
        help="0: maximum likelihood; LOW:HIGH: one fit for every λ of that range (1)",
    )
    for name, text in (
        ("--likelihood-weight", "of the log-likelihood"),
        ("--kl-weight-upper", "of the KL term"),
    ):
        group.add_argument(
            name,
            type=float,
            metavar="λ",
            help=f"{text} where learned prior scales are trained (1, and the bound without either)",
        )
    group.add_argument(
        "--kl-warmup",
        type=float,
        metavar="FRACTION",
        help="of the steps, over which λ rises from 0 (that of the model, mostly 0)",
    )
    group.add_argument(
        "--amortize",
        choices=("piecewise", "linear", "low-rank"),
        help="over a range: how the parameters depend on λ (piecewise)",
    )
    group.add_argument(
        "--knots", type=int, metavar="N", help="of a piecewise linear dependence (5)"
    )
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="passes over the sample (as many as the model finds enough)",
    )
    length.add_argument("--steps", type=int, metavar="N", help="optimiser steps, in their place")
    numbers: list[tuple[str, type, Any, str]] = [
        ("--batch-size", int, None, "batch size (that of the model, mostly 256)"),
        ("--lr", float, None, "learning rate at the start (that of the model: 0.01 of nets)"),
        ("--clip", float, None, "clip every gradient entry to this (no clipping)"),
        ("--restarts", int, 1, "independent fits; the best one is evaluated (%(default)s)"),
        ("--patience", int, None, "stop after so many epochs no better on the validation part"),
        ("--seed", int, 0, "of the fit (%(default)s)"),
    ]
    for name, kind, default, text in numbers:
        group.add_argument(name, type=kind, default=default, metavar="N", help=text)
    group.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        default="cosine",
        help="of the learning rate (%(default)s)",
    )
    group.add_argument(
        "--compile",
        choices=("auto", "trace", "inductor", "cudagraph", "off"),
        default="auto",
        help="how steps are taken; auto decides by their number (%(default)s)",
    )
    add_device_option(parser)
