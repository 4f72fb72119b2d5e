"""What ``bayesnas reproduce`` is told."""

from __future__ import annotations

import argparse
import textwrap

from bayesnas.cli.arguments.names import REPRODUCTIONS
from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_device_option,
    add_output_options,
    add_root_option,
)
from bayesnas.cli.arguments.values import path_word
from bayesnas.words import did_you_mean

_DESCRIPTION = """
Run the experiments behind a published table again and print our figures beside those of the source.
The folder keeps every fit; the same command goes on with what is there.

reproductions:
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    width = max(map(len, REPRODUCTIONS)) + 2
    listed = "\n".join(f"{name:<{width}}{title}" for name, title in REPRODUCTIONS.items())
    parser = add_command(
        commands,
        "reproduce",
        summary="run a published table again",
        description=_DESCRIPTION + textwrap.indent(listed, "  "),
        example="bayesnas reproduce varhypernet --quick",
    )
    parser.set_defaults(check=_check)
    parser.add_argument("name", metavar="NAME", help="of the reproduction, listed above")
    parser.add_argument(
        "--quick", action="store_true", help="a small version that shows the way in a few minutes"
    )
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="DIR",
        help="folder of fits, tables and pictures (runs/NAME, or runs/NAME-quick)",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="starts (as many as the source; 1 with --quick)"
    )
    add_root_option(parser)
    add_device_option(parser)
    add_output_options(parser)


def _check(args: argparse.Namespace) -> None:
    if args.name not in REPRODUCTIONS:
        known, hint = ", ".join(REPRODUCTIONS), did_you_mean(args.name, REPRODUCTIONS)
        raise ValueError(f"NAME must be one of {known}, got {args.name!r}{hint}")
