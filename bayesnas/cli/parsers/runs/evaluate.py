"""What ``bayesnas evaluate`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_kl_weight_option,
    add_run_options,
)
from bayesnas.cli.arguments.values import path_word

_DESCRIPTION = """
Print the metrics of a fitted run on every part of its data, or on the rows of a file that it has
not seen: a .csv with the columns of the training data and their target, or a .npz with x and y.
"""
_EXAMPLE = """
bayesnas evaluate runs/a
bayesnas evaluate runs/a --data new.csv
bayesnas evaluate runs/a --out-of-distribution others.csv
bayesnas evaluate runs/a --pareto-k
bayesnas evaluate runs/a --simulations 50
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        summary="metrics of a run, also on new rows",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="runs.",
    )
    add_kl_weight_option(parser)
    parser.add_argument(
        "--level",
        type=float,
        default=0.9,
        metavar="P",
        help="probability of the intervals of a regression (%(default)s)",
    )
    parser.add_argument(
        "--out-of-distribution",
        type=path_word,
        metavar="FILE",
        help="rows of another source, .csv or .npz: how well uncertainty tells them apart (AUROC)",
    )
    parser.add_argument(
        "--pareto-k",
        action="store_true",
        help="k̂ of the guide: of all weights, of every layer, and of the predictions",
    )
    parser.add_argument(
        "--simulations",
        type=int,
        metavar="N",
        help="make N such fits to simulated data, 10 or more: are predictions where the truth is?",
    )
    add_run_options(parser)
