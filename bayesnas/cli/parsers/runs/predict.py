"""What ``bayesnas predict`` is told."""

from __future__ import annotations

import argparse

from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_device_option,
    add_kl_weight_option,
    add_output_options,
    add_run_folder,
)
from bayesnas.cli.arguments.values import path_word
from bayesnas.files import check_new_file

_DESCRIPTION = """
Predict the targets of new rows by a fitted run: mean, standard deviation and interval of a number,
label and probabilities of classes, averaged over draws of the weights. Columns are found by the
names they had in training, and standardised as they were; predictions have the targets' units.
"""
_EXAMPLE = """
bayesnas predict runs/a --data new.csv
bayesnas predict runs/a --data new.csv --level 0.5 --out predictions.csv
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "predict",
        summary="predictions of a run for new rows",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="runs.",
    )
    parser.set_defaults(check=_check)
    add_run_folder(parser)
    parser.add_argument(
        "--data",
        required=True,
        type=path_word,
        metavar="FILE",
        help=".csv with the columns of the training data, .npz with the array x, or x as .npy",
    )
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="FILE",
        help="a new .csv or .npz file (default: CSV on stdout)",
    )
    parser.add_argument(
        "--level",
        type=float,
        default=0.9,
        metavar="P",
        help="probability that an interval holds (%(default)s)",
    )
    parser.add_argument(
        "--draws", type=int, default=400, metavar="N", help="draws of the weights (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (0)")
    add_kl_weight_option(parser)
    add_device_option(parser)
    add_output_options(parser)


def _check(args: argparse.Namespace) -> None:
    if args.out is not None:
        check_new_file("out", args.out, (".csv", ".npz"))
