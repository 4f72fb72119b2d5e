"""The command line: ``bayesnas COMMAND ...``.

Results go to stdout, as text or with ``--json`` as one JSON object; progress, messages and errors
go to stderr. Exit status: 0; 1 where a fit fails midway or can't be saved; 2 for bad input; 130
after Ctrl-C.

Words are read and refused by ``bayesnas.cli.parsers`` and ``bayesnas.cli.arguments``, without
torch; then the module of the command is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
from collections.abc import Sequence

import bayesnas
from bayesnas.cli.arguments.checks import check_values
from bayesnas.cli.arguments.command_parser import CommandParser
from bayesnas.cli.arguments.config import config_text, takes_config, with_config
from bayesnas.cli.errors import guarded, raise_interruptions
from bayesnas.cli.output import Outcome, to_json
from bayesnas.cli.parsers import completion, compress, fit, models, reproduce
from bayesnas.cli.parsers.runs import (
    compare,
    evaluate,
    export,
    frontier,
    predict,
    prune,
    report,
)
from bayesnas.cli.parsers.trials import search, sweep
from bayesnas.runtime.launched import launched, speaks

_PARSERS = (
    *(models, fit, compress, search, sweep),
    *(evaluate, predict, compare, frontier, prune, report, export),
    *(reproduce, completion),
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
    args = argparse.Namespace(command=None)

    def command() -> int:
        with contextlib.nullcontext() if speaks() else contextlib.redirect_stderr(io.StringIO()):
            read_words(words, args)  # what is wrong with the words, all of several would say
        if launched() is not None and args.command != "fit":
            raise ValueError(f"several processes share a fit, not bayesnas {args.command}")
        if not speaks():
            args.quiet = True
        module = importlib.import_module(args.module)
        raise_interruptions()
        outcome: Outcome = module.run(args)
        print(to_json(outcome.content) if args.json else outcome.text, flush=True)
        return outcome.exit_code

    with contextlib.nullcontext() if speaks() else contextlib.redirect_stdout(io.StringIO()):
        return guarded(command, args, words)


def read_words(words: Sequence[str], args: argparse.Namespace | None = None) -> argparse.Namespace:
    """The options that the words of a command line say, those of its ``--config`` file too.

    Args:
        words: after ``bayesnas``.
        args: gets the options; a new namespace by default.

    Raises:
        SystemExit: for ``--help``, ``--version``, and words that make no command.
        ValueError: for options that don't go together, or a file that is no configuration.
    """
    parser, commands = _parsers()
    namespace = argparse.Namespace() if args is None else args
    command = commands.get(words[0]) if words else None
    if command is not None and takes_config(command) and not any(map(_asks_for_help, words)):
        expanded = with_config(command, words[1:])
        namespace.config_text = config_text(command, expanded)
        words = [words[0], *expanded]
    parser.parse_args(list(words), namespace)
    check = getattr(namespace, "check", None)
    if check is not None:
        check(namespace)
    check_values(namespace)
    return namespace


def _asks_for_help(word: str) -> bool:
    return word == "-h" or (len(word) > 3 and "--help".startswith(word))


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    return _parsers()[0]


class _Version(argparse.Action):
    """``--version``; it is looked up when it is asked for."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Print and exit."""
        print(f"bayesnas {bayesnas.__version__}")
        parser.exit()


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = CommandParser(
        prog="bayesnas",
        description="Bayesian neural networks with priors over structure.",
        epilog="bayesnas COMMAND --help says more of a command.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _PARSERS:
        command.add_parser(commands)
    return parser, dict(commands.choices)


def _write_whatever_the_terminal_can() -> None:
    """Show a question mark where a terminal has no λ, rather than failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
