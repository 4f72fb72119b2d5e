"""What ``bayesnas evaluate`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_kl_weight_option,
    add_run_options,
)

_DESCRIPTION = """
Print the metrics of a fitted run on every part of its data, or on the rows of a file that it has
not seen: a .csv with the columns of the training data and their target, or a .npz with x and y.
"""
_EXAMPLE = """
bayesnas evaluate runs/a
bayesnas evaluate runs/a --data new.csv
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        summary="metrics of a run, also on new rows",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    add_kl_weight_option(parser)
    add_run_options(parser)
