"""What ``bayesnas report`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_kl_weight_option,
    add_run_options,
)
from bayesnas.cli.arguments.values import path_word

_DESCRIPTION = """
Print the figures of a fitted run and draw them into one picture: loss and KL over the steps,
pruning against random removal, calibration, signal-to-noise of the weights. With --html one page
instead, which needs no network: also the structure by name, sizes, and warnings with what to do.
"""
_EXAMPLE = """
bayesnas report runs/a --out report.pdf
bayesnas report runs/a --html
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "report",
        summary="figures and a picture of a run",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="runs.",
    )
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="FILE",
        help="the picture: .png, .pdf or .svg; one that is there is replaced (RUN/report.png); "
        "with --html the page, .html (RUN/report.html)",
    )
    parser.add_argument(
        "--html",
        action="store_true",
        help="write one page of HTML; of a run over a range of λ it shows them all, and in detail "
        "--kl-weight or else the best on validation data",
    )
    add_kl_weight_option(parser)
    add_run_options(parser)
