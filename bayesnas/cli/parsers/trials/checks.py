"""What does not go together in the words of commands that make trials."""

from __future__ import annotations

import argparse

from bayesnas.cli.arguments.trials import FIT_WORDS_NOT_VARIED

_OF_GRAPHS = ("graph", "operations")


def check_trials(args: argparse.Namespace) -> None:
    """Refuse options that don't go together.

    Raises:
        ValueError: naming them.
    """
    names = [each.name for each in args.vary]
    if not names and args.graph is None:
        raise ValueError("vary or graph must say what varies, got neither")
    if len(set(names)) < len(names):
        raise ValueError(f"vary must name different options, got {', '.join(names)}")
    for name in (*FIT_WORDS_NOT_VARIED, *_OF_GRAPHS):
        if f"--{name}" in args.fit:
            raise ValueError(f"--{name} must stand before --, where it is of the whole study")
    if args.graph is not None and set(names) & set(_OF_GRAPHS):
        raise ValueError("vary can't name graph or operations beside --graph, whose edges vary")
    for name in names:
        if f"--{name}" in args.fit:
            raise ValueError(f"vary must name options that FIT leaves open, got {name}")


def check_sweep(args: argparse.Namespace) -> None:
    """Refuse what varies without end, and what :func:`check_trials` refuses."""
    check_trials(args)
    for each in args.vary:
        if not each.words and each.scale != "int":
            raise ValueError(
                f"vary must have counted values in a sweep, as in {each.name}=A,B,C, got a range"
            )
