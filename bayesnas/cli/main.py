"""The command line: ``bayesnas models | fit | compress | frontier | prune | report | reproduce``.

Results go to stdout, as text or with ``--json`` as one JSON object; progress, messages and errors
go to stderr. Exit status: 0; 1 where a fit fails midway or can't be saved; 2 for bad input; 130
after Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

import bayesnas as bn
from bayesnas.cli.commands import (
    compress as compress_command,
)
from bayesnas.cli.commands import (
    fit as fit_command,
)
from bayesnas.cli.commands import (
    frontier as frontier_command,
)
from bayesnas.cli.commands import (
    models as models_command,
)
from bayesnas.cli.commands import (
    prune as prune_command,
)
from bayesnas.cli.commands import (
    report as report_command,
)
from bayesnas.cli.commands import (
    reproduce as reproduce_command,
)
from bayesnas.cli.errors import guarded
from bayesnas.cli.output import Outcome, to_json

_COMMANDS = (
    models_command,
    fit_command,
    compress_command,
    frontier_command,
    prune_command,
    report_command,
    reproduce_command,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its words; those of the process by default.

    Returns:
        The exit status.

    Raises:
        SystemExit: for ``--help``, ``--version``, and words that make no command.

    >>> main(["models", "--json"])
    {
      ...
    }
    0
    """
    if argv is None:
        _write_whatever_the_terminal_can()
    words = list(sys.argv[1:] if argv is None else argv)
    args = build_parser().parse_args(words)

    def command() -> int:
        outcome: Outcome = args.run(args)
        print(to_json(outcome.content) if args.json else outcome.text, flush=True)
        return outcome.exit_code

    return guarded(command, args, words)


def _write_whatever_the_terminal_can() -> None:
    """Show a question mark where a terminal has no λ, rather than failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="bayesnas",
        description="Bayesian neural networks with priors over structure.",
        epilog="bayesnas COMMAND --help says more of a command.",
    )
    parser.add_argument("--version", action="version", version=f"bayesnas {bn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
