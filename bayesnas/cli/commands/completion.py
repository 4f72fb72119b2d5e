"""``bayesnas completion``: a script for a shell, by shtab."""

from __future__ import annotations

import argparse

from bayesnas.cli.arguments.names import MODEL_OPTIONS
from bayesnas.cli.arguments.values import path_word
from bayesnas.cli.main import build_parser
from bayesnas.cli.output import Outcome
from bayesnas.words import DATA_SETS


def run(args: argparse.Namespace) -> Outcome:
    """Print the script of a shell.

    Raises:
        ValueError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise ValueError(
            "completion needs shtab, got none: pip install 'bayesnas[completion]'"
        ) from error
    parser = build_parser()
    for command in _commands_of(parser):
        for action in command._actions:
            if action.dest == "model":
                action.choices = tuple(MODEL_OPTIONS)
            elif action.dest == "data":
                action.choices = DATA_SETS
            elif action.type is path_word or action.dest in ("root", "config"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    script = shtab.complete(parser, args.shell)
    return Outcome(script, {"shell": args.shell, "script": script})


def _commands_of(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        command
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for command in action.choices.values()
    ]
