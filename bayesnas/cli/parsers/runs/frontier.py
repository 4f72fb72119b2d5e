"""What ``bayesnas frontier`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.names import SUPERFLUOUS_DENSITY
from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_metaparameters_option,
    add_run_options,
)
from bayesnas.cli.arguments.values import path_word

_DESCRIPTION = """
Print what a run fitted over a range of KL weights is worth along it, and draw it: predictions and
stability on the test part (with --part validation those to choose a λ by), bound and KL of the
training part, and the number of weights that are not superfluous. No training.
"""
_EXAMPLE = """
bayesnas frontier runs/all
bayesnas frontier runs/all --kl-weights 0.1 1 10 100 --separate runs/a --csv frontier.csv
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "frontier",
        summary="accuracy and complexity of a run along the KL weight",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="runs.",
    )
    parser.add_argument(
        "--kl-weights",
        type=float,
        nargs="+",
        metavar="λ",
        help="where to measure (13 over the range of the fit)",
    )
    add_metaparameters_option(parser)
    parser.add_argument(
        "--part",
        choices=("test", "validation"),
        help="that predictions are judged on (test, or else validation)",
    )
    parser.add_argument(
        "--separate",
        type=path_word,
        nargs="+",
        default=[],
        metavar="RUN",
        help="runs at one KL weight each, for comparison",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=SUPERFLUOUS_DENSITY,
        metavar="T",
        help="a weight is superfluous where exp(-mean²/2sd²) >= T (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="FILE",
        help="the picture: .png, .pdf or .svg; one that is there is replaced (RUN/frontier.png)",
    )
    parser.add_argument("--csv", type=path_word, metavar="FILE", help="write the numbers as CSV")
    add_run_options(parser)
