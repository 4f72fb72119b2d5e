"""What ``bayesnas compare`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_data_options,
    add_device_option,
    add_draws_option,
    add_kl_weight_option,
    add_output_options,
)
from bayesnas.cli.arguments.values import path_word

_DESCRIPTION = """
Print the metrics of several runs side by side, judged on the same rows: the test part, or else the
validation part. With --loo also ArviZ's comparison by leave-one-out on the training part.
"""
_EXAMPLE = """
bayesnas compare runs/a runs/b runs/c
bayesnas compare runs/a runs/b --loo
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "compare",
        summary="metrics of several runs side by side",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="runs.",
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", type=path_word, help="folders of finished runs"
    )
    parser.add_argument(
        "--loo", action="store_true", help="ArviZ's comparison of expected log densities"
    )
    add_kl_weight_option(parser)
    add_draws_option(parser)
    add_device_option(parser)
    add_output_options(parser)
    add_data_options(parser, default=None)
