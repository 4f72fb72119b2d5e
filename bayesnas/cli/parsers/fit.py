"""What ``bayesnas fit`` is told."""

from __future__ import annotations

import argparse
import functools
from typing import Any

from bayesnas.cli.arguments.models import (
    ModelHelp,
    add_model_options,
    check_graph_options,
    check_model_options,
    model_options_given,
)
from bayesnas.cli.arguments.names import MODEL_OPTIONS
from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_data_options,
    add_device_option,
    add_draws_option,
    add_output_options,
)
from bayesnas.cli.arguments.values import (
    KLRange,
    check_log_word,
    kl_weight,
    metaparameter_range,
    path_word,
)

_DESCRIPTION = """
Fit a model by maximising E_q log p(D|w) - λ KL(q||p), sums over the whole sample and all weights.
Prints metrics of the training and the test part. With --out, the folder keeps checkpoints and the
result, and run.toml, the options that made it; without, nothing is written.
"""
_EXAMPLE = """
bayesnas fit gaussian-net --data mnist --hidden 50 --epochs 25 --out runs/a
bayesnas fit gaussian-net --data table.csv --target price --standardise --kl-weight 0.1,1,10
bayesnas fit --config runs/a/run.toml --lr 0.003 --out runs/b
bayesnas fit gaussian-net --validation 0.1 --log tensorboard:logs --out runs/c

by two processes, each with half of every batch:
torchrun --nproc-per-node 2 -m bayesnas fit gaussian-net --data mnist --out runs/d

one fit for every λ of a range, to be measured along it by the command frontier:
bayesnas fit gaussian-net --data mnist --hidden 50 --prior-scale 0.1 --kl-weight 0.1:100 \\
  --lr 0.006 --epochs 50 --out runs/all

and for every prior scale of another, of which the evidence chooses one:
bayesnas fit gaussian-net --data mnist --hidden 50 --kl-weight 0.1:100 \\
  --metaparameters prior_scale=0.05:1 --lr 0.01 --epochs 100 --out runs/box
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "fit",
        summary="fit a model to data",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        help_action=ModelHelp,
    )
    parser.set_defaults(check=functools.partial(_check, parser))
    _add_folder_options(parser)
    _add_log_options(parser)
    add_draws_option(parser)
    add_output_options(parser)
    add_data_options(parser, default="digits")
    add_model_options(parser)
    _add_training_options(parser)
    _add_process_options(parser)
    add_device_option(parser)


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what does not go together."""
    if args.model is None:
        parser.error("the following arguments are required: model")
    if args.model in MODEL_OPTIONS:
        check_model_options(args.model, model_options_given(args))
    check_graph_options(args)
    if args.log is not None:
        check_log_word(args.log)
    if args.resume and args.out is None:
        raise ValueError("resume needs out, the folder of the run to go on with")
    if not isinstance(args.kl_weight, KLRange) and args.kl_weight != "validation":
        needing = {name: getattr(args, name) for name in ("amortize", "knots", "metaparameters")}
        for name, value in needing.items():
            if value not in (None, []):
                raise ValueError(
                    f"{name} needs a range of KL weights, as in --kl-weight 0.1:100, "
                    f"got {_text(args.kl_weight)}"
                )
    if args.knots is not None and args.amortize not in (None, "piecewise", "curvature"):
        raise ValueError(
            f"knots needs --amortize piecewise or curvature, got --amortize {args.amortize}"
        )


def _text(kl_weight: float | list[float] | str) -> str:
    if isinstance(kl_weight, str):
        return f"--kl-weight {kl_weight}"
    several = kl_weight if isinstance(kl_weight, list) else [kl_weight]
    return "--kl-weight " + ",".join(f"{each:g}" for each in several)


def _add_folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="options from a .toml file, as in 'lr = 0.01'; those of the command line win",
    )
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


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log",
        metavar="KIND:PLACE",
        help="write the course of the fit: csv:FILE, tensorboard:DIR or mlflow:URI",
    )
    parser.add_argument(
        "--log-every",
        type=int,
        default=10,
        metavar="STEPS",
        help="steps between what is written; metrics of a --validation part each tenfold "
        "(%(default)s)",
    )


def _add_process_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("several processes, started by torchrun")
    group.add_argument(
        "--noise",
        choices=("independent", "shared"),
        default="independent",
        help="of the weights: each process its own, or that of one process, with its numbers "
        "(%(default)s)",
    )
    group.add_argument(
        "--spread",
        choices=("batch", "chains"),
        default="batch",
        help="each process takes rows of every batch, or restarts and λ of its own (%(default)s)",
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--kl-weight",
        type=kl_weight,
        default="auto",
        metavar="λ",
        help="0: maximum likelihood; A,B,C: a fit at each; LOW:HIGH: one fit for every λ of that "
        "range; validation: the λ of 0.03:1 that predicts the --validation part as well as the "
        "best, nearest to 1 (auto: 1, of bayesian-compression 0.1 from 1,000 rows on)",
    )
    group.add_argument(
        "--metaparameters",
        type=metaparameter_range,
        nargs="+",
        default=[],
        metavar="NAME=LOW:HIGH",
        help="over a range of λ: others that the one fit is over too, on a log scale, or "
        "NAME=LOW:HIGH:linear; such as prior_scale",
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
        choices=("piecewise", "curvature", "linear", "low-rank"),
        help="over a range: how the parameters depend on λ (piecewise)",
    )
    group.add_argument(
        "--knots", type=int, metavar="N", help="of a piecewise or curvature dependence (5)"
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
        help="how steps are taken; auto times the first ones of a long fit (%(default)s)",
    )
